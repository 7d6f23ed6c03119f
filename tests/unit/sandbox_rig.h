/*
 * A sandbox manager in a world that the test plays: a driver and an envd that do what it says, a
 * database of its own. Completions are queued and run by turn(), so that each test decides in which
 * order things happen.
 */
#pragma once

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

enum { OPS_MAX = 64, DEADLINE_S = 100 };
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
    unsigned slow;      /* so many of the first take longer than a clock may be late */
    enum driver_kind kind;
    char body[8192], control[128];
    bool ready, closed;
    struct err ready_err;
} w;

static inline struct op *op_new(int kind, const char *id, void *user)
{
    assert_true(w.n_ops < OPS_MAX);
    struct op *op = &w.ops[w.n_ops++];
    *op = (struct op){.kind = kind, .user = user};
    (void)snprintf(op->id, sizeof(op->id), "%s", id);
    return op;
}

static inline void fake_start(struct driver *d, const struct driver_start *start,
                              void (*done)(void *user, const struct driver_instance *inst,
                                           const struct err *err),
                              void *user)
{
    (void)d;
    w.starts++;
    assert_string_equal(start->artifact.template_id, TEMPLATE);
    op_new(OP_START, start->id, user)->started = done;
}

static inline void fake_stop(struct driver *d, const char *id,
                             void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    w.stops++;
    op_new(OP_STOP, id, user)->stopped = done;
}

static inline void fake_list(struct driver *d,
                             void (*each)(void *user, const char *id,
                                          const struct driver_instance *inst),
                             void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    struct op *op = op_new(OP_LIST, "", user);
    op->each = each;
    op->stopped = done;
}

static const struct driver_ops fake_ops = {
    .name = "fake", .start = fake_start, .stop = fake_stop, .list = fake_list};

struct http_fetch *http_fetch(uv_loop_t *loop, const struct http_call_opts *opts, struct slice body,
                              size_t max, unsigned total_timeout_ms, fetch_done done, void *user)
{
    (void)loop, (void)max, (void)total_timeout_ms;
    (void)slice_copy(body, w.body, sizeof(w.body));
    for (size_t i = 0; i < opts->n_headers; i++)
        if (slice_ieq_str(opts->headers[i].name, "x-silica-control"))
            (void)slice_copy(opts->headers[i].value, w.control, sizeof(w.control));
    op_new(OP_FETCH, "", user)->fetched = done;
    return NULL;
}

static inline int live_find(const char *id)
{
    for (unsigned i = 0; i < w.n_live; i++)
        if (strcmp(w.live[i].id, id) == 0)
            return (int)i;
    return -1;
}

static inline struct driver_instance instance_of(unsigned i)
{
    struct driver_instance inst = {.kind = w.kind, .slot = i, .pid = 1000 + (int)i};
    inst.pid_start = w.live[i].pid_start;
    inst.addr.sin_family = AF_INET;
    inst.addr.sin_addr.s_addr = i + 1;
    return inst;
}

static inline void run_start(struct op *op)
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

static inline void run_stop(struct op *op)
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

static inline void run_op(struct op *op)
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
        if (n < w.slow)
            (void)usleep(60000);
        unsigned status = n < ARRAY_LEN(w.status) && w.status[n] != 0 ? w.status[n] : 204;
        op->fetched(status, slice_str(""), NULL, op->user);
        break;
    }
    }
}

/* One turn of the world: what the driver and envd had to do is done, unless held. */
static inline void turn(void)
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

static inline void on_ready(void *user, const struct err *err)
{
    (void)user;
    w.ready = true;
    if (err != NULL)
        w.ready_err = *err;
}

static inline void on_closed(void *user, const struct err *err)
{
    (void)user, (void)err;
    w.closed = true;
}

static inline void manager_open(void)
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

static inline void manager_close(bool end_all)
{
    sandbox_manager_close(w.m, end_all, on_closed, NULL);
    assert_false(w.closed);
    until(w.closed);
}

static inline void write_file(const char *dir, const char *name, const char *text)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_replace_file(fd, name, slice_str(text), 0644, NULL), 0);
    (void)fd_close(fd);
}

static inline void make_template(void)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void on_info(void *user, const struct sandbox_info *info, const struct err *err)
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

static inline void on_done(void *user, const struct err *err)
{
    struct answer *a = user;
    a->calls++;
    a->ok = err == NULL;
    if (err != NULL)
        a->err = *err;
}

static inline struct sandbox_spec spec_of(int64_t timeout_s)
{
    return (struct sandbox_spec){.team = w.team,
                                 .template = "base",
                                 .timeout_s = timeout_s,
                                 .internet = -1,
                                 .public_traffic = true};
}

static inline struct answer create(int64_t timeout_s)
{
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(timeout_s);
    sandbox_create(w.m, &spec, on_info, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    return a;
}

static inline struct answer kill_and_wait(const char *id)
{
    struct answer a = {0};
    sandbox_kill(w.m, w.team, id, on_done, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    return a;
}

static inline struct answer set_timeout(const char *id, int64_t s, bool extend_only)
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

static inline int count_row(const struct sandbox_row *row, void *user)
{
    struct rows *r = user;
    r->n++;
    (void)snprintf(r->last_state, sizeof(r->last_state), "%s", row->state);
    return 0;
}

static inline struct rows rows(void)
{
    struct rows r = {0};
    assert_int_equal(store_sandbox_each(w.store, count_row, &r, NULL), 0);
    return r;
}

static inline bool nothing_left(void)
{
    return rows().n == 0 && w.n_live == 0 && w.m->n == 0;
}

static unsigned gone_calls;
static inline void on_gone(struct sandbox_link *link)
{
    gone_calls++;
    sandbox_unlink(link); /* must be safe here */
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
