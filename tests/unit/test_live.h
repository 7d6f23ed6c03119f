/*
 * A server of ours on a loop in a thread of its own, and blocking sockets on both sides of it, so
 * that a test reads as a script: what the client sends, what the guest sees, what comes back. Every
 * wait ends after LIVE_WAIT_S at the latest, in failure.
 */
#pragma once

#include "base/cleanup.h"
#include "base/slice.h"
#include "http/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include <cmocka.h>

enum { LIVE_WAIT_S = 60, LIVE_TEXT_MAX = 1 << 20 };

struct live {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_sem_t done;
    void (*fn)(void *arg); /* to run on the loop, then post done */
    void *arg;
    struct http_server *server;
    uint16_t port;
};

static struct live live;

static inline void live_thread(void *arg)
{
    (void)arg;
    (void)uv_run(&live.loop, UV_RUN_DEFAULT);
}

static inline void live_wake(uv_async_t *a)
{
    (void)a;
    live.fn(live.arg);
    uv_sem_post(&live.done);
}

/* Run fn on the loop's thread and wait for its return. */
static inline void live_call(void (*fn)(void *arg), void *arg)
{
    live.fn = fn;
    live.arg = arg;
    assert_int_equal(uv_async_send(&live.wake), 0);
    uv_sem_wait(&live.done);
}

/* A bound TCP socket on `ip`; port 0 takes a free one. */
static inline int live_bind(const char *ip, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t n = sizeof(a);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static inline void live_start(http_handler handler, void *user)
{
    static const struct http_server_opts opts = {0};
    struct err err = {0};
    (void)signal(SIGPIPE, SIG_IGN); /* NOLINT(cert-err33-c): tests only */
    live.port = 0;
    int fd = live_bind("127.0.0.1", &live.port);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(uv_loop_init(&live.loop), 0);
    assert_int_equal(uv_async_init(&live.loop, &live.wake, live_wake), 0);
    assert_int_equal(uv_sem_init(&live.done, 0), 0);
    if (http_server_new(&live.loop, fd, &opts, handler, user, &live.server, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(uv_thread_create(&live.thread, live_thread, NULL), 0);
}

static inline void live_closed(void *user)
{
    (void)user;
    uv_close((uv_handle_t *)&live.wake, NULL);
}

static inline void live_close_server(void *arg)
{
    (void)arg;
    http_server_close(live.server, true, live_closed, NULL);
}

/* Ends the server; every handle that somebody forgot shows here. */
static inline void live_stop(void)
{
    live_call(live_close_server, NULL);
    assert_int_equal(uv_thread_join(&live.thread), 0);
    assert_int_equal(uv_loop_close(&live.loop), 0);
    uv_sem_destroy(&live.done);
}

static inline void live_timeouts(int fd)
{
    struct timeval tv = {.tv_sec = LIVE_WAIT_S};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
}

static inline int live_connect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(live.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    live_timeouts(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static inline int live_accept(int listener)
{
    live_timeouts(listener);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    live_timeouts(fd);
    return fd;
}

static inline void live_send(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t r = send(fd, at, n, MSG_NOSIGNAL);
        assert_true(r > 0);
        at += r;
        n -= (size_t)r;
    }
}

static inline void live_put(int fd, const char *text)
{
    live_send(fd, text, strlen(text));
}

static char live_text[LIVE_TEXT_MAX];
static size_t live_n;

static inline bool live_contains(const char *what, size_t n)
{
    return memmem(live_text, live_n, what, n) != NULL;
}

/*
 * Read into live_text until it contains `until` (NULL: until the peer's end of stream). Fails on a
 * premature end. A reset counts as an end.
 */
static inline const char *live_get(int fd, const char *until)
{
    live_n = 0;
    live_text[0] = '\0';
    while (until == NULL || !live_contains(until, strlen(until))) {
        assert_true(live_n + 1 < sizeof(live_text));
        ssize_t r = recv(fd, live_text + live_n, sizeof(live_text) - 1 - live_n, 0);
        if (r < 0 && errno == EAGAIN)
            fail_msg("nothing came after: %s", live_text);
        if (r <= 0 && until == NULL)
            break;
        if (r <= 0)
            fail_msg("ended without \"%s\" after: %s", until, live_text);
        live_n += (size_t)r;
        live_text[live_n] = '\0';
    }
    return live_text;
}

static inline void live_expect(int fd, const char *want)
{
    const char *got = live_get(fd, want);
    if (live_n < strlen(want))
        fail_msg("no \"%s\" in: %s", want, got);
}

static inline void live_has(const char *what)
{
    if (!live_contains(what, strlen(what)))
        fail_msg("no \"%s\" in: %s", what, live_text);
}

static inline void live_has_not(const char *what)
{
    if (live_contains(what, strlen(what)))
        fail_msg("\"%s\" in: %s", what, live_text);
}
