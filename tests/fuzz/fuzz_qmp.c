/*
 * What QEMU may send: the bytes come from a socket in pieces, to a client with calls under way whose
 * callbacks go on calling. Whatever they are, every call is answered once, the connection ends once,
 * and what reaches the user is printable and ended.
 *
 * The first byte of the input chooses how the rest is cut: its upper half the size of the pieces, and
 * whether they end with a line as well; its lower half the callback that closes all.
 */
// deps: microvm json base uv
#include "base/cleanup.h"
#include "sandbox/microvm/qmp.h"

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX_BYTES = 1 << 18, CALLS_MAX = 40, CLOSE_NEVER = 15 };

static uv_loop_t loop;
static struct qmp *client; /* NULL once closed */
static unsigned calls, answers, ends, callbacks_left;

static void look_at(const char *s, size_t cap)
{
    size_t n = strnlen(s, cap);
    assert(n < cap);
    for (size_t i = 0; i < n; i++)
        assert(s[i] >= 0x20 && s[i] < 0x7f);
}

static void count_callback(void)
{
    assert(client != NULL);
    if (callbacks_left != CLOSE_NEVER && callbacks_left-- == 0) {
        qmp_close(client);
        client = NULL;
    }
}

static void on_done(void *user, const struct json_ref *ret, const struct err *err)
{
    answers++;
    assert((ret == NULL) != (err == NULL));
    if (err != NULL) {
        assert(err->num < 0 && err->kind < ERR_KIND_MAX_);
        look_at(err->msg, sizeof(err->msg));
    } else {
        assert(ret->v != NULL && !json_is_null(ret->v));
    }
    count_callback();
    if (client != NULL && err == NULL && calls < CALLS_MAX) {
        calls++;
        qmp_call(client, "query-status", NULL, 0, on_done, user);
    }
}

static void on_ready(void *user)
{
    (void)user;
    count_callback();
}

static void on_event(void *user, const struct qmp_event *ev)
{
    (void)user;
    assert(ev->kind < QMP_EVENT_MAX_ && ev->reason < QMP_REASON_MAX_ &&
           ev->migration < QMP_MIGRATION_MAX_);
    look_at(ev->name, sizeof(ev->name));
    look_at(ev->device, sizeof(ev->device));
    count_callback();
}

static void on_end(void *user, enum qmp_end how, const struct err *why)
{
    (void)user;
    ends++;
    assert(how <= QMP_END_SYSTEM && why->num < 0);
    look_at(why->msg, sizeof(why->msg));
    assert(calls == answers);
    count_callback();
}

static const struct qmp_events events = {on_ready, on_event, on_end};

static void say(int fd, struct slice text, size_t piece, bool by_line)
{
    while (text.n > 0) {
        size_t line = slice_find(text, '\n') + 1, n = text.n < piece ? text.n : piece;
        ssize_t r = send(fd, text.p, by_line && line < n ? line : n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0 && errno != EAGAIN)
            return; /* the client has had enough */
        text = slice_from(text, r > 0 ? (size_t)r : 0);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool open;
    int ends_of[2];
    if (!open)
        assert(uv_loop_init(&loop) == 0);
    open = true;
    if (size == 0 || size > INPUT_MAX_BYTES)
        return 0;
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_of) == 0);
    assert(qmp_open_fd(&loop, ends_of[0], &events, NULL, &client, NULL) == 0);
    calls = 2;
    answers = ends = 0;
    callbacks_left = data[0] & 15;
    qmp_call(client, "stop", NULL, 0, on_done, NULL);
    qmp_call(client, "cont", "{\"a\": [1]}", 0, on_done, NULL);
    say(ends_of[1], slice_of((const char *)data + 1, size - 1),
        (size_t)16 << (data[0] >> 4 & 7) * 2, data[0] < 128);
    (void)fd_close(ends_of[1]);
    while (client != NULL && ends == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert(ends <= 1 && answers <= calls);
    qmp_close(client);
    client = NULL;
    while (uv_run(&loop, UV_RUN_ONCE) != 0)
        ;
    return 0;
}
