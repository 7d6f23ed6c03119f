/*
 * What the HTTP connection tests share: a loop turned by hand, raw sockets on the other side, and a
 * log of what the code under test reported. Waiting is always for an event with a generous limit,
 * never for a time; only "nothing happens" is shown by turning the loop idle a number of times.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <uv.h>

enum { RIG_LOG_MAX_BYTES = 1 << 20, RIG_LIMIT_S = 60, RIG_IDLE_TURNS = 30 };
enum { RIG_BIG_BYTES = 64 << 20 }; /* 67108864: a body that no socket buffers hold */

struct rig {
    uv_loop_t loop;
    struct buf log; /* "event;" after "event;" */
};

static inline void rig_init(struct rig *rig)
{
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    buf_init(&rig->log, RIG_LOG_MAX_BYTES);
}

static inline void rig_done(struct rig *rig)
{
    while (uv_run(&rig->loop, UV_RUN_NOWAIT) != 0)
        ;
    assert_int_equal(uv_loop_close(&rig->loop), 0); /* fails when a handle was forgotten */
    buf_done(&rig->log);
}

/* One short turn of the loop. */
static inline void rig_turn(struct rig *rig)
{
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    (void)poll(NULL, 0, 1);
}

static inline void rig_idle(struct rig *rig)
{
    for (int i = 0; i < RIG_IDLE_TURNS; i++)
        rig_turn(rig);
}

/* Turn the loop until the expression holds. */
#define rig_until(rig, cond)                                                                       \
    do {                                                                                           \
        uint64_t rig_end_ = clock_monotonic_ns() + RIG_LIMIT_S * NS_PER_S;                         \
        while (!(cond)) {                                                                          \
            if (clock_monotonic_ns() > rig_end_)                                                   \
                fail_msg("%s did not come; log: %s", #cond, buf_str(&(rig)->log));                 \
            rig_turn(rig);                                                                         \
        }                                                                                          \
    } while (0)

static inline bool rig_logged(const struct rig *rig, const char *text)
{
    return strstr(buf_str(&rig->log), text) != NULL;
}

/* Wait for an event. */
static inline void rig_await(struct rig *rig, const char *text)
{
    rig_until(rig, rig_logged(rig, text));
}

static inline void rig_assert_log(const struct rig *rig, const char *log)
{
    assert_string_equal(buf_str(&rig->log), log);
}

/* Names of the reasons for the log; "0" for none. */
static inline const char *rig_errno(int r)
{
    return r == 0 ? "0" : strerrorname_np(-r);
}

/* A listening loopback socket. */
static inline int rig_listen(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static inline struct sockaddr_in rig_addr(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* A non-blocking connection to it. Loopback connects at once. */
static inline int rig_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = rig_addr(port);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* The next connection that the code under test makes. */
static inline int rig_accept(struct rig *rig, int listen_fd)
{
    int fd = -1;
    rig_until(rig, (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    return fd;
}

/* Send all, turning the loop while the socket is full. */
static inline void rig_send(struct rig *rig, int fd, struct slice data)
{
    while (data.n > 0) {
        ssize_t n = send(fd, data.p, data.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            assert_int_equal(errno, EAGAIN);
        else
            data = slice_from(data, (size_t)n);
        rig_turn(rig);
    }
}

static inline void rig_say(struct rig *rig, int fd, const char *text)
{
    rig_send(rig, fd, slice_str(text));
}

/* Fix how much the kernel keeps for a socket, which it would otherwise let grow to the host's limits. */
static inline void rig_fix_buffers(int fd)
{
    const int bytes = 256 << 10;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

enum { RIG_OPEN = 0, RIG_EOF = 1, RIG_RESET = 2 };

/* Append what is there. Returns RIG_OPEN, RIG_EOF or RIG_RESET. */
static inline int rig_recv(int fd, struct buf *in)
{
    char piece[65536];
    for (;;) {
        ssize_t n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
        if (n == 0)
            return RIG_EOF;
        if (n < 0)
            return errno == EAGAIN ? RIG_OPEN : RIG_RESET;
        assert_int_equal(buf_put(in, piece, (size_t)n), 0);
    }
}

/* Without the Date lines, which no test can know. */
static inline void rig_strip_dates(struct buf *in)
{
    char *at;
    while (in->p != NULL && (at = strstr(in->p, "Date: ")) != NULL) {
        char *end = strstr(at, "\r\n");
        if (end == NULL)
            return;
        end += 2;
        memmove(at, end, in->n - (size_t)(end - in->p) + 1);
        in->n -= (size_t)(end - at);
    }
}

/* Wait until exactly this text has come (Date lines aside) and nothing else. */
static inline void rig_hear(struct rig *rig, int fd, const char *text)
{
    _cleanup_buf_ struct buf in = BUF_INIT(RIG_LOG_MAX_BYTES);
    uint64_t end = clock_monotonic_ns() + RIG_LIMIT_S * NS_PER_S;
    size_t want = strlen(text);
    for (;;) {
        int state = rig_recv(fd, &in);
        rig_strip_dates(&in);
        if (in.n >= want || state != RIG_OPEN || clock_monotonic_ns() > end)
            break;
        rig_turn(rig);
    }
    assert_string_equal(buf_str(&in), text);
}

/* Wait for the end of the stream; what still comes must be `text`. */
static inline void rig_hear_end(struct rig *rig, int fd, const char *text, int how)
{
    _cleanup_buf_ struct buf in = BUF_INIT(RIG_LOG_MAX_BYTES);
    int state = RIG_OPEN;
    rig_until(rig, (state = rig_recv(fd, &in)) != RIG_OPEN);
    rig_strip_dates(&in);
    assert_string_equal(buf_str(&in), text);
    assert_int_equal(state, how);
}

/* Close with a reset. */
static inline void rig_reset(int fd)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    close(fd);
}
