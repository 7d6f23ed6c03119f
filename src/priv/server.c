/*
 * The helper's socket: who may connect, what a packet is, and the table of requests.
 *
 * Only the daemon's uid is served (SO_PEERCRED: the kernel's word for who connected). A packet is
 * read into one buffer of fixed size; request.c decides
 * whether it is a request at all; then the handler gets it.
 * Replies are small and are sent without waiting: a client that does not read them until its socket
 * is full loses its connection, and nothing of ours waits for it.
 *
 * Descriptors that a packet carries are never ours: it is read without room for them, so that the
 * kernel closes them at once. To close a foreign socket may take as long as its owner wants
 * (SO_LINGER); Linux 6.16 and newer let the socket refuse such packets, older ones give a client
 * this way to hold us up. That client could end all sandboxes as well.
 *
 * One start a turn: it takes milliseconds, and then it is the turn of others.
 */
#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "priv/request.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

enum { PACKETS_PER_TURN = 16, SEND_BUFFER_BYTES = 4 << 20, CLOSINGS_LOGGED_PER_S = 5 };

static bool (*const operations[])(struct client *c, const void *packet) = {
    [PRIV_HELLO] = op_hello, [PRIV_START] = op_start,       [PRIV_STOP] = op_stop,
    [PRIV_LIST] = op_list,   [PRIV_SNAPSHOT] = op_snapshot,
};

static void client_close(struct client *c, const char *why)
{
    if (c->fd < 0)
        return;
    static struct log_rate rate;
    if (log_allow(&rate, CLOSINGS_LOGGED_PER_S))
        log_info("client %llu: %s", (unsigned long long)c->number, why);
    helper_unwatch(c->helper, c->fd);
    c->fd = fd_close(c->fd);
    c->number = 0;
    c->greeted = false;
}

void server_send(struct client *c, const void *packet, size_t n)
{
    if (c->fd >= 0 && send(c->fd, packet, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
        client_close(c, "does not take its replies, closed");
}

struct client *server_client(struct helper *h, uint64_t number)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (h->clients[i].fd >= 0 && h->clients[i].number == number)
            return &h->clients[i];
    return NULL;
}

void server_reply(struct client *c, uint32_t seq, const struct err *err,
                  const struct priv_instance *inst)
{
    struct priv_reply reply = {.head = {.op = PRIV_REPLY, .seq = seq}};
    if (err != NULL) {
        reply.error = err->num;
        reply.kind = err->kind;
        (void)snprintf(reply.msg, sizeof(reply.msg), "%s", err->msg);
    }
    if (inst != NULL)
        reply.inst = *inst;
    server_send(c, &reply, sizeof(reply));
}

void server_broadcast(struct helper *h, const void *packet, size_t n)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (h->clients[i].fd >= 0 && h->clients[i].greeted)
            server_send(&h->clients[i], packet, n);
}

/* Its form, then whether it is time for it. *ret_op is the operation, 0 for what is none. */
static bool dispatch(struct client *c, const void *packet, size_t n, uint32_t *ret_op)
{
    struct priv_head head;
    *ret_op = 0;
    if (!priv_request_check(packet, n))
        return false;
    memcpy(&head, packet, sizeof(head)); /* op is one of the table's */
    *ret_op = head.op;
    return (c->greeted || head.op == PRIV_HELLO) && operations[head.op](c, packet);
}

static void on_packet(struct watch *w, uint32_t events)
{
    struct client *c = container_of(w, struct client, watch);
    uint32_t op = 0;
    (void)events;
    for (unsigned i = 0; i < PACKETS_PER_TURN && c->fd >= 0 && op != PRIV_START; i++) {
        char packet[PRIV_PACKET_MAX_BYTES] __attribute__((aligned(16))) = {0};
        ssize_t n = recv(c->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0)
            client_close(c, "gone");
        else if ((size_t)n > sizeof(packet) || !dispatch(c, packet, (size_t)n, &op))
            client_close(c, "sent what is no request, closed");
        explicit_bzero(packet, sizeof(packet)); /* it may have held a secret */
    }
}

static bool may_connect(const struct helper *h, int fd)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && n == sizeof(cred) &&
           cred.uid == h->options.client_uid;
}

static void on_connect(struct watch *w, uint32_t events)
{
    struct helper *h = container_of(w, struct helper, listen_watch);
    (void)events;
    _cleanup_close_ int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    static struct log_rate rate;
    if (!may_connect(h, fd)) {
        if (log_allow(&rate, CLOSINGS_LOGGED_PER_S))
            log_warning("a process of another user tried to connect, refused");
        return;
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *c = &h->clients[i];
        if (c->fd >= 0)
            continue;
        int bytes = SEND_BUFFER_BYTES; /* best effort: room for a list of all sandboxes */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
        c->watch.on_event = on_packet;
        if (helper_watch(h, fd, &c->watch) < 0)
            return;
        c->fd = take_fd(&fd);
        c->number = ++h->next_client;
        c->greeted = false;
        return;
    }
    if (log_allow(&rate, CLOSINGS_LOGGED_PER_S))
        log_warning("more than %d clients, refused", (int)CLIENTS_MAX);
}

/* The file belongs to the daemon's uid and is closed to all others; root-owned folders around it. */
static int listen_at(const char *path, uint32_t uid, int *ret_fd)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (slice_copy(slice_str(path), addr.sun_path, sizeof(addr.sun_path)) < 0)
        return -ENAMETOOLONG;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (unlink(path) < 0 && errno != ENOENT))
        return -errno;
    const int off = 0; /* best effort; what connects here inherits it */
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
    mode_t old = umask(0177);
    int r = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    (void)umask(old);
    if (r == 0 && (lchown(path, uid, uid) < 0 || listen(fd, CLIENTS_MAX) < 0))
        r = -errno;
    if (r == 0)
        *ret_fd = take_fd(&fd);
    return r;
}

int server_open(struct helper *h, struct err *err)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        h->clients[i] = (struct client){.fd = -EBADF, .helper = h};
    int r = listen_at(h->options.socket_path, h->options.client_uid, &h->listen_fd);
    h->listen_watch.on_event = on_connect;
    if (r == 0)
        r = helper_watch(h, h->listen_fd, &h->listen_watch);
    return r < 0 ? err_sys(err, r, "listen at %s", h->options.socket_path) : 0;
}

void server_close(struct helper *h)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        client_close(&h->clients[i], "closed, silica-priv ends");
    if (h->listen_fd >= 0)
        (void)unlink(h->options.socket_path);
    h->listen_fd = fd_close(h->listen_fd);
}
