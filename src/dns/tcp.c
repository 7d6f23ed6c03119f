/*
 * Connections of sandboxes (RFC 7766): messages behind two bytes of length. Each connection works on one
 * query at a time; what its client sends ahead waits in the socket, so that a connection holds one
 * query and one answer at most.
 *
 * States and what is waited for: reading (readable; the idle limit, and the message limit once a byte
 * is there) -> asking (a reset; the job has its own deadline) -> writing (writable; the write limit)
 * -> reading. Whatever goes wrong closes the connection.
 */
#include "dns/front.h"
#include "dns/job.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { LENGTH_BYTES = 2, ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_MS = 100 };

struct dns_tcp {
    uv_poll_t poll;
    uv_timer_t pause; /* no descriptors: look again later */
    int fd;           /* borrowed */
    unsigned closing; /* handles */
    struct dns *dns;
    struct list conns;
};

enum conn_state { CONN_READING, CONN_ASKING, CONN_WRITING };

struct conn {
    struct list link;
    struct dns_tcp *tcp;
    enum conn_state state;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned closing; /* handles that are not closed yet */
    int fd;           /* owned */
    unsigned slot;
    struct dns_job *job; /* while asking */
    size_t in_n, out_n, out_at;
    uint8_t *out; /* owned; the answer with its length */
    uint8_t in[LENGTH_BYTES + DNS_UDP_MAX_BYTES];
};

static void interest(struct conn *c);

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (--c->closing == 0)
        free(c);
}

static void conn_close(struct conn *c)
{
    if (c->closing > 0)
        return;
    if (c->job != NULL)
        dns_job_cancel(take_ptr(&c->job));
    dns_limits_give(&c->tcp->dns->limits, DNS_SHARE_TCP, c->slot);
    list_remove(&c->link);
    free(take_ptr(&c->out));
    c->closing = 2;
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    c->fd = fd_close(c->fd);
}

static void reply(struct conn *c, const uint8_t *p, size_t n)
{
    c->out = malloc(LENGTH_BYTES + n); /* n is at most DNS_MESSAGE_MAX_BYTES */
    if (c->out == NULL) {
        conn_close(c);
        return;
    }
    c->out[0] = (uint8_t)(n >> 8);
    c->out[1] = (uint8_t)n;
    memcpy(c->out + LENGTH_BYTES, p, n);
    c->out_n = LENGTH_BYTES + n;
    c->out_at = 0;
    c->state = CONN_WRITING;
    interest(c);
}

static void on_answer(void *user, const struct dns_from *from, const struct dns_query *q,
                      const uint8_t *msg, size_t n)
{
    struct conn *c = user;
    (void)from;
    (void)q;
    c->job = NULL;
    reply(c, msg, n);
}

static void handle(struct conn *c, const uint8_t *p, size_t n)
{
    struct dns *dns = c->tcp->dns;
    struct dns_query q;
    uint8_t own[DNS_OWN_MAX_BYTES];
    if (!dns_limits_query(&dns->limits, c->slot, dns_now_ns(dns))) {
        dns_drop(dns, &dns->counts.rate, c->slot, "asks too often");
        conn_close(c);
        return;
    }
    int r = dns_query_read(p, n, &q);
    if (r < 0) {
        dns->counts.unread++;
        conn_close(c);
        return;
    }
    if (r > 0) {
        dns->counts.refused++;
        reply(c, own, dns_reply_error(&q, (enum dns_rcode)r, own));
        return;
    }
    const struct dns_job_opts opts = {
        .query = &q, .slot = c->slot, .tcp = true, .done = on_answer, .user = c};
    c->job = dns_job_start(dns, &opts);
    if (c->job == NULL) {
        dns_drop(dns, &dns->counts.share, c->slot, "has too many queries under way");
        conn_close(c);
        return;
    }
    c->state = CONN_ASKING;
    interest(c);
}

/* What is missing of the message that is being read; 0 when it is whole, -EMSGSIZE when too long. */
static ssize_t missing(const struct conn *c)
{
    if (c->in_n < LENGTH_BYTES)
        return (ssize_t)(LENGTH_BYTES - c->in_n);
    size_t n = (size_t)c->in[0] << 8 | c->in[1];
    if (n > DNS_UDP_MAX_BYTES)
        return -EMSGSIZE;
    return (ssize_t)(LENGTH_BYTES + n - c->in_n);
}

static void read_some(struct conn *c)
{
    ssize_t want;
    bool begun = c->in_n > 0;
    while ((want = missing(c)) > 0) {
        ssize_t n = recv(c->fd, c->in + c->in_n, (size_t)want, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            conn_close(c);
            return;
        }
        c->in_n += (size_t)n;
    }
    if (want < 0) {
        c->tcp->dns->counts.unread++;
        conn_close(c);
    } else if (want == 0) {
        size_t n = c->in_n - LENGTH_BYTES;
        c->in_n = 0;
        handle(c, c->in + LENGTH_BYTES, n);
    } else if (!begun && c->in_n > 0) {
        interest(c); /* from the idle limit to the message limit */
    }
}

static void write_some(struct conn *c)
{
    while (c->out_at < c->out_n) {
        ssize_t n =
            send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            conn_close(c);
            return;
        }
        c->out_at += (size_t)n;
    }
    free(take_ptr(&c->out));
    c->state = CONN_READING;
    interest(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = container_of(poll, struct conn, poll);
    (void)events; /* trying tells more */
    switch (c->state) {
    case CONN_READING:
        read_some(c);
        break;
    case CONN_WRITING:
        write_some(c);
        break;
    case CONN_ASKING:
        if (status < 0)
            conn_close(c); /* it was reset: nobody waits for the answer */
        else
            (void)uv_poll_stop(&c->poll); /* it may only have asked all that it wants to ask */
        break;
    }
}

static void on_timer(uv_timer_t *timer)
{
    conn_close(container_of(timer, struct conn, timer));
}

/* What the state waits for, and how long. Called after each change of it. */
static void interest(struct conn *c)
{
    unsigned limit_ms = 0;
    int events = 0;
    switch (c->state) {
    case CONN_READING:
        limit_ms = c->in_n > 0 ? DNS_TCP_MESSAGE_MS : DNS_TCP_IDLE_MS;
        events = UV_READABLE;
        break;
    case CONN_WRITING:
        limit_ms = DNS_TCP_WRITE_MS;
        events = UV_WRITABLE;
        break;
    case CONN_ASKING:
        events = UV_DISCONNECT;
        break;
    }
    if (limit_ms > 0)
        (void)uv_timer_start(&c->timer, on_timer, limit_ms, 0);
    else
        (void)uv_timer_stop(&c->timer);
    if (uv_poll_start(&c->poll, events, on_poll) < 0)
        conn_close(c);
}

static void conn_open(struct dns_tcp *t, int fd, uint32_t addr)
{
    _cleanup_close_ int own = fd;
    struct dns *dns = t->dns;
    int slot = dns_slot_of(dns, addr);
    if (slot < 0)
        return;
    if (!dns_limits_take(&dns->limits, DNS_SHARE_TCP, (unsigned)slot)) {
        dns_drop(dns, &dns->counts.share, (unsigned)slot, "has too many connections");
        return;
    }
    struct conn *c = xnew(struct conn);
    if (uv_poll_init(&dns->loop, &c->poll, own) < 0) {
        dns_limits_give(&dns->limits, DNS_SHARE_TCP, (unsigned)slot);
        free(c);
        return;
    }
    (void)uv_timer_init(&dns->loop, &c->timer);
    c->poll.data = c->timer.data = c;
    c->tcp = t;
    c->slot = (unsigned)slot;
    c->fd = take_fd(&own);
    list_append(&t->conns, &c->link);
    interest(c);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct dns_tcp *t = container_of(timer, struct dns_tcp, pause);
    (void)uv_poll_start(&t->poll, UV_READABLE, on_listener); /* it was watched before */
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct dns_tcp *t = container_of(poll, struct dns_tcp, poll);
    (void)status;
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_in peer = {.sin_family = AF_UNSPEC};
        socklen_t len = sizeof(peer);
        int fd = accept4(t->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            (void)uv_poll_stop(&t->poll);
            (void)uv_timer_start(&t->pause, on_pause_over, ACCEPT_PAUSE_MS, 0);
            return;
        }
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd >= 0)
            conn_open(t, fd, peer.sin_family == AF_INET ? peer.sin_addr.s_addr : 0);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct dns_tcp *t = handle->data;
    if (--t->closing == 0)
        free(t);
}

int dns_tcp_start(struct dns *dns, int fd, struct dns_tcp **ret, struct err *err)
{
    struct dns_tcp *t = xnew(struct dns_tcp);
    t->dns = dns;
    t->fd = fd;
    list_init(&t->conns);
    int r = uv_poll_init(&dns->loop, &t->poll, fd);
    if (r < 0) {
        free(t);
        return err_sys(err, r, "watch the TCP socket");
    }
    (void)uv_timer_init(&dns->loop, &t->pause);
    t->poll.data = t->pause.data = t;
    r = uv_poll_start(&t->poll, UV_READABLE, on_listener);
    if (r < 0) {
        dns_tcp_stop(t);
        return err_sys(err, r, "watch the TCP socket");
    }
    *ret = t;
    return 0;
}

/* Connections point here until conn_close(), and not in their last callbacks. */
void dns_tcp_stop(struct dns_tcp *t)
{
    list_for_each_safe(it, next, &t->conns)
    {
        conn_close(container_of(it, struct conn, link));
    }
    t->closing = 2;
    uv_close((uv_handle_t *)&t->poll, on_listener_closed);
    uv_close((uv_handle_t *)&t->pause, on_listener_closed);
}
