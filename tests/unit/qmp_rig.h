/*
 * What the tests of the QMP client share: a client on one end of a socket pair, QEMU played by hand on
 * the other, and a log of what the client reported.
 */
#pragma once

#include "http_rig.h"
#include "sandbox/microvm/qmp_internal.h"

#define GREETING                                                                                   \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "             \
    "\"package\": \"Debian\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define CAPABILITIES "{\"execute\":\"qmp_capabilities\",\"id\":1}\n"
#define STOP_EVENT   "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n"

static struct {
    struct rig rig;
    struct qmp *q;
    int qemu;           /* QEMU's end */
    bool inside;        /* a call is under way: no callback may come */
    const char *close;  /* the callback that closes: "ready", "event", "end" or a call's tag */
    const char *repeat; /* the tag of the call that is made again by its callback */
} w;

static inline void close_now(const char *callback)
{
    assert_false(w.inside);
    if (w.close == NULL || strcmp(w.close, callback) != 0)
        return;
    qmp_close(w.q);
    w.q = NULL;
}

static inline void on_ready(void *user)
{
    assert_ptr_equal(user, &w);
    buf_printf(&w.rig.log, "ready;");
    close_now("ready");
}

static inline void on_event(void *user, const struct qmp_event *ev)
{
    assert_ptr_equal(user, &w);
    buf_printf(&w.rig.log, "event %s", ev->name);
    if (ev->kind == QMP_EVENT_SHUTDOWN || ev->kind == QMP_EVENT_RESET)
        buf_printf(&w.rig.log, " %d %d", (int)ev->guest, (int)ev->reason);
    if (ev->kind == QMP_EVENT_MIGRATION)
        buf_printf(&w.rig.log, " %d", (int)ev->migration);
    if (ev->kind == QMP_EVENT_BLOCK_IO_ERROR)
        buf_printf(&w.rig.log, " '%s' %d", ev->device, (int)ev->no_space);
    buf_printf(&w.rig.log, "%s%s;", ev->stopped ? " stopped" : "",
               ev->kind == QMP_EVENT_OTHER ? " other" : "");
    close_now("event");
}

static inline void on_end(void *user, enum qmp_end how, const struct err *why)
{
    static const char *const names[] = {
        [QMP_END_CLOSED] = "closed",     [QMP_END_PROTOCOL] = "protocol", [QMP_END_FLOOD] = "flood",
        [QMP_END_DEADLINE] = "deadline", [QMP_END_SYSTEM] = "system",
    };
    assert_ptr_equal(user, &w);
    assert_true(why->num < 0 && why->msg[0] != '\0');
    buf_printf(&w.rig.log, "end %s;", names[how]);
    close_now("end");
}

static const struct qmp_events callbacks = {on_ready, on_event, on_end};

static inline void call(const char *tag, const char *command, const char *arguments, unsigned ms);

static inline void on_done(void *user, const struct json_ref *ret, const struct err *err)
{
    const char *tag = user;
    assert_true((ret == NULL) != (err == NULL));
    if (ret != NULL) {
        _cleanup_free_ char *text = json_dumps(ret->v, JSON_COMPACT | JSON_ENCODE_ANY);
        buf_printf(&w.rig.log, "%s=%.100s;", tag, text);
    } else {
        assert_true(err->num < 0 && err->msg[0] != '\0');
        buf_printf(&w.rig.log, "%s!%s;", tag, rig_errno(err->num));
    }
    close_now(tag);
    if (w.q != NULL && w.repeat != NULL && strcmp(w.repeat, tag) == 0)
        call(tag, "query-status", NULL, 0);
}

static inline void call(const char *tag, const char *command, const char *arguments, unsigned ms)
{
    bool was = w.inside;
    w.inside = true;
    qmp_call(w.q, command, arguments, ms, on_done, (void *)(uintptr_t)tag);
    w.inside = was;
}

static inline void query(const char *tag)
{
    call(tag, "query-status", NULL, 0);
}

static inline void say(const char *text)
{
    rig_say(&w.rig, w.qemu, text);
}

static inline void hear(const char *text)
{
    rig_hear(&w.rig, w.qemu, text);
}

static inline void expect(const char *log)
{
    uint64_t end = clock_monotonic_ns() + RIG_LIMIT_S * NS_PER_S;
    while (strlen(buf_str(&w.rig.log)) < strlen(log) && clock_monotonic_ns() < end)
        rig_turn(&w.rig);
    rig_idle(&w.rig); /* and nothing else comes */
    rig_assert_log(&w.rig, log);
    buf_clear(&w.rig.log);
}

static inline void start(void)
{
    int ends[2];
    memset(&w, 0, sizeof(w));
    rig_init(&w.rig);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    w.qemu = ends[1];
    w.inside = true;
    assert_int_equal(qmp_open_fd(&w.rig.loop, ends[0], &callbacks, &w, &w.q, NULL), 0);
    w.inside = false;
}

/* The same with the greeting done; the next call is number 2. */
static inline void start_ready(void)
{
    start();
    say(GREETING);
    hear(CAPABILITIES);
    say("{\"return\": {}, \"id\": 1}\r\n");
    expect("ready;");
}

static inline void stop(void)
{
    w.inside = true;
    qmp_close(w.q);
    w.inside = false;
    rig_idle(&w.rig);
    assert_int_equal(w.rig.log.n, 0); /* no callback comes after the close */
    w.qemu = fd_close(w.qemu);
    rig_done(&w.rig);
}
