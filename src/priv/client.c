#include "priv/client.h"

#include "base/cleanup.h"
#include "base/slice.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int priv_client_open(struct priv_client *c, const char *path, uint32_t *ret_seq, struct err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct priv_hello hello = {.magic = PRIV_MAGIC, .version = PRIV_VERSION};
    if (slice_copy(slice_str(path), addr.sun_path, sizeof(addr.sun_path)) < 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the socket path %s is too long", path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_sys(err, -errno, "connect to silica-priv at %s", path);
    *c = (struct priv_client){.fd = take_fd(&fd)};
    int r = priv_client_send(c, PRIV_HELLO, &hello, sizeof(hello), ret_seq, err);
    if (r < 0)
        priv_client_close(c);
    return r;
}

void priv_client_close(struct priv_client *c)
{
    c->fd = fd_close(c->fd);
}

int priv_client_send(struct priv_client *c, enum priv_op op, void *request, size_t n,
                     uint32_t *ret_seq, struct err *err)
{
    struct priv_head head = {.op = op, .seq = ++c->seq};
    memcpy(request, &head, sizeof(head));
    ssize_t sent = c->fd >= 0 ? send(c->fd, request, n, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
    if (c->fd >= 0 && sent < 0 && errno == EAGAIN)
        return err_set(err, -EAGAIN, ERR_UNAVAILABLE, "silica-priv is busy");
    if (sent != (ssize_t)n)
        return err_set(err, -EPIPE, ERR_UNAVAILABLE, "silica-priv is not there");
    *ret_seq = head.seq;
    return 0;
}

static size_t packet_size(uint32_t op)
{
    switch (op) {
    case PRIV_REPLY:
        return sizeof(struct priv_reply);
    case PRIV_ITEM:
        return sizeof(struct priv_item);
    case PRIV_EXIT:
        return sizeof(struct priv_exit);
    case PRIV_EVENT:
        return sizeof(struct priv_event);
    default:
        return 0;
    }
}

/* The helper is trusted, but a cut string would still be a crash here. */
static void terminate(union priv_packet *p)
{
    if (p->head.op == PRIV_REPLY) {
        p->reply.msg[sizeof(p->reply.msg) - 1] = '\0';
        p->reply.inst.id[sizeof(p->reply.inst.id) - 1] = '\0';
    } else if (p->head.op == PRIV_ITEM) {
        p->item.inst.id[sizeof(p->item.inst.id) - 1] = '\0';
    } else if (p->head.op == PRIV_EVENT) {
        p->event.id[sizeof(p->event.id) - 1] = '\0';
    } else {
        p->exit.id[sizeof(p->exit.id) - 1] = '\0';
        p->exit.reason[sizeof(p->exit.reason) - 1] = '\0';
    }
}

int priv_client_receive(struct priv_client *c, union priv_packet *ret)
{
    if (c->fd < 0)
        return -EPIPE;
    ssize_t n;
    do
        n = recv(c->fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -EAGAIN : -EPIPE;
    if ((size_t)n < sizeof(struct priv_head) || (size_t)n != packet_size(ret->head.op))
        return -EPIPE;
    terminate(ret);
    return 0;
}

void priv_reply_error(const struct priv_reply *reply, struct err *ret)
{
    enum err_kind kind = reply->kind < ERR_KIND_MAX_ ? (enum err_kind)reply->kind : ERR_INTERNAL;
    (void)err_set(ret, reply->error < 0 ? reply->error : -EIO, kind, "%s", reply->msg);
}
