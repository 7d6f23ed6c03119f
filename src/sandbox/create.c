/*
 * Create: the path that every client waits for. Steps, each pushing its reverse before it acts:
 *
 *   object and registry -> row `creating` -> driver start -> envd /init -> row `running` -> answer
 *
 * A start from a template and, later, from a paused sandbox differ in the artifact only.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "base/random.h"
#include "image/template.h"
#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <string.h>

enum { SECRET_RANDOM_BYTES = 32, CPU_COUNT_MAX = 4096 };
static_assert(2 * SECRET_RANDOM_BYTES < SANDBOX_SECRET_BYTES, "a secret fits its field");

static void on_row(struct sandbox *sb, const struct err *err);
static void on_started(void *user, const struct driver_instance *inst, const struct err *err);
static void on_inited(struct sandbox *sb, int ok);
static void on_running(struct sandbox *sb, const struct err *err);

static int check_room(struct sandbox_manager *m, const char *team, struct err *err)
{
    if (m->closing || m->ready != NULL) {
        (void)err_set(err, -EAGAIN, ERR_UNAVAILABLE, "the server is %s; try again",
                      m->closing ? "stopping" : "starting");
        return err_code(err, "sandbox_capacity_unavailable");
    }
    if (registry_count_team(m, team) >= m->o.max_sandboxes) {
        (void)err_set(err, -EDQUOT, ERR_LIMIT,
                      "you have reached the maximum number of concurrent sandboxes (%u); kill one, "
                      "or raise max_sandboxes in the configuration",
                      m->o.max_sandboxes);
        return err_code(err, "sandbox_limit_reached");
    }
    if (m->n >= SANDBOXES_MAX || m->writes.n >= WRITE_QUEUE_MAX) {
        (void)err_set(err, -EAGAIN, ERR_UNAVAILABLE, "this server has no room for more sandboxes");
        return err_code(err, "sandbox_capacity_unavailable");
    }
    return 0;
}

void sandbox_template_limits(const struct sandbox_manager *m, const struct template_info *t,
                             struct sandbox_limits *ret)
{
    struct sandbox_limits l = m->o.default_limits;
    if (t->memory_mb != 0)
        l.memory_bytes = (uint64_t)t->memory_mb << 20;
    if (t->cpu_count != 0)
        l.cpu_millis = (t->cpu_count < CPU_COUNT_MAX ? t->cpu_count : CPU_COUNT_MAX) * 1000;
    if (t->disk_mb != 0)
        l.disk_bytes = (uint64_t)t->disk_mb << 20;
    *ret = l;
}

static int fill_strings(struct sandbox *sb, const struct sandbox_spec *spec, const char *alias,
                        struct err *err)
{
    sb->team = strdup(spec->team);
    sb->alias = strdup(alias);
    sb->driver = strdup(sb->m->o.driver->ops->name);
    sb->mask_host = spec->mask_host != NULL ? strdup(spec->mask_host) : NULL;
    sb->network_json = spec->network_json != NULL ? strdup(spec->network_json) : NULL;
    if (sb->team == NULL || sb->alias == NULL || sb->driver == NULL ||
        (spec->mask_host != NULL && sb->mask_host == NULL) ||
        (spec->network_json != NULL && sb->network_json == NULL) ||
        kv_copy(sb, spec->metadata, spec->n_metadata) < 0)
        return err_sys(err, -ENOMEM, "create a sandbox");
    int r = kv_to_json(spec->metadata, spec->n_metadata, "metadata", METADATA_MAX_BYTES,
                       &sb->metadata_json, err);
    if (r == 0)
        r = kv_to_json(spec->envs, spec->n_envs, "envVars", ENVS_MAX_BYTES, &sb->envs_json, err);
    return r;
}

static void sandbox_freep(struct sandbox **sb)
{
    sandbox_free(*sb);
}

static void start_fill(const struct sandbox *sb, struct driver_start *ret)
{
    *ret = (struct driver_start){.limits = sb->limits, .internet = sb->internet != 0};
    (void)snprintf(ret->id, sizeof(ret->id), "%s", sb->id);
    (void)snprintf(ret->artifact.template_id, sizeof(ret->artifact.template_id), "%s",
                   sb->template_id);
    (void)snprintf(ret->artifact.rootfs, sizeof(ret->artifact.rootfs), "templates/%s/rootfs",
                   sb->template_id);
    (void)snprintf(ret->control_secret, sizeof(ret->control_secret), "%s", sb->control_secret);
}

/* One that waits has a name already, and it becomes this sandbox's. */
static void claim(struct sandbox *sb)
{
    struct driver *d = sb->m->o.driver;
    struct driver_start start;
    start_fill(sb, &start);
    if (d->ops->claim != NULL && d->ops->claim(d, &start)) {
        (void)snprintf(sb->id, sizeof(sb->id), "%.*s", SANDBOX_ID_LEN, start.id);
        (void)snprintf(sb->control_secret, sizeof(sb->control_secret), "%s", start.control_secret);
    }
    explicit_bzero(&start, sizeof(start));
}

static int object_make(struct sandbox_manager *m, const struct sandbox_spec *spec,
                       const struct template_info *t, struct sandbox **ret, struct err *err)
{
    char id[SANDBOX_ID_LEN + 1];
    id_new_sandbox(id);
    _cleanup_(sandbox_freep)
    struct sandbox *sb = sandbox_new(m, id, SANDBOX_CREATING);
    if (sb == NULL)
        return err_sys(err, -ENOMEM, "create a sandbox");
    int r = fill_strings(sb, spec, t->alias, err);
    if (r < 0)
        return r;
    (void)snprintf(sb->template_id, sizeof(sb->template_id), "%s", t->id);
    (void)snprintf(sb->build_id, sizeof(sb->build_id), "%s", t->build_id);
    random_hex(sb->envd_token, SECRET_RANDOM_BYTES);
    random_hex(sb->control_secret, SECRET_RANDOM_BYTES);
    if (!spec->public_traffic)
        random_hex(sb->traffic_token, SECRET_RANDOM_BYTES);
    sb->internet = spec->internet;
    sandbox_template_limits(m, t, &sb->limits);
    sb->timeout_s = spec->timeout_s < m->o.max_life_s ? spec->timeout_s : m->o.max_life_s;
    sb->created_wall_ns = clock_wall_ns();
    sb->started_wall_ns = sb->created_wall_ns;
    sb->end = sb->planned = life_end_after((uint64_t)sb->timeout_s * NS_PER_S);
    claim(sb);
    CRASH_POINT("daemon.create.object");
    *ret = take_ptr(&sb);
    return 0;
}

void sandbox_create(struct sandbox_manager *m, const struct sandbox_spec *spec,
                    sandbox_info_cb done, void *user)
{
    struct err err = {0};
    struct template_info t;
    struct sandbox *sb = NULL;
    /* A few small reads on the loop's thread, of files that every create reads: they are cached. */
    if (check_room(m, spec->team, &err) < 0 ||
        template_find(m->o.templates_dir, spec->template, &t, &err) < 0 ||
        object_make(m, spec, &t, &sb, &err) < 0) {
        manager_fail_info(m, done, user, &err);
        return;
    }
    assert(sb != NULL);
    sb->created = done;
    sb->created_user = user;
    registry_add(sb);
    undo_push(sb, UNDO_ROW);
    sandbox_row_insert(sb, on_row);
}

/*
 * What a step of ours failed of, in terms of the client's request, which was in order: what the host
 * denies, lacks or has twice is our trouble, and a limit of the host is not one of the client's.
 */
static struct err as_our_fault(const struct err *err)
{
    struct err why = *err;
    if (why.kind == ERR_DENIED || why.kind == ERR_INVALID || why.kind == ERR_NOT_FOUND ||
        why.kind == ERR_CONFLICT)
        why.kind = ERR_INTERNAL;
    else if (why.kind == ERR_LIMIT)
        why.kind = ERR_UNAVAILABLE;
    return why;
}

/* One that ended after its row said `running` has lived, if for a moment. */
static enum end_cause cause_of(const struct sandbox *sb)
{
    if (sb->state == SANDBOX_CREATING)
        return END_START;
    if (sb->exited)
        return END_EXIT;
    return sb->kill_asked ? END_REQUEST : END_SHUTDOWN;
}

/* True when the creation may go on; otherwise it is being undone. */
static bool goes_on(struct sandbox *sb, const struct err *err)
{
    struct err why = {0};
    if (err != NULL)
        why = as_our_fault(err);
    else if (sb->why.num != 0)
        why = sb->why;
    else if (sb->exited)
        (void)err_set(&why, -EPIPE, ERR_INTERNAL, "the sandbox ended while it was starting");
    else if (sb->m->closing)
        (void)err_set(&why, -ECANCELED, ERR_UNAVAILABLE, "the server is stopping; try again");
    else if (sb->kill_asked)
        (void)err_set(&why, -ECANCELED, ERR_CONFLICT, "the sandbox was killed while it started");
    else
        return true;
    sandbox_end(sb, cause_of(sb), &why);
    return false;
}

static void on_row(struct sandbox *sb, const struct err *err)
{
    CRASH_POINT("daemon.create.row");
    if (!goes_on(sb, err))
        return;
    struct driver_start start;
    start_fill(sb, &start);
    undo_push(sb, UNDO_INSTANCE);
    manager_op_begin(sb->m);
    sb->m->o.driver->ops->start(sb->m->o.driver, &start, on_started, sb);
    CRASH_POINT("daemon.create.asked");
    explicit_bzero(&start, sizeof(start));
}

static void on_started(void *user, const struct driver_instance *inst, const struct err *err)
{
    struct sandbox *sb = user;
    struct sandbox_manager *m = sb->m;
    CRASH_POINT("daemon.create.started");
    if (err == NULL)
        sb->inst = *inst;
    if (goes_on(sb, err))
        sandbox_init_start(sb, on_inited);
    manager_op_end(m);
}

static void on_inited(struct sandbox *sb, int ok)
{
    CRASH_POINT("daemon.create.inited");
    (void)ok; /* the reason is in sb: why, exited, kill_asked */
    explicit_bzero(sb->envs_json, strlen(sb->envs_json));
    if (!goes_on(sb, NULL))
        return;
    uint64_t life_ns = (uint64_t)sb->timeout_s * NS_PER_S;
    sb->end = sb->planned = life_end_after(life_ns);
    sb->started_wall_ns = sb->end.wall_ns - (int64_t)life_ns;
    sandbox_set_state(sb, SANDBOX_RUNNING, on_running);
}

static void on_running(struct sandbox *sb, const struct err *err)
{
    CRASH_POINT("daemon.create.running");
    if (!goes_on(sb, err))
        return;
    registry_show(sb);
    events_arm(sb->m);
    sandbox_arm_expiry(sb);
    manager_notice(sb->m, sb->id, "running, %u ms after it was asked for",
                   (unsigned)((clock_wall_ns() - sb->created_wall_ns) / (int64_t)NS_PER_MS));
    struct sandbox_info info;
    sandbox_describe(sb, &info);
    sandbox_info_cb created = sb->created;
    sb->created = NULL;
    created(sb->created_user, &info, NULL);
    CRASH_POINT("daemon.create.answered");
}
