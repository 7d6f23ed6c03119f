/*
 * Pruning goes along with each write and costs a few index steps: numbers (seq) are given in order
 * and have no holes but those of pruning, so that "all but the newest n" is a range of numbers.
 */
#include "store/events.h"

#include "base/clock.h"
#include "base/slice.h"
#include "store/store_internal.h"

#include <assert.h>
#include <string.h>

enum { PRUNE_OLD_ROWS = 64 }; /* of those past their time, with each write */

static const char *const type_names[] = {
    [EVENT_CREATED] = "sandbox.lifecycle.created",
    [EVENT_UPDATED] = "sandbox.lifecycle.updated",
    [EVENT_KILLED] = "sandbox.lifecycle.killed",
    [EVENT_OUT_OF_MEMORY] = "silica.sandbox.out_of_memory",
    [EVENT_PROCESS_LIMIT] = "silica.sandbox.process_limit",
    [EVENT_DISK_FULL] = "silica.sandbox.disk_full",
    [EVENT_INODES_FULL] = "silica.sandbox.inodes_full",
};
static_assert(ARRAY_LEN(type_names) == EVENT_TYPE_MAX_, "an event type without a name");

const char *event_type_name(enum event_type type)
{
    return type > 0 && type < EVENT_TYPE_MAX_ ? type_names[type] : "unknown";
}

enum event_type event_type_parse(const char *name)
{
    for (int i = 1; i < EVENT_TYPE_MAX_; i++)
        if (strcmp(name, type_names[i]) == 0)
            return (enum event_type)i;
    return 0;
}

void store_event_keep(struct store *s, const struct event_keep *keep)
{
    s->keep = *keep;
}

/* ---- writing ---- */

static int insert(struct store *s, const struct event *e, struct err *err)
{
    static const char sql[] = "INSERT INTO events (id, sandbox, team, template_id, build_id,"
                              " lifecycle, type, time_ns, data)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    char id[EVENT_ID_BYTES];
    id_new_uuid(id);
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    query_text(&q, 2, e->sandbox);
    query_text(&q, 3, e->team);
    query_text(&q, 4, e->template_id);
    query_text(&q, 5, e->build_id);
    query_i64(&q, 6, (int64_t)e->lifecycle);
    query_i64(&q, 7, (int64_t)e->type);
    query_i64(&q, 8, e->time_ns);
    query_text(&q, 9, e->data);
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

/* The team is asked for because it stands in the index, between sandbox and number. */
static int prune_sandbox(struct store *s, const struct event *e, struct err *err)
{
    static const char sql[] =
        "DELETE FROM events WHERE sandbox = ?1 AND team = ?3 AND seq <= (SELECT seq FROM events"
        " WHERE sandbox = ?1 AND team = ?3 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, e->sandbox);
    query_i64(&q, 2, s->keep.each);
    query_text(&q, 3, e->team);
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

static int prune_all(struct store *s, struct err *err)
{
    static const char sql[] = "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_i64(&q, 1, s->keep.all);
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

static int prune_old(struct store *s, struct err *err)
{
    static const char sql[] = "DELETE FROM events WHERE time_ns < ?1 AND seq IN"
                              " (SELECT seq FROM events ORDER BY seq LIMIT ?2)";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_i64(&q, 1, clock_wall_ns() - s->keep.ns);
    query_i64(&q, 2, PRUNE_OLD_ROWS);
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

static int add_locked(struct store *s, const struct event *events, size_t n, struct err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = insert(s, &events[i], err);
        if (r == 0 && (i + 1 == n || strcmp(events[i].sandbox, events[i + 1].sandbox) != 0))
            r = prune_sandbox(s, &events[i], err);
    }
    if (r == 0)
        r = prune_all(s, err);
    if (r == 0)
        r = prune_old(s, err);
    return r;
}

int store_event_add(struct store *s, const struct event *events, size_t n, struct err *err)
{
    if (n == 0)
        return 0;
    int r = store_begin(s, err);
    return r < 0 ? r : store_finish(s, add_locked(s, events, n, err), err);
}

/* ---- reading ---- */

static void copy_col(struct query *q, int at, char *dst, size_t cap)
{
    (void)snprintf(dst, cap, "%s", query_col_text(q, at));
}

static void read_event(struct query *q, struct event *ret)
{
    *ret = (struct event){
        .lifecycle = (uint64_t)query_col_i64(q, 5),
        .type = (enum event_type)query_col_i64(q, 6),
        .time_ns = query_col_i64(q, 7),
    };
    copy_col(q, 0, ret->id, sizeof(ret->id));
    copy_col(q, 1, ret->sandbox, sizeof(ret->sandbox));
    copy_col(q, 2, ret->team, sizeof(ret->team));
    copy_col(q, 3, ret->template_id, sizeof(ret->template_id));
    copy_col(q, 4, ret->build_id, sizeof(ret->build_id));
    copy_col(q, 8, ret->data, sizeof(ret->data));
}

#define SELECT                                                                                     \
    "SELECT id, sandbox, team, template_id, build_id, lifecycle, type, time_ns, data FROM events"
#define MATCHES " WHERE team = ?1 AND (?2 >> type) & 1"

/* The statement of a question: [one sandbox][oldest first]. */
static const char *const selects[2][2] = {
    {SELECT MATCHES " ORDER BY seq DESC LIMIT ?3 OFFSET ?4",
     SELECT MATCHES " ORDER BY seq LIMIT ?3 OFFSET ?4"},
    {SELECT MATCHES " AND sandbox = ?5 ORDER BY seq DESC LIMIT ?3 OFFSET ?4",
     SELECT MATCHES " AND sandbox = ?5 ORDER BY seq LIMIT ?3 OFFSET ?4"},
};

static int each_open(struct store *s, const struct event_query *eq, struct query *ret,
                     struct err *err)
{
    int r = query_open(&s->rd, selects[eq->sandbox != NULL][eq->ascending], ret, err);
    if (r < 0)
        return r;
    query_text(ret, 1, eq->team);
    query_i64(ret, 2, eq->types != 0 ? eq->types : UINT32_MAX);
    query_i64(ret, 3, eq->limit);
    query_i64(ret, 4, eq->offset);
    if (eq->sandbox != NULL)
        query_text(ret, 5, eq->sandbox);
    return 0;
}

int store_event_each(struct store *s, const struct event_query *eq,
                     int (*each)(const struct event *event, void *user), void *user,
                     struct err *err)
{
    if (eq->offset >= EVENTS_ALL_MAX)
        return 0; /* so many are never kept */
    _cleanup_query_ struct query q = {0};
    int r = each_open(s, eq, &q, err);
    while (r == 0 && (r = query_step(&q, err)) > 0) {
        struct event e;
        read_event(&q, &e);
        r = each(&e, user);
    }
    return r;
}

static int take_event(const struct event *event, void *user)
{
    *(struct event *)user = *event;
    return 0;
}

int store_event_last(struct store *s, const char *team, const char *sandbox, enum event_type type,
                     struct event *ret, struct err *err)
{
    struct event_query eq = {
        .team = team, .sandbox = sandbox, .types = 1u << (unsigned)type, .limit = 1};
    struct event found = {0};
    int r = store_event_each(s, &eq, take_event, &found, err);
    if (r < 0 || found.type == 0)
        return r;
    *ret = found;
    return 1;
}
