/*
 * By UDP: sent at once, then every datagram is looked at until one is the answer. By TCP: connecting
 * -> asked -> length -> message; one question a connection, so its end is a failure at any point
 * before the last byte.
 */
#include "dns/attempt.h"

#include "base/cleanup.h"
#include "base/random.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { LENGTH_BYTES = 2 };

struct dns_attempt {
    uv_poll_t poll;
    int fd; /* owned */
    bool tcp, asked;
    uint16_t id;
    unsigned wrong;
    struct dns_query q;
    dns_attempt_done done; /* NULL once it was called */
    void *user;
    uint8_t length[LENGTH_BYTES];
    size_t got;       /* bytes read, the length included */
    size_t message_n; /* TCP: what the length says */
    uint8_t *message; /* owned; TCP */
};

/* A datagram is worked on before the next is read, and there is one thread. */
static uint8_t datagram[DNS_MESSAGE_MAX_BYTES + 1];

static void finish(struct dns_attempt *a, int result, uint8_t *msg, size_t n)
{
    dns_attempt_done done = take_ptr(&a->done);
    (void)uv_poll_stop(&a->poll); /* cannot fail */
    if (done != NULL)
        done(a->user, result, msg, n);
}

static void take_answer(struct dns_attempt *a, int rcode, uint8_t *msg, size_t n)
{
    dns_answer_adopt(msg, &a->q);
    finish(a, rcode, msg, n);
}

static void read_datagrams(struct dns_attempt *a)
{
    while (a->done != NULL && a->wrong < DNS_WRONG_MAX) {
        ssize_t n = recv(a->fd, datagram, sizeof(datagram), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) { /* ECONNREFUSED: nobody listens there */
            finish(a, -errno, NULL, 0);
            return;
        }
        int rcode = dns_answer_check(datagram, (size_t)n, &a->q, a->id);
        if (rcode >= 0)
            take_answer(a, rcode, datagram, (size_t)n);
        else
            a->wrong++;
    }
    if (a->done != NULL)
        finish(a, -EBADMSG, NULL, 0);
}

/* Into the length, then into the message. Returns what recv() does. */
static ssize_t read_piece(struct dns_attempt *a)
{
    if (a->got < LENGTH_BYTES)
        return recv(a->fd, a->length + a->got, LENGTH_BYTES - a->got, MSG_DONTWAIT);
    size_t at = a->got - LENGTH_BYTES;
    return recv(a->fd, a->message + at, a->message_n - at, MSG_DONTWAIT);
}

static int length_known(struct dns_attempt *a)
{
    a->message_n = (size_t)a->length[0] << 8 | a->length[1];
    if (a->message_n < DNS_HEADER_BYTES)
        return -EBADMSG;
    a->message = malloc(a->message_n);
    return a->message != NULL ? 0 : -ENOMEM;
}

static void read_stream(struct dns_attempt *a)
{
    for (;;) {
        ssize_t n = read_piece(a);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        int r = n < 0 ? -errno : n == 0 ? -ECONNRESET : 0;
        if (r == 0) {
            a->got += (size_t)n;
            if (a->got == LENGTH_BYTES)
                r = length_known(a);
        }
        if (r < 0) {
            finish(a, r, NULL, 0);
            return;
        }
        if (a->message != NULL && a->got == LENGTH_BYTES + a->message_n)
            break;
    }
    int rcode = dns_answer_check(a->message, a->message_n, &a->q, a->id);
    if (rcode >= 0)
        take_answer(a, rcode, a->message, a->message_n);
    else
        finish(a, rcode, NULL, 0);
}

/* A few hundred bytes into an empty socket: all of them, or this server is passed over. */
static int ask(struct dns_attempt *a)
{
    uint8_t out[LENGTH_BYTES + DNS_OWN_MAX_BYTES];
    size_t n = dns_query_write(&a->q, a->id, out + LENGTH_BYTES), from = LENGTH_BYTES;
    if (a->tcp) {
        out[0] = (uint8_t)(n >> 8);
        out[1] = (uint8_t)n;
        from = 0;
    }
    n += LENGTH_BYTES - from;
    ssize_t sent = send(a->fd, out + from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    a->asked = true;
    return (size_t)sent == n ? 0 : -EIO;
}

int dns_attempt_repeat(struct dns_attempt *a)
{
    return ask(a);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dns_attempt *a = container_of(poll, struct dns_attempt, poll);
    (void)events; /* trying tells more */
    int r = 0;
    if (!a->asked) {
        socklen_t len = sizeof(r);
        if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &r, &len) < 0)
            r = errno;
        r = r != 0 ? -r : status < 0 ? status : ask(a);
        if (r == 0)
            r = uv_poll_start(&a->poll, UV_READABLE, on_poll);
        if (r < 0)
            finish(a, r, NULL, 0);
    } else if (a->tcp) {
        read_stream(a);
    } else {
        read_datagrams(a);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct dns_attempt *a = container_of(handle, struct dns_attempt, poll);
    free(a->message);
    free(a);
}

void dns_attempt_close(struct dns_attempt *a)
{
    if (a == NULL)
        return;
    a->done = NULL;
    uv_close((uv_handle_t *)&a->poll, on_closed);
    a->fd = fd_close(a->fd);
}

static int open_socket(const struct dns_server *server, bool tcp, int *ret_fd)
{
    int type = tcp ? SOCK_STREAM : SOCK_DGRAM;
    _cleanup_close_ int fd =
        socket(server->addr.sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, &server->addr.sa, server->len) < 0 && errno != EINPROGRESS)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

int dns_attempt_start(uv_loop_t *loop, const struct dns_server *server, const struct dns_query *q,
                      bool tcp, dns_attempt_done done, void *user, struct dns_attempt **ret)
{
    _cleanup_close_ int fd = -EBADF;
    int r = open_socket(server, tcp, &fd);
    if (r < 0)
        return r;
    struct dns_attempt *a = xnew(struct dns_attempt);
    a->tcp = tcp;
    a->q = *q;
    a->done = done;
    a->user = user;
    random_bytes(&a->id, sizeof(a->id));
    r = uv_poll_init(loop, &a->poll, fd);
    if (r < 0) {
        free(a);
        return r;
    }
    a->fd = take_fd(&fd);
    if (!tcp)
        r = ask(a);
    if (r == 0)
        r = uv_poll_start(&a->poll, tcp ? UV_WRITABLE : UV_READABLE, on_poll);
    if (r < 0) {
        dns_attempt_close(a);
        return r;
    }
    *ret = a;
    return 0;
}
