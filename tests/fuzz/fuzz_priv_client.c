// deps: priv_client base
/*
 * What silica-priv says to silicad: whatever arrives as a packet, the daemon gets ended strings and
 * known operations, or ends the connection.
 */
#include "base/cleanup.h"
#include "priv/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool good)
{
    if (!good)
        abort();
}

static bool is_ended(const char *s, size_t n)
{
    return memchr(s, '\0', n) != NULL;
}

static void look_at_reply(const struct priv_reply *reply)
{
    struct err err;
    must(is_ended(reply->msg, sizeof(reply->msg)));
    must(is_ended(reply->inst.id, sizeof(reply->inst.id)));
    priv_reply_error(reply, &err);
    must(err.num < 0 && err.kind < ERR_KIND_MAX_ && is_ended(err.msg, sizeof(err.msg)));
}

static void look_at(const union priv_packet *p)
{
    switch (p->head.op) {
    case PRIV_REPLY:
        look_at_reply(&p->reply);
        break;
    case PRIV_ITEM:
        must(is_ended(p->item.inst.id, sizeof(p->item.inst.id)));
        break;
    case PRIV_EXIT:
        must(is_ended(p->exit.id, sizeof(p->exit.id)));
        must(is_ended(p->exit.reason, sizeof(p->exit.reason)));
        break;
    case PRIV_EVENT:
        must(is_ended(p->event.id, sizeof(p->event.id)));
        break;
    default:
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int ends[2] = {-1, -1};
    if (ends[0] < 0)
        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    if (send(ends[1], data, n, MSG_NOSIGNAL) != (ssize_t)n)
        return 0; /* larger than a packet can be */
    struct priv_client client = {.fd = ends[0]};
    union priv_packet packet;
    int r = priv_client_receive(&client, &packet);
    must(r == 0 || r == -EPIPE);
    if (r == 0)
        look_at(&packet);
    must(priv_client_receive(&client, &packet) == -EAGAIN); /* one packet, whole */
    return 0;
}
