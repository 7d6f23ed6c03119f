/*
 * What is told of a sandbox's life: an event for its start, each move of its end, its end with the
 * reason, and for limits that it ran into.
 *
 * The first three go along with the write that they tell of (state.c, timeout.c), in one transaction.
 * Limits are counted by the driver, as totals since the start; they only rise. `hits` is the latest
 * total heard, `told` what has been written or is on its way. What differs is written by one job for
 * all sandboxes, at most every EVENTS_FLUSH_MS, and for one sandbox at most every event_interval_ms:
 * a guest that meets its limits a thousand times a second costs neither disk nor history. The totals
 * stand in the sandbox's row too, written with the events, so that a total that is heard again after
 * a restart makes no second event. What is still untold when a sandbox ends is written with its end.
 */
#include "store/events.h"
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"
#include "json/json.h"
#include "json/writer.h"

#include <assert.h>
#include <string.h>

enum {
    EVENTS_FLUSH_MS = 1000,
    EVENTS_BATCH_MAX = 128, /* sandboxes in one write; the rest follows in the next */
};

static_assert((int)DRIVER_EVENT_MAX_ == (int)SANDBOX_HITS, "a column for each");

static const struct limit_kind {
    enum event_type type;
    const char *member, *text;
} kinds[] = {
    [DRIVER_EVENT_MEMORY] = {EVENT_OUT_OF_MEMORY, "outOfMemory", "it ran out of memory"},
    [DRIVER_EVENT_PIDS] = {EVENT_PROCESS_LIMIT, "processLimit", "it reached its process limit"},
    [DRIVER_EVENT_DISK] = {EVENT_DISK_FULL, "diskFull", "its disk was full"},
    [DRIVER_EVENT_INODES] = {EVENT_INODES_FULL, "inodesFull",
                             "its disk had no room for more files"},
};
static_assert(ARRAY_LEN(kinds) == DRIVER_EVENT_MAX_, "a limit without its words");

static const char *const cause_names[] = {
    [END_NONE] = "",
    [END_START] = "start",
    [END_REQUEST] = "request",
    [END_TIMEOUT] = "timeout",
    [END_EXIT] = "exit",
    [END_LOST] = "lost",
    [END_SHUTDOWN] = "shutdown",
};
static_assert(ARRAY_LEN(cause_names) == END_CAUSE_MAX_, "a cause without a name");

const char *end_cause_name(enum end_cause cause)
{
    return cause_names[cause];
}

enum end_cause end_cause_parse(const char *name)
{
    for (int i = 1; name != NULL && i < END_CAUSE_MAX_; i++)
        if (strcmp(name, cause_names[i]) == 0)
            return (enum end_cause)i;
    return END_NONE;
}

/* ---- one event ---- */

struct event_writer {
    struct buf text;
    struct json_writer w;
    struct event *e;
};

static void event_open(struct event_writer *ew, const struct sandbox *sb, enum event_type type,
                       int64_t time_ns, struct event *e)
{
    *e = (struct event){.lifecycle = sb->lifecycle, .type = type, .time_ns = time_ns};
    (void)snprintf(e->sandbox, sizeof(e->sandbox), "%s", sb->id);
    (void)snprintf(e->team, sizeof(e->team), "%s", sb->team);
    (void)snprintf(e->template_id, sizeof(e->template_id), "%.*s", TEMPLATE_ID_LEN,
                   sb->template_id);
    (void)snprintf(e->build_id, sizeof(e->build_id), "%s", sb->build_id);
    ew->e = e;
    buf_init(&ew->text, EVENT_DATA_BYTES);
    jw_init(&ew->w, &ew->text);
    jw_obj(&ew->w);
}

static void event_close(struct event_writer *ew)
{
    jw_end(&ew->w);
    bool fits = ew->text.error == 0;
    (void)snprintf(ew->e->data, sizeof(ew->e->data), "%s", fits ? buf_str(&ew->text) : "{}");
    buf_done(&ew->text);
}

static void put_time(struct json_writer *w, const char *key, int64_t wall_ns)
{
    char text[RFC3339_BYTES];
    rfc3339_format(wall_ns, text);
    jw_kstr(w, key, text);
}

void event_created(const struct sandbox *sb, struct event *ret)
{
    struct event_writer ew;
    event_open(&ew, sb, EVENT_CREATED, sb->started_wall_ns, ret);
    put_time(&ew.w, "endAt", sb->end.wall_ns);
    jw_ku64(&ew.w, "cpuMillis", sb->limits.cpu_millis);
    jw_ku64(&ew.w, "memoryBytes", sb->limits.memory_bytes);
    jw_ku64(&ew.w, "diskBytes", sb->limits.disk_bytes);
    jw_ku64(&ew.w, "processes", sb->limits.pids);
    event_close(&ew);
}

void event_updated(const struct sandbox *sb, int64_t end_wall_ns, struct event *ret)
{
    struct event_writer ew;
    event_open(&ew, sb, EVENT_UPDATED, clock_wall_ns(), ret);
    put_time(&ew.w, "endAt", end_wall_ns);
    event_close(&ew);
}

static void event_killed(const struct sandbox *sb, struct event *ret)
{
    struct event_writer ew;
    event_open(&ew, sb, EVENT_KILLED, sb->ended_wall_ns, ret);
    jw_kstr(&ew.w, "reason", end_cause_name(sb->end_cause));
    jw_kstr(&ew.w, "message", sb->end_text);
    put_time(&ew.w, "startedAt", sb->started_wall_ns);
    for (int k = 0; k < DRIVER_EVENT_MAX_; k++)
        jw_ku64(&ew.w, kinds[k].member, sb->hits[k]);
    event_close(&ew);
}

static uint64_t limit_of(const struct sandbox *sb, enum driver_event kind)
{
    switch (kind) {
    case DRIVER_EVENT_MEMORY:
        return sb->limits.memory_bytes;
    case DRIVER_EVENT_PIDS:
        return sb->limits.pids;
    case DRIVER_EVENT_DISK:
        return sb->limits.disk_bytes;
    case DRIVER_EVENT_INODES:
    case DRIVER_EVENT_MAX_:
        break;
    }
    return 0;
}

static void event_limit(const struct sandbox *sb, enum driver_event kind, struct event *ret)
{
    struct event_writer ew;
    uint64_t limit = limit_of(sb, kind);
    event_open(&ew, sb, kinds[kind].type, clock_wall_ns(), ret);
    jw_ku64(&ew.w, "total", sb->hits[kind]);
    jw_ku64(&ew.w, "new", sb->hits[kind] - sb->told[kind]);
    if (limit != 0)
        jw_ku64(&ew.w, "limit", limit);
    event_close(&ew);
}

/* The events of limits that are not told yet; returns how many. */
static size_t untold(const struct sandbox *sb, struct event ret[static DRIVER_EVENT_MAX_])
{
    size_t n = 0;
    for (int k = 0; k < DRIVER_EVENT_MAX_; k++)
        if (sb->hits[k] > sb->told[k])
            event_limit(sb, (enum driver_event)k, &ret[n++]);
    return n;
}

size_t events_of_end(const struct sandbox *sb, struct event ret[static EVENTS_OF_END_MAX])
{
    if (sb->end_cause <= END_START)
        return 0; /* nobody was told that it exists */
    size_t n = untold(sb, ret);
    event_killed(sb, &ret[n++]);
    return n;
}

/* ---- limits, of all sandboxes together ---- */

struct hits_write {
    struct write_job job;
    struct sandbox_manager *m;
    struct {
        char id[SANDBOX_ID_LEN + 1];
        uint64_t lifecycle;
        uint32_t hits[SANDBOX_HITS], before[SANDBOX_HITS];
        size_t first, n; /* of events */
    } boxes[EVENTS_BATCH_MAX];
    size_t n, n_events;
    struct event events[EVENTS_BATCH_MAX * SANDBOX_HITS];
};

static int run_hits(struct store *store, struct write_job *job, struct err *err)
{
    struct hits_write *w = container_of(job, struct hits_write, job);
    int r = store_begin(store, err);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < w->n; i++) {
        r = store_sandbox_set_hits(store, w->boxes[i].id, w->boxes[i].hits, err);
        if (r == 0)
            r = store_event_add(store, &w->events[w->boxes[i].first], w->boxes[i].n, err);
        else if (r == -ENOENT)
            r = 0; /* it is gone, and its last event says so */
    }
    return store_finish(store, r, err);
}

static void on_hits_written(struct write_job *job, const struct err *err)
{
    struct hits_write *w = container_of(job, struct hits_write, job);
    struct sandbox_manager *m = w->m;
    m->telling = false;
    for (size_t i = 0; err != NULL && i < w->n; i++) {
        struct sandbox *sb = registry_find(m, w->boxes[i].id);
        if (sb != NULL && sb->lifecycle == w->boxes[i].lifecycle)
            memcpy(sb->told, w->boxes[i].before, sizeof(sb->told));
    }
    if (err != NULL)
        manager_notice(m, NULL, "limits that sandboxes met could not be written, trying again: %s",
                       err->msg);
    free(w);
    events_arm(m);
    manager_op_end(m);
}

static bool has_untold(const struct sandbox *sb)
{
    return sb->state == SANDBOX_RUNNING && sb->moving < 0 && !sb->adopting &&
           memcmp(sb->hits, sb->told, sizeof(sb->hits)) != 0;
}

static void collect(struct sandbox *sb, void *user)
{
    struct hits_write *w = user;
    uint64_t now = clock_monotonic_ns();
    if (!has_untold(sb) || w->n == EVENTS_BATCH_MAX || now < sb->tell_after_ns)
        return;
    size_t i = w->n++;
    memcpy(w->boxes[i].id, sb->id, sizeof(sb->id));
    memcpy(w->boxes[i].hits, sb->hits, sizeof(sb->hits));
    memcpy(w->boxes[i].before, sb->told, sizeof(sb->told));
    w->boxes[i].lifecycle = sb->lifecycle;
    w->boxes[i].first = w->n_events;
    w->boxes[i].n = untold(sb, &w->events[w->n_events]);
    w->n_events += w->boxes[i].n;
    for (int k = 0; k < DRIVER_EVENT_MAX_; k++)
        if (sb->hits[k] > sb->told[k])
            manager_notice(sb->m, sb->id, "%s, %u in all", kinds[k].text, sb->hits[k]);
    memcpy(sb->told, sb->hits, sizeof(sb->told));
    sb->tell_after_ns = now + sb->m->event_interval_ms * NS_PER_MS;
}

static void on_flush(uv_timer_t *timer)
{
    struct sandbox_manager *m = timer->data;
    if (m->closing)
        return; /* the next start hears the totals again */
    struct hits_write *w = xnew(struct hits_write);
    m->told_ms = uv_now(m->o.loop); /* also when it is too early for all of them */
    registry_each(m, collect, w);
    if (w->n == 0) {
        free(w);
        events_arm(m);
        return;
    }
    w->m = m;
    w->job.run = run_hits;
    w->job.done = on_hits_written;
    m->telling = true;
    manager_op_begin(m);
    write_queue_put(&m->writes, &w->job);
}

static void note_untold(struct sandbox *sb, void *user)
{
    bool *any = user;
    *any |= has_untold(sb);
}

/* Called when a total rose or a sandbox became fit to be told of: at most a thousand times a second. */
void events_arm(struct sandbox_manager *m)
{
    bool any = false;
    if (m->closing || m->telling || uv_is_active((uv_handle_t *)&m->events_timer))
        return;
    registry_each(m, note_untold, &any);
    if (!any)
        return;
    uint64_t now = uv_now(m->o.loop), next = m->told_ms + EVENTS_FLUSH_MS;
    bool rested = m->told_ms == 0 || now >= next;
    (void)uv_timer_start(&m->events_timer, on_flush, rested ? 0 : next - now, 0); /* cannot fail */
}

void manager_on_event(void *user, const char *id, enum driver_event kind, uint32_t count)
{
    struct sandbox_manager *m = user;
    struct sandbox *sb = registry_find(m, id);
    if (sb == NULL || kind >= DRIVER_EVENT_MAX_ || count <= sb->hits[kind])
        return;
    sb->hits[kind] = count;
    events_arm(m);
}

/* ---- of those that are gone ---- */

static int read_killed(const struct event *e, struct sandbox_ended *ret)
{
    _cleanup_json_ json_t *doc = NULL;
    const char *text = NULL;
    if (json_parse(slice_str(e->data), &doc, NULL) < 0)
        return 0;
    struct json_ref root = json_root(doc);
    if (json_get_str(&root, "message", JSON_REQUIRED, &text, NULL) < 0)
        return 0;
    ret->wall_ns = e->time_ns;
    (void)snprintf(ret->text, sizeof(ret->text), "%s", text);
    return 1;
}

int sandbox_ended(struct sandbox_manager *m, const char *team, const char *id,
                  struct sandbox_ended *ret)
{
    const struct sandbox *sb = registry_find(m, id);
    struct event e;
    if (sb == NULL)
        return store_event_last(m->o.store, team, id, EVENT_KILLED, &e, NULL) == 1
                   ? read_killed(&e, ret)
                   : 0;
    if (sb->end_cause <= END_START || sb->team == NULL || strcmp(sb->team, team) != 0)
        return 0;
    ret->wall_ns = sb->ended_wall_ns;
    (void)snprintf(ret->text, sizeof(ret->text), "%s", sb->end_text);
    return 1;
}
