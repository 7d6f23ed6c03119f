/*
 * The micro-VM driver in a world that the test plays: silica-priv is a driver of the test's own, each
 * "QEMU" a socket that answers what the test wants, envd an answer. The driver is what is under test, with
 * its QMP client.
 */
#pragma once

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "http/client.h"
#include "sandbox/container/container.h"
#include "sandbox/microvm/microvm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

enum { QEMUS_MAX = 32, TODO_MAX = 64, LIMIT_S = 60, IDLE_TURNS = 40, LINE_BYTES = 8192 };
#define TEMPLATE "abcdefghij0123456789"
#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"\"}, \"capabilities\": []}}\r\n"

typedef void (*fetched_fn)(unsigned, struct slice, const struct err *, void *);

/* One QEMU, as the test's silica-priv has it. */
struct qemu {
    bool used, alive, greeted;
    char id[SANDBOX_ID_BYTES], secret[SANDBOX_SECRET_BYTES], path[100];
    enum driver_kind kind;
    int listen_fd, fd;
    char line[LINE_BYTES];
    size_t n;
    unsigned conts;
};

/* What silica-priv or envd still have to answer. */
struct todo {
    enum { TODO_START, TODO_STOP, TODO_LIST, TODO_KEEP, TODO_FETCH } kind;
    struct driver_start start;
    char id[SANDBOX_ID_BYTES];
    started_fn started;
    void (*done)(void *user, const struct err *err);
    void (*each)(void *user, const char *id, const struct driver_instance *inst);
    fetched_fn fetched;
    bool aborted; /* a fetch that is to be answered with -ECANCELED */
    void *user;
};

static struct {
    struct driver helper; /* first */
    uv_loop_t loop;
    struct driver *d;
    char dir[64];
    struct qemu qemus[QEMUS_MAX];
    struct todo todo[TODO_MAX];
    unsigned n_todo;
    /* what the world is like */
    int clone_errors[8]; /* of the next clones, in order; 0: it works */
    int boot_errors[8], keep_errors[8];
    unsigned clones, boots, keeps, stops, fetches;
    unsigned health;       /* envd's status; 0: 204 */
    const char *mute;      /* the command that is not answered */
    const char *refuse;    /* the command that is refused */
    const char *migration; /* what a load ends as; NULL: completed; "": no event */
    const char *status;    /* of query-status; NULL: running */
    const char *greeting;  /* NULL: the right one; "": none */
    bool deaf;             /* no socket is made */
    bool held;             /* nobody answers anything */
    bool freed;
    /* what the driver told */
    unsigned exits;
    char exit_id[SANDBOX_ID_BYTES], exit_reason[256], notices[8192];
} w;

struct answer {
    unsigned calls;
    bool ok;
    struct err err;
    struct driver_instance inst;
};

static inline struct todo *todo_new(int kind, const char *id, void *user)
{
    assert_true(w.n_todo < TODO_MAX);
    struct todo *t = &w.todo[w.n_todo++];
    *t = (struct todo){.kind = kind, .user = user};
    (void)snprintf(t->id, sizeof(t->id), "%s", id);
    return t;
}

static inline void priv_start(struct driver *d, const struct driver_start *start, started_fn done,
                              void *user)
{
    (void)d;
    struct todo *t = todo_new(TODO_START, start->id, user);
    t->start = *start;
    t->started = done;
}

static inline void priv_stop(struct driver *d, const char *id,
                             void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    todo_new(TODO_STOP, id, user)->done = done;
}

static inline void priv_list(struct driver *d,
                             void (*each)(void *user, const char *id,
                                          const struct driver_instance *inst),
                             void (*done)(void *user, const struct err *err), void *user)
{
    (void)d;
    struct todo *t = todo_new(TODO_LIST, "", user);
    t->each = each;
    t->done = done;
}

static inline void priv_free(struct driver *d)
{
    (void)d;
    w.freed = true;
}

static const struct driver_ops priv_ops = {
    .name = "fake", .start = priv_start, .stop = priv_stop, .list = priv_list, .free = priv_free};

/* In place of the container driver's. */
int container_driver_new(uv_loop_t *loop, const char *priv_socket, struct driver **ret,
                         struct err *err)
{
    (void)loop, (void)priv_socket, (void)err;
    w.helper.ops = &priv_ops;
    *ret = &w.helper;
    return 0;
}

void container_driver_snapshot(struct driver *d, const char *id,
                               void (*done)(void *user, const struct err *err), void *user)
{
    assert_ptr_equal(d, &w.helper);
    todo_new(TODO_KEEP, id, user)->done = done;
}

/* There is one fetch of a machine at a time, so its user names it. */
struct http_fetch *http_fetch(uv_loop_t *loop, const struct http_call_opts *opts, struct slice body,
                              size_t max, unsigned total_timeout_ms, fetched_fn done, void *user)
{
    (void)loop, (void)opts, (void)body, (void)max, (void)total_timeout_ms;
    todo_new(TODO_FETCH, "", user)->fetched = done;
    return user;
}

void http_fetch_abort(struct http_fetch *f)
{
    for (unsigned i = 0; f != NULL && i < w.n_todo; i++)
        if (w.todo[i].kind == TODO_FETCH && w.todo[i].user == (void *)f)
            w.todo[i].aborted = true;
}

/* ---- QEMUs ---- */

static inline struct qemu *qemu_find(const char *id)
{
    for (unsigned i = 0; i < QEMUS_MAX; i++)
        if (w.qemus[i].used && strcmp(w.qemus[i].id, id) == 0)
            return &w.qemus[i];
    return NULL;
}

/* One that has to be there. */
static inline struct qemu *qemu_of(const char *id)
{
    struct qemu *q = qemu_find(id);
    if (q == NULL)
        abort();
    return q;
}

static inline unsigned qemus_alive(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < QEMUS_MAX; i++)
        n += w.qemus[i].used && w.qemus[i].alive;
    return n;
}

static inline struct qemu *qemu_new(const char *id, enum driver_kind kind)
{
    struct qemu *q = NULL;
    for (unsigned i = 0; q == NULL && i < QEMUS_MAX; i++)
        q = w.qemus[i].used ? NULL : &w.qemus[i];
    if (q == NULL)
        abort();
    *q =
        (struct qemu){.used = true, .alive = true, .kind = kind, .listen_fd = -EBADF, .fd = -EBADF};
    (void)snprintf(q->id, sizeof(q->id), "%s", id);
    (void)snprintf(q->path, sizeof(q->path), "%s/%s.qmp", w.dir, id);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", q->path);
    if (w.deaf)
        return q;
    q->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(q->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(q->listen_fd, 1), 0);
    return q;
}

static inline void qemu_end(struct qemu *q)
{
    q->fd = fd_close(q->fd);
    q->listen_fd = fd_close(q->listen_fd);
    q->alive = false;
    (void)unlink(q->path);
}

static inline void qemu_say(struct qemu *q, const char *text)
{
    (void)!send(q->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void qemu_answer(struct qemu *q, const char *id, const char *value)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "{\"return\": %s, \"id\": %s}\r\n", value, id);
    qemu_say(q, text);
}

static inline void qemu_event(struct qemu *q, const char *event, const char *data)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"%s\", "
                   "\"data\": %s}\r\n",
                   event, data);
    qemu_say(q, text);
}

static inline bool asks(const struct qemu *q, const char *command)
{
    char want[80];
    (void)snprintf(want, sizeof(want), "\"execute\":\"%s\"", command);
    return strstr(q->line, want) != NULL;
}

static inline void qemu_hear(struct qemu *q)
{
    char id[16] = "0", text[200];
    const char *at = strstr(q->line, "\"id\":");
    if (at != NULL)
        (void)snprintf(id, sizeof(id), "%.*s", (int)strspn(at + 5, "0123456789"), at + 5);
    q->conts += asks(q, "cont");
    if (w.mute != NULL && asks(q, w.mute))
        return;
    if (w.refuse != NULL && asks(q, w.refuse)) {
        (void)snprintf(
            text, sizeof(text),
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not today\"}, \"id\": %s}\r\n",
            id);
        qemu_say(q, text);
        return;
    }
    if (asks(q, "query-status")) {
        (void)snprintf(text, sizeof(text), "{\"status\": \"%s\"}",
                       w.status != NULL ? w.status : "running");
        qemu_answer(q, id, text);
        return;
    }
    qemu_answer(q, id, "{}");
    if (asks(q, "migrate-incoming") && (w.migration == NULL || w.migration[0] != '\0')) {
        (void)snprintf(text, sizeof(text), "{\"status\": \"%s\"}",
                       w.migration != NULL ? w.migration : "completed");
        qemu_event(q, "MIGRATION", text);
    }
}

static inline void qemu_turn(struct qemu *q)
{
    if (q->fd < 0 && q->listen_fd >= 0)
        q->fd = accept4(q->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (q->fd < 0)
        return;
    if (!q->greeted)
        qemu_say(q, w.greeting != NULL ? w.greeting : GREETING);
    q->greeted = true;
    while (q->n + 1 < sizeof(q->line) && read(q->fd, q->line + q->n, 1) == 1)
        if (q->line[q->n++] == '\n') {
            q->line[q->n] = '\0';
            q->n = 0;
            qemu_hear(q);
        }
}

/* ---- silica-priv and envd ---- */

static inline struct driver_instance instance_of(const struct qemu *q)
{
    struct driver_instance inst = {.kind = q->kind, .pid = 77, .pid_start = 7};
    inst.addr.sin_family = AF_INET;
    inst.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return inst;
}

static inline int next_error(const int *errors, unsigned n)
{
    return n < 8 ? errors[n] : 0;
}

static inline const struct err *err_of(int num, struct err *err)
{
    if (num == 0)
        return NULL;
    (void)err_set(err, num, num == -ENOENT ? ERR_NOT_FOUND : ERR_INTERNAL, "no %d", num);
    return err;
}

static inline void run_start(struct todo *t)
{
    bool boot = t->start.kind == DRIVER_MACHINE_BOOT;
    int num = boot ? next_error(w.boot_errors, w.boots++) : next_error(w.clone_errors, w.clones++);
    struct err err;
    assert_string_equal(t->start.artifact.template_id, TEMPLATE);
    if (num == 0 && qemu_find(t->id) != NULL && qemu_find(t->id)->alive)
        num = -EEXIST;
    if (num != 0) {
        t->started(t->user, NULL, err_of(num, &err));
        return;
    }
    struct qemu *q = qemu_new(t->id, t->start.kind);
    memcpy(q->secret, t->start.control_secret, sizeof(q->secret));
    struct driver_instance inst = instance_of(q);
    t->started(t->user, &inst, NULL);
}

static inline void run_keep(struct todo *t)
{
    struct err err;
    struct qemu *q = qemu_find(t->id);
    if (q != NULL)
        qemu_end(q);
    t->done(t->user, err_of(next_error(w.keep_errors, w.keeps++), &err));
}

static inline void run_todo(struct todo *t)
{
    struct qemu *q = qemu_find(t->id);
    switch (t->kind) {
    case TODO_START:
        run_start(t);
        break;
    case TODO_KEEP:
        run_keep(t);
        break;
    case TODO_STOP:
        w.stops++;
        if (q != NULL)
            qemu_end(q);
        if (t->done != NULL)
            t->done(t->user, NULL);
        break;
    case TODO_LIST:
        for (unsigned i = 0; i < QEMUS_MAX; i++)
            if (w.qemus[i].used && w.qemus[i].alive) {
                struct driver_instance inst = instance_of(&w.qemus[i]);
                t->each(t->user, w.qemus[i].id, &inst);
            }
        t->done(t->user, NULL);
        break;
    case TODO_FETCH:
        w.fetches++;
        if (t->aborted) {
            struct err err;
            (void)err_sys(&err, -ECANCELED, "talk to envd");
            t->fetched(0, slice_str(""), &err, t->user);
            break;
        }
        t->fetched(w.health != 0 ? w.health : 204, slice_str(""), NULL, t->user);
        break;
    }
}

static inline void turn(void)
{
    if (!w.held && w.n_todo > 0) {
        struct todo t = w.todo[0];
        memmove(&w.todo[0], &w.todo[1], --w.n_todo * sizeof(t));
        run_todo(&t);
    }
    for (unsigned i = 0; i < QEMUS_MAX; i++)
        if (w.qemus[i].used && w.qemus[i].alive)
            qemu_turn(&w.qemus[i]);
    (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    (void)poll(NULL, 0, 1);
}

static inline void idle(void)
{
    for (int i = 0; i < IDLE_TURNS; i++)
        turn();
}

#define until(condition)                                                                           \
    do {                                                                                           \
        uint64_t end_ = clock_monotonic_ns() + LIMIT_S * NS_PER_S;                                 \
        while (!(condition)) {                                                                     \
            if (clock_monotonic_ns() > end_)                                                       \
                fail_msg("never: %s (%s)", #condition, w.notices);                                 \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

/* ---- the driver ---- */

static inline struct microvm *microvm(void)
{
    return container_of(w.d, struct microvm, base);
}

static inline struct machine *machine_in(enum machine_state state)
{
    list_for_each_safe(it, next, &microvm()->machines)
    {
        struct machine *m = container_of(it, struct machine, node);
        if (m->state == state)
            return m;
    }
    return NULL;
}

/* One that has to be there. */
static inline struct machine *machine_of(enum machine_state state)
{
    struct machine *m = machine_in(state);
    if (m == NULL)
        abort();
    return m;
}

static inline void on_notice(void *user, const char *id, const char *text)
{
    (void)user, (void)id;
    size_t n = strlen(w.notices);
    (void)snprintf(w.notices + n, sizeof(w.notices) - n, "%s;", text);
}

static inline void on_exit_told(void *user, const char *id, const struct driver_exit *why)
{
    assert_ptr_equal(user, &w);
    w.exits++;
    (void)snprintf(w.exit_id, sizeof(w.exit_id), "%s", id);
    (void)snprintf(w.exit_reason, sizeof(w.exit_reason), "%s", why->reason);
}

static inline void open_driver(unsigned pool)
{
    struct microvm_opts o = {
        .priv_socket = "none", .machines_dir = w.dir, .pool = pool, .notice = on_notice};
    assert_int_equal(microvm_driver_new(&w.loop, &o, &w.d, NULL), 0);
    w.d->on_exit = on_exit_told;
    w.d->on_exit_user = &w;
}

static inline void on_started(void *user, const struct driver_instance *inst, const struct err *err)
{
    struct answer *a = user;
    a->calls++;
    a->ok = inst != NULL;
    assert_true((inst == NULL) != (err == NULL));
    if (inst != NULL)
        a->inst = *inst;
    else
        a->err = *err;
}

static inline void on_stopped(void *user, const struct err *err)
{
    struct answer *a = user;
    a->calls++;
    a->ok = err == NULL;
}

static inline struct driver_start start_of(const char *id)
{
    struct driver_start s = {
        .limits = {.memory_bytes = 1 << 28, .cpu_millis = 1000, .pids = 100, .disk_bytes = 1 << 30},
        .internet = true};
    (void)snprintf(s.id, sizeof(s.id), "%s", id);
    (void)snprintf(s.artifact.template_id, sizeof(s.artifact.template_id), TEMPLATE);
    memset(s.control_secret, 'a', 64);
    return s;
}

static inline void begin(const char *id, struct answer *a)
{
    struct driver_start s = start_of(id);
    *a = (struct answer){0};
    w.d->ops->start(w.d, &s, on_started, a);
    assert_int_equal(a->calls, 0);
}

static inline void stop_now(const char *id)
{
    struct answer a = {0};
    w.d->ops->stop(w.d, id, on_stopped, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    assert_true(a.ok);
}

/* Frees it, and nothing may be left but the QEMUs of sandboxes that run. */
static inline void close_driver(unsigned left)
{
    w.d->ops->free(w.d);
    w.d = NULL;
    until(w.freed);
    until(w.n_todo == 0);
    assert_int_equal(qemus_alive(), left);
}

static inline int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    (void)snprintf(w.dir, sizeof(w.dir), "/tmp/silica-microvm-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    assert_int_equal(uv_loop_init(&w.loop), 0);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    w.held = false;
    if (w.d != NULL)
        close_driver(qemus_alive());
    for (unsigned i = 0; i < QEMUS_MAX; i++)
        if (w.qemus[i].used && w.qemus[i].alive)
            qemu_end(&w.qemus[i]);
    while (uv_run(&w.loop, UV_RUN_NOWAIT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w.loop), 0); /* fails when a handle was forgotten */
    assert_int_equal(rmdir(w.dir), 0);           /* fails when a socket was */
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
