/*
 * The daemon's end of the connection to silica-priv: packets in and out, without waiting.
 *
 * No loop of its own: the owner watches client->fd for reading and calls priv_client_receive()
 * until -EAGAIN. Requests are small and at most a few at a time; one that does not fit into the
 * socket's buffer fails with -EAGAIN.
 */
#pragma once

#include "base/err.h"
#include "priv/protocol.h"

#include <stddef.h>

struct priv_client {
    int fd; /* -EBADF: not connected */
    uint32_t seq;
};

/*
 * Connect and send the hello; its reply arrives as the first PRIV_REPLY, with *ret_seq. -ENOENT or
 * -ECONNREFUSED while the helper is not up.
 */
int priv_client_open(struct priv_client *c, const char *path, uint32_t *ret_seq, struct err *err);
void priv_client_close(struct priv_client *c);

/*
 * Send a request of n bytes that begins with struct priv_head; op is set, seq is given and
 * returned in *ret_seq. -EPIPE when the connection is gone.
 */
int priv_client_send(struct priv_client *c, enum priv_op op, void *request, size_t n,
                     uint32_t *ret_seq, struct err *err);

union priv_packet {
    struct priv_head head;
    struct priv_reply reply;
    struct priv_item item;
    struct priv_exit exit;
    struct priv_event event;
};

/* Next packet, checked in size and terminated strings. -EAGAIN: none; -EPIPE: connection gone. */
int priv_client_receive(struct priv_client *c, union priv_packet *ret);

/* A reply's error as an err (reply->error must be negative). */
void priv_reply_error(const struct priv_reply *reply, struct err *ret);
