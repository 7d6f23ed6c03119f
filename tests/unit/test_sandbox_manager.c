/*
 * The sandbox manager against a driver and an envd that do what the test says. Completions are
 * queued and run by turn(), so that each test decides in which order things happen.
 */
// deps: sandbox store image json base uv sqlite
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "http/client.h"
#include "sandbox/sandbox_internal.h"
#include "store/keys.h"
#include "store/sandboxes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { OPS_MAX = 64, DEADLINE_S = 60 };
#define TEMPLATE "abcdefghij0123456789"

typedef void (*fetch_done)(unsigned, struct slice, const struct err *, void *);

struct op {
    enum { OP_START, OP_STOP, OP_LIST, OP_FETCH } kind;
    char id[SANDBOX_ID_BYTES];
    void (*started)(void *user, const struct driver_instance *inst, const struct err *err);
    void (*stopped)(void *user, const struct err *err);
    void (*each)(void *user, const char *id, const struct driver_instance *inst);
    fetch_done fetched;
    void *user;
};

/* The world outside the manager. */
static struct world {
    struct driver driver; /* first */
    char dir[64], db[96], templates[96], team[UUID_BYTES];
    uv_loop_t loop;
    struct store *store;
    struct sandbox_manager *m;
    struct op ops[OPS_MAX];
    unsigned n_ops;
    struct {
        char id[SANDBOX_ID_BYTES];
        uint64_t pid_start;
    } live[OPS_MAX];
    unsigned n_live;
    unsigned starts, stops, fetches;
    bool hold, fail_start, fail_list;
    enum err_kind start_kind; /* what fail_start fails of */
    unsigned fail_stops;
    unsigned status[8]; /* answers of envd, then 204 */
    char body[8192], control[128];
    bool ready, closed;
    struct err ready_err;
} w;

static struct op *op_new(int kind, const char *id, void *user)
{
    assert_true(w.n_ops < OPS_MAX);
    struct op *op = &w.ops[w.n_ops++];
    *op = (struct op){.kind = kind, .user = user};
    (void)snprintf(op->id, sizeof(op->id), "%s", id);
    return op;
}

static void fake_start(struct driver *d, const struct driver_start *start,
                       void (*done)(void *user, const struct driver_instance *inst,
                                    const struct err *err),
                       void *user)
{
    (void)d;
    w.starts++;
    assert_string_equal(start->artifact.template_id, TEMPLATE);
    op_new(OP_START, start->id, user)->started = done;
}

static void fake_stop(struct driver *d, const char *id,
                      void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    w.stops++;
    op_new(OP_STOP, id, user)->stopped = done;
}

static void fake_list(struct driver *d,
                      void (*each)(void *user, const char *id, const struct driver_instance *inst),
                      void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    struct op *op = op_new(OP_LIST, "", user);
    op->each = each;
    op->stopped = done;
}

static const struct driver_ops fake_ops = {
    .name = "fake", .start = fake_start, .stop = fake_stop, .list = fake_list};

void http_fetch(uv_loop_t *loop, const struct http_call_opts *opts, struct slice body, size_t max,
                unsigned total_timeout_ms, fetch_done done, void *user)
{
    (void)loop, (void)max, (void)total_timeout_ms;
    (void)slice_copy(body, w.body, sizeof(w.body));
    for (size_t i = 0; i < opts->n_headers; i++)
        if (slice_ieq_str(opts->headers[i].name, "x-silica-control"))
            (void)slice_copy(opts->headers[i].value, w.control, sizeof(w.control));
    op_new(OP_FETCH, "", user)->fetched = done;
}

static int live_find(const char *id)
{
    for (unsigned i = 0; i < w.n_live; i++)
        if (strcmp(w.live[i].id, id) == 0)
            return (int)i;
    return -1;
}

static struct driver_instance instance_of(unsigned i)
{
    struct driver_instance inst = {.slot = i, .pid = 1000 + (int)i};
    inst.pid_start = w.live[i].pid_start;
    inst.addr.sin_family = AF_INET;
    inst.addr.sin_addr.s_addr = i + 1;
    return inst;
}

static void run_start(struct op *op)
{
    struct err err;
    if (w.fail_start) {
        (void)err_set(&err, -EIO, w.start_kind, "no start today");
        op->started(op->user, NULL, &err);
        return;
    }
    unsigned i = w.n_live++;
    memcpy(w.live[i].id, op->id, sizeof(op->id));
    w.live[i].pid_start = 77 + w.starts;
    struct driver_instance inst = instance_of(i);
    op->started(op->user, &inst, NULL);
}

static void run_stop(struct op *op)
{
    struct err err;
    if (w.fail_stops > 0) {
        w.fail_stops--;
        (void)err_set(&err, -EBUSY, ERR_UNAVAILABLE, "no stop today");
        op->stopped(op->user, &err);
        return;
    }
    int i = live_find(op->id);
    if (i >= 0)
        w.live[i] = w.live[--w.n_live];
    op->stopped(op->user, NULL);
}

static void run_op(struct op *op)
{
    struct err err;
    switch (op->kind) {
    case OP_START:
        run_start(op);
        break;
    case OP_STOP:
        run_stop(op);
        break;
    case OP_LIST:
        for (unsigned i = 0; i < w.n_live && !w.fail_list; i++) {
            struct driver_instance inst = instance_of(i);
            op->each(op->user, w.live[i].id, &inst);
        }
        (void)err_set(&err, -EPIPE, ERR_UNAVAILABLE, "no list today");
        op->stopped(op->user, w.fail_list ? &err : NULL);
        break;
    case OP_FETCH: {
        unsigned n = w.fetches++;
        unsigned status = n < ARRAY_LEN(w.status) && w.status[n] != 0 ? w.status[n] : 204;
        op->fetched(status, slice_str(""), NULL, op->user);
        break;
    }
    }
}

/* One turn of the world: what the driver and envd had to do is done, unless held. */
static void turn(void)
{
    for (unsigned i = 0; !w.hold && i < w.n_ops; i++) {
        struct op op = w.ops[i];
        memmove(&w.ops[i], &w.ops[i + 1], (--w.n_ops - i) * sizeof(op));
        run_op(&op);
        break;
    }
    (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    struct timespec ms = {0, 1000000};
    (void)nanosleep(&ms, NULL);
}

/* Turns until the condition holds; the deadline is only there to end a broken run. */
#define until(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = clock_monotonic_ns() + DEADLINE_S * NS_PER_S;                              \
        while (!(condition)) {                                                                     \
            if (clock_monotonic_ns() > end_)                                                       \
                fail_msg("never: %s", #condition);                                                 \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static void on_ready(void *user, const struct err *err)
{
    (void)user;
    w.ready = true;
    if (err != NULL)
        w.ready_err = *err;
}

static void on_closed(void *user, const struct err *err)
{
    (void)user, (void)err;
    w.closed = true;
}

static void manager_open(void)
{
    struct sandbox_manager_opts opts = {
        .loop = &w.loop,
        .store = w.store,
        .driver = &w.driver,
        .templates_dir = w.templates,
        .default_limits = {.pids = 100},
        .max_sandboxes = 3,
        .max_life_s = 3600,
    };
    w.ready = w.closed = false;
    struct err err = {0};
    if (sandbox_manager_new(&opts, on_ready, NULL, &w.m, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(w.ready);
    until(w.ready);
}

static void manager_close(bool end_all)
{
    sandbox_manager_close(w.m, end_all, on_closed, NULL);
    assert_false(w.closed);
    until(w.closed);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(fd, name, slice_str(text), 0644, NULL), 0);
    (void)fd_close(fd);
}

static void make_template(void)
{
    char dir[160];
    (void)snprintf(w.templates, sizeof(w.templates), "%s/templates", w.dir);
    (void)snprintf(dir, sizeof(dir), "%s/%s/rootfs", w.templates, TEMPLATE);
    assert_int_equal(fs_mkdir_all(dir, 0755, NULL), 0);
    (void)snprintf(dir, sizeof(dir), "%s/%s", w.templates, TEMPLATE);
    write_file(dir, "template.json",
               "{\"id\":\"" TEMPLATE "\",\"alias\":\"base\",\"buildId\":"
               "\"00000000-0000-4000-8000-000000000000\",\"cpuCount\":2,\"memoryMB\":512,"
               "\"diskMB\":1024}");
    (void)snprintf(dir, sizeof(dir), "%s/aliases", w.templates);
    assert_int_equal(fs_mkdir_all(dir, 0755, NULL), 0);
    write_file(dir, "base", TEMPLATE "\n");
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    w.driver.ops = &fake_ops;
    (void)snprintf(w.dir, sizeof(w.dir), "/tmp/silica-sandbox-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    (void)snprintf(w.db, sizeof(w.db), "%s/silica.db", w.dir);
    make_template();
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_int_equal(store_open(w.db, &w.store, NULL), 0);
    char key[API_KEY_BYTES];
    struct key_info k;
    assert_int_equal(store_key_create(w.store, "test", key, &k, NULL), 0);
    memcpy(w.team, k.team, sizeof(w.team));
    manager_open();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.hold = false;
    w.fail_stops = 0;
    if (!w.closed)
        manager_close(true);
    store_close(w.store);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, w.dir, NULL), 0);
    return 0;
}

/* Answers */

struct answer {
    unsigned calls;
    bool ok;
    char id[SANDBOX_ID_BYTES];
    int64_t start_ns, end_ns;
    struct err err;
};

static void on_info(void *user, const struct sandbox_info *info, const struct err *err)
{
    struct answer *a = user;
    a->calls++;
    a->ok = info != NULL;
    if (info != NULL) {
        (void)snprintf(a->id, sizeof(a->id), "%s", info->id);
        a->start_ns = info->started_wall_ns;
        a->end_ns = info->end_wall_ns;
    } else {
        a->err = *err;
    }
}

static void on_done(void *user, const struct err *err)
{
    struct answer *a = user;
    a->calls++;
    a->ok = err == NULL;
    if (err != NULL)
        a->err = *err;
}

static struct sandbox_spec spec_of(int64_t timeout_s)
{
    return (struct sandbox_spec){.team = w.team,
                                 .template = "base",
                                 .timeout_s = timeout_s,
                                 .internet = -1,
                                 .public_traffic = true};
}

static struct answer create(int64_t timeout_s)
{
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(timeout_s);
    sandbox_create(w.m, &spec, on_info, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    return a;
}

static struct answer kill_and_wait(const char *id)
{
    struct answer a = {0};
    sandbox_kill(w.m, w.team, id, on_done, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    return a;
}

static struct answer set_timeout(const char *id, int64_t s, bool extend_only)
{
    struct answer a = {0};
    sandbox_set_timeout(w.m, w.team, id, s, extend_only, on_info, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    return a;
}

struct rows {
    unsigned n;
    char last_state[16];
};

static int count_row(const struct sandbox_row *row, void *user)
{
    struct rows *r = user;
    r->n++;
    (void)snprintf(r->last_state, sizeof(r->last_state), "%s", row->state);
    return 0;
}

static struct rows rows(void)
{
    struct rows r = {0};
    assert_int_equal(store_sandbox_each(w.store, count_row, &r, NULL), 0);
    return r;
}

static bool nothing_left(void)
{
    return rows().n == 0 && w.n_live == 0 && w.m->n == 0;
}

static unsigned gone_calls;
static void on_gone(struct sandbox_link *link)
{
    gone_calls++;
    sandbox_unlink(link); /* must be safe here */
}

/* Tests */

static void test_create(void **state)
{
    (void)state;
    struct kv metadata[] = {{(char[]){"user"}, (char[]){"a\"b"}}};
    struct kv envs[] = {{(char[]){"KEY"}, (char[]){"secret value"}}};
    struct sandbox_spec spec = spec_of(300);
    spec.metadata = metadata;
    spec.envs = envs;
    spec.n_metadata = spec.n_envs = 1;
    spec.public_traffic = false;
    struct answer a = {0};
    sandbox_create(w.m, &spec, on_info, &a);
    until(a.calls > 0);
    assert_true(a.ok);
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), 0);
    assert_string_equal(info.template_id, TEMPLATE);
    assert_string_equal(info.alias, "base");
    assert_int_equal(info.state, SANDBOX_RUNNING);
    assert_int_equal(info.memory_mb, 512);
    assert_int_equal(info.cpu_count, 2);
    assert_int_equal(info.n_metadata, 1);
    assert_string_equal(info.metadata[0].value, "a\"b");
    assert_int_equal(info.end_wall_ns - info.started_wall_ns, 300 * (int64_t)NS_PER_S);
    assert_non_null(info.traffic_token);
    assert_non_null(strstr(w.body, info.envd_token));
    assert_non_null(strstr(w.body, "\"envVars\":{\"KEY\":\"secret value\"}"));
    assert_non_null(strstr(w.body, "\"defaultUser\":\"user\""));
    assert_int_equal(strlen(w.control), 64);
    assert_int_equal(rows().n, 1);
    assert_string_equal(rows().last_state, "running");
    assert_int_equal(sandbox_get(w.m, "another team", a.id, &info, NULL), -ENOENT);
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
}

static void test_state_is_persisted_first(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    w.hold = true;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.starts == 1);
    assert_string_equal(rows().last_state, "creating"); /* before the driver was asked */
    w.hold = false;
    until(a.calls > 0);
    w.hold = true;
    struct answer k = {0};
    sandbox_kill(w.m, w.team, a.id, on_done, &k);
    until(w.stops == 1);
    assert_string_equal(rows().last_state, "killing");
    assert_int_equal(k.calls, 0); /* not done before it is done */
    w.hold = false;
    until(k.calls > 0);
    assert_true(k.ok && nothing_left());
}

static void test_kill(void **state)
{
    (void)state;
    struct answer a = create(300), first = {0}, second = {0};
    struct sandbox_info info;
    struct sandbox_link link = {.on_gone = on_gone}, other = {.on_gone = on_gone};
    gone_calls = 0;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle + 1, &other), -ENOENT);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &link), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &other), 0);
    sandbox_unlink(&other);
    sandbox_kill(w.m, "another team", a.id, on_done, &second);
    until(second.calls > 0);
    assert_int_equal(second.err.num, -ENOENT);
    second = (struct answer){0};
    sandbox_kill(w.m, w.team, a.id, on_done, &first);
    sandbox_kill(w.m, w.team, a.id, on_done, &second);
    until(first.calls > 0 && second.calls > 0);
    assert_true(first.ok);
    assert_int_equal(second.err.num, -ENOENT);
    assert_int_equal(gone_calls, 1);
    assert_int_equal(w.stops, 1);
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), -ENOENT);
    assert_true(nothing_left());
    sandbox_unlink(&link);
}

/* The request was in order: whatever the host's trouble is, the client hears of no fault of its own. */
static void test_start_fails(void **state)
{
    static const struct {
        enum err_kind failed, told;
    } cases[] = {
        {ERR_INTERNAL, ERR_INTERNAL},       {ERR_INVALID, ERR_INTERNAL},
        {ERR_NOT_FOUND, ERR_INTERNAL},      {ERR_CONFLICT, ERR_INTERNAL},
        {ERR_DENIED, ERR_INTERNAL},         {ERR_LIMIT, ERR_UNAVAILABLE},
        {ERR_UNAVAILABLE, ERR_UNAVAILABLE}, {ERR_TIMEOUT, ERR_TIMEOUT},
    };
    (void)state;
    w.fail_start = true;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        w.start_kind = cases[i].failed;
        struct answer a = create(300);
        assert_false(a.ok);
        assert_string_equal(a.err.msg, "no start today");
        assert_int_equal(a.err.kind, cases[i].told);
        assert_true(nothing_left());
    }
}

static void test_init_is_refused(void **state)
{
    (void)state;
    w.status[0] = 400;
    struct answer a = create(300);
    assert_false(a.ok);
    assert_non_null(strstr(a.err.msg, "400"));
    assert_int_equal(w.fetches, 1);
    assert_true(nothing_left());
}

static void test_init_is_repeated(void **state)
{
    (void)state;
    w.status[0] = w.status[1] = 503;
    struct answer a = create(300);
    assert_true(a.ok);
    assert_int_equal(w.fetches, 3);
}

static void test_refusals(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    spec.template = "nothing";
    sandbox_create(w.m, &spec, on_info, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    assert_int_equal(a.err.kind, ERR_NOT_FOUND);
    for (int i = 0; i < 3; i++)
        assert_true(create(300).ok);
    a = create(300);
    assert_int_equal(a.err.num, -EDQUOT);
    assert_int_equal(a.err.kind, ERR_LIMIT);
    assert_string_equal(a.err.code, "sandbox_limit_reached");
    assert_int_equal(w.starts, 3);
    assert_int_equal(kill_and_wait("inothing").err.num, -ENOENT);
}

static void test_metadata_limit(void **state)
{
    (void)state;
    static char big[METADATA_MAX_BYTES];
    memset(big, 'x', sizeof(big) - 1);
    struct kv metadata[] = {{(char[]){"k"}, big}};
    struct sandbox_spec spec = spec_of(300);
    spec.metadata = metadata;
    spec.n_metadata = 1;
    struct answer a = {0};
    sandbox_create(w.m, &spec, on_info, &a);
    until(a.calls > 0);
    assert_int_equal(a.err.num, -E2BIG);
    assert_non_null(strstr(a.err.msg, "metadata"));
}

static void test_kill_while_creating(void **state)
{
    (void)state;
    struct answer a = {0}, k = {0}, again = {0};
    struct sandbox_spec spec = spec_of(300);
    w.hold = true;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.starts == 1);
    char id[SANDBOX_ID_BYTES];
    memcpy(id, w.ops[0].id, sizeof(id));
    sandbox_kill(w.m, w.team, id, on_done, &k);
    sandbox_kill(w.m, w.team, id, on_done, &again);
    w.hold = false;
    until(a.calls > 0 && k.calls > 0 && again.calls > 0);
    assert_false(a.ok);
    assert_true(k.ok);
    assert_int_equal(again.err.num, -ENOENT);
    assert_int_equal(w.fetches, 0);
    assert_true(nothing_left());
}

static void test_exit(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct sandbox_info info;
    struct sandbox_link link = {.on_gone = on_gone};
    gone_calls = 0;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &link), 0);
    w.driver.on_exit(
        w.driver.on_exit_user, a.id,
        &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"});
    w.driver.on_exit(
        w.driver.on_exit_user, a.id,
        &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"});
    w.driver.on_exit(w.driver.on_exit_user, "inobody",
                     &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "?"});
    until(nothing_left());
    assert_int_equal(gone_calls, 1);
}

static void test_exit_while_creating(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    w.status[0] = 503;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.fetches == 1);
    w.driver.on_exit(w.driver.on_exit_user, w.live[0].id,
                     &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed"});
    until(a.calls > 0);
    assert_false(a.ok);
    assert_int_equal(w.fetches, 1); /* nobody asks the dead */
    assert_true(nothing_left());
}

static void test_stop_fails(void **state)
{
    (void)state;
    struct answer a = create(300);
    w.fail_stops = 1;
    struct answer k = kill_and_wait(a.id);
    assert_false(k.ok);
    assert_string_equal(k.err.msg, "no stop today");
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), -ENOENT);
    assert_string_equal(rows().last_state, "killing");
    until(nothing_left()); /* it is tried again */
    assert_int_equal(w.stops, 2);
}

/* A database that cannot be written, as on a full disk, makes no sandbox immortal. */
static void test_kill_without_a_database(void **state)
{
    (void)state;
    struct answer a = create(300);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct answer k = kill_and_wait(a.id);
    assert_false(k.ok); /* not done while the row is there */
    assert_int_equal(k.err.kind, ERR_UNAVAILABLE);
    assert_int_equal(w.n_live, 0); /* but it runs no more */
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    until(nothing_left());
}

static void test_expiry(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_ns();
    struct answer a = create(1), b = create(300);
    struct sandbox_info info;
    until(sandbox_get(w.m, NULL, a.id, &info, NULL) < 0);
    assert_true(clock_monotonic_ns() - before >= NS_PER_S);
    assert_int_equal(sandbox_get(w.m, NULL, b.id, &info, NULL), 0);
    until(w.n_live == 1);
}

static void test_expiry_is_never_early(void **state)
{
    (void)state;
    struct answer a = create(2);
    uint64_t due = registry_find(w.m, a.id)->end.mono_ns;
    until(w.stops == 1);
    assert_true(clock_monotonic_ns() >= due);
    assert_true(clock_wall_ns() >= a.end_ns);
}

static void test_set_timeout(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct answer t = set_timeout(a.id, 10, true); /* never shortens */
    assert_true(t.ok && t.end_ns == a.end_ns);
    t = set_timeout(a.id, 600, true);
    assert_true(t.ok && t.end_ns > a.end_ns);
    t = set_timeout(a.id, 10, false);
    assert_true(t.ok && t.end_ns < a.end_ns);
    t = set_timeout(a.id, 100000, false); /* clamped to the longest life */
    assert_true(t.ok);
    assert_int_equal(t.end_ns - t.start_ns, 3600 * (int64_t)NS_PER_S);
    assert_int_equal(set_timeout("inothing", 5, false).err.num, -ENOENT);
    t = set_timeout(a.id, 0, false);
    assert_true(t.ok);
    until(nothing_left());
}

static void test_extend_behind_a_shortening(void **state)
{
    (void)state;
    struct answer a = create(300), t = {0}, u = {0};
    sandbox_set_timeout(w.m, w.team, a.id, 20, false, on_info, &t);
    sandbox_set_timeout(w.m, w.team, a.id, 10, true, on_info, &u);
    until(t.calls > 0 && u.calls > 0);
    assert_int_equal(u.end_ns, t.end_ns);
}

struct seen {
    unsigned n;
    char ids[4][SANDBOX_ID_BYTES];
};

static bool see(void *user, const struct sandbox_info *info)
{
    struct seen *s = user;
    (void)snprintf(s->ids[s->n++], SANDBOX_ID_BYTES, "%s", info->id);
    return s->n < 2;
}

static void test_each(void **state)
{
    (void)state;
    struct answer a = create(300), b = create(300), c = create(300);
    struct seen s = {0};
    sandbox_each(w.m, w.team, see, &s);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.ids[0], a.id);
    assert_string_equal(s.ids[1], b.id);
    kill_and_wait(a.id);
    s.n = 0;
    sandbox_each(w.m, w.team, see, &s);
    assert_string_equal(s.ids[1], c.id);
    s.n = 0;
    sandbox_each(w.m, "another team", see, &s);
    assert_int_equal(s.n, 0);
}

static void test_adoption(void **state)
{
    (void)state;
    struct answer a = create(300), b = create(300), c = create(300);
    struct sandbox_info before, after;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &before, NULL), 0);
    char token[SANDBOX_SECRET_BYTES];
    (void)snprintf(token, sizeof(token), "%s", before.envd_token);
    int64_t end_ns = before.end_wall_ns;
    manager_close(false);
    assert_int_equal(w.n_live, 3);
    assert_int_equal(w.stops, 0);
    w.live[live_find(b.id)].pid_start++; /* another process has its number now */
    w.live[live_find(c.id)] = w.live[2];
    (void)snprintf(w.live[2].id, sizeof(w.live[2].id), "istray00000000000000x");
    manager_open();
    assert_int_equal(w.ready_err.num, 0);
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &after, NULL), 0);
    assert_string_equal(after.envd_token, token);
    assert_true(after.end_wall_ns == end_ns);
    assert_int_equal(sandbox_get(w.m, w.team, b.id, &after, NULL), -ENOENT);
    assert_int_equal(sandbox_get(w.m, w.team, c.id, &after, NULL), -ENOENT);
    assert_int_equal(w.n_live, 1); /* the stray and the impostor are gone */
    assert_int_equal(rows().n, 1);
    assert_true(kill_and_wait(a.id).ok);
    assert_true(nothing_left());
}

static void test_adoption_of_the_expired(void **state)
{
    (void)state;
    struct answer a = create(1);
    (void)a;
    manager_close(false);
    struct timespec s = {1, 100000000};
    (void)nanosleep(&s, NULL);
    manager_open();
    until(nothing_left());
}

static void test_adoption_of_the_dead(void **state)
{
    (void)state;
    struct answer a = create(300);
    manager_close(false);
    w.status[w.fetches] = 500;
    manager_open();
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), -ENOENT);
    assert_true(nothing_left());
}

static void test_half_made_rows(void **state)
{
    (void)state;
    manager_close(false);
    struct sandbox_row row = {
        .id = "icreating00000000000x",
        .team = w.team,
        .template_id = TEMPLATE,
        .alias = "base",
        .driver = "fake",
        .state = "creating",
        .envd_token = "",
        .control_secret = "",
        .metadata = "{}",
    };
    uint64_t one = 0, two = 0;
    assert_int_equal(store_sandbox_insert(w.store, &row, &one, NULL), 0);
    assert_int_equal(store_sandbox_insert(w.store, &row, &two, NULL), -EEXIST);
    row.id = "ikilling000000000000x";
    row.state = "killing";
    assert_int_equal(store_sandbox_insert(w.store, &row, &two, NULL), 0);
    assert_true(two > one);
    (void)snprintf(w.live[0].id, sizeof(w.live[0].id), "%s", row.id);
    w.n_live = 1;
    manager_open();
    assert_true(nothing_left());
    assert_int_equal(w.stops, 2);
}

static void test_list_fails(void **state)
{
    (void)state;
    struct answer a = create(300);
    (void)a;
    manager_close(false);
    w.fail_list = true;
    manager_open();
    assert_string_equal(w.ready_err.msg, "no list today");
    manager_close(false);
    assert_int_equal(w.n_live, 1); /* nothing is touched when we do not know what lives */
    assert_int_equal(rows().n, 1);
    w.fail_list = false;
    manager_open();
}

static void test_close_ends_all(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    assert_true(create(300).ok);
    sandbox_create(w.m, &spec, on_info, &a);
    turn();
    manager_close(true);
    assert_int_equal(a.calls, 1);
    assert_false(a.ok);
    assert_int_equal(w.n_live, 0);
    assert_int_equal(rows().n, 0);
}

static void test_close_undoes_starts(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    assert_true(create(300).ok);
    w.status[1] = 503;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.fetches == 2); /* now it waits for its next attempt */
    manager_close(false);
    assert_false(a.ok);
    assert_int_equal(w.n_live, 1);
    assert_int_equal(rows().n, 1);
}

static void test_moves(void **state)
{
    (void)state;
    static const bool legal[SANDBOX_STATE_MAX_][SANDBOX_STATE_MAX_] = {
        [SANDBOX_CREATING] = {[SANDBOX_RUNNING] = true, [SANDBOX_KILLING] = true},
        [SANDBOX_RUNNING] = {[SANDBOX_KILLING] = true},
    };
    for (unsigned from = 0; from < SANDBOX_STATE_MAX_; from++) {
        assert_int_equal(sandbox_state_parse(sandbox_state_name(from)), from);
        for (unsigned to = 0; to < SANDBOX_STATE_MAX_; to++)
            assert_int_equal(sandbox_move_legal(from, to), legal[from][to]);
    }
    assert_int_equal(sandbox_state_parse("paused"), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create),
        T(test_state_is_persisted_first),
        T(test_kill),
        T(test_start_fails),
        T(test_init_is_refused),
        T(test_init_is_repeated),
        T(test_refusals),
        T(test_metadata_limit),
        T(test_kill_while_creating),
        T(test_exit),
        T(test_exit_while_creating),
        T(test_stop_fails),
        T(test_kill_without_a_database),
        T(test_expiry),
        T(test_expiry_is_never_early),
        T(test_set_timeout),
        T(test_extend_behind_a_shortening),
        T(test_each),
        T(test_adoption),
        T(test_adoption_of_the_expired),
        T(test_adoption_of_the_dead),
        T(test_half_made_rows),
        T(test_list_fails),
        T(test_close_ends_all),
        T(test_close_undoes_starts),
        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
