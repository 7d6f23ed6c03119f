/*
 * One connection on a libuv loop: what server and client have in common.
 *
 * Theory. A connection is a descriptor, an input block, an output queue and an owner. All the
 * owner's logic lives in one function, turn(), which is called from the loop whenever something
 * may have changed: the descriptor, a deadline, or http_conn_kick() from one of the owner's calls.
 * The turn looks at the state, takes bounded steps and returns. So no callback is ever invoked from
 * inside a call, and interest in the descriptor is computed in one place after every turn.
 *
 * Input. Bytes are read only when the owner calls http_conn_fill() in its turn, and the descriptor
 * is watched for reading only while the owner's want_read says so. The block holds at most
 * HTTP_IN_BLOCK_BYTES and is freed while it is empty.
 *
 * Output. Bytes are appended to a queue and sent at the end of the turn. The queue takes what it is
 * given; the owner tells its user to stop at HTTP_OUT_HIGH_WATER. A user who does not is cut off at
 * HTTP_OUT_MAX_BYTES. One connection therefore pins at most HTTP_IN_BLOCK_BYTES plus
 * HTTP_OUT_HIGH_WATER plus the largest single write.
 *
 * The peer. A FIN is noticed even while nobody reads (EPOLLRDHUP), `hup` is then set; `eof` once it
 * was read. A reset sets `cut` at once. After a FIN the descriptor cannot be watched without
 * spinning, so a reset behind it is looked for every HTTP_HUP_PROBE_MS.
 *
 * Life: init, then any number of turns, then http_conn_close(); freed() runs when the loop has let
 * go of the handles, and only then may the memory go.
 */
#pragma once

#include "base/buf.h"
#include "http/chunk.h"
#include "http/head.h"

#include <sys/socket.h>
#include <uv.h>

enum {
    HTTP_IN_BLOCK_BYTES = HTTP_HEAD_MAX_BYTES,
    HTTP_OUT_MAX_BYTES = 16 * 1024 * 1024, /* a writer that ignores -EAGAIN is cut here */
    HTTP_TURN_STEPS = 16,                  /* steps of one connection in one loop iteration */
    HTTP_HUP_PROBE_MS = 1000,
    HTTP_DIRECT_SEND_BYTES = 16384, /* writes from here on are tried without a copy */
};

struct http_conn;

struct http_conn_ops {
    /* Take at most one step. Returns true when another one may be possible at once. */
    bool (*step)(struct http_conn *c);
    /* True while the owner waits for bytes of the peer. */
    bool (*want_read)(struct http_conn *c);
    /* The next deadline in uv_now() milliseconds, 0 for none. step() looks whether it passed. */
    uint64_t (*deadline)(struct http_conn *c);
    /* After close: all handles are gone. */
    void (*freed)(struct http_conn *c);
};

struct http_conn {
    const struct http_conn_ops *ops;
    uv_loop_t *loop;
    int fd; /* owned */
    uv_poll_t poll;
    uv_idle_t work;
    uv_timer_t timer;
    unsigned open_handles;
    int events;           /* what poll is started with; 0: stopped */
    uint64_t timer_at_ms; /* what timer is started for; 0: stopped */
    uint64_t probe_ms;    /* next look for a reset behind a FIN */

    char *in; /* owned, HTTP_IN_BLOCK_BYTES, NULL while empty */
    size_t in_from, in_to;
    struct buf out;
    size_t out_from;

    bool connecting; /* non-blocking connect under way */
    bool closing;
    bool in_turn, again;
    bool readable;          /* a read may give something */
    bool writable;          /* a send may take something */
    bool hup, eof, cut;     /* see above */
    bool gone;              /* cut, or the peer has closed both directions */
    bool connect_failed;    /* cut before it was connected */
    bool out_dead;          /* the peer takes no more: output is dropped */
    bool shut_wanted, shut; /* our FIN */
    int error;              /* why `cut` (negative) */
    uint64_t in_ms, out_ms; /* last progress of each direction */
};

/*
 * Take over fd (made non-blocking). Returns 0 or a negative errno; on failure the caller closes fd
 * and may free c at once.
 */
int http_conn_init(struct http_conn *c, uv_loop_t *loop, int fd, bool connecting,
                   const struct http_conn_ops *ops);
/* Closes the descriptor now; freed() follows from the loop. Twice is fine. */
void http_conn_close(struct http_conn *c);
/* The same with a reset, so that a cut cannot be taken for an end. */
void http_conn_reset(struct http_conn *c);

/* Ask for a turn in this or the next loop iteration. */
void http_conn_kick(struct http_conn *c);

/* The buffered input, and taking from its front. */
struct slice http_conn_input(const struct http_conn *c);
void http_conn_consume(struct http_conn *c, size_t n);
/* Read once into the block. Returns the bytes added, 0 when there are none now (see eof, cut). */
size_t http_conn_fill(struct http_conn *c);

/* Bytes queued and not yet taken by the kernel. */
size_t http_conn_queued(const struct http_conn *c);
/*
 * Queue bytes, or send them at once when that is possible and worth it. Returns 0, -EPIPE when the
 * peer takes no more, -ENOBUFS or -ENOMEM (the connection is then cut).
 */
int http_conn_write(struct http_conn *c, struct slice data);
/*
 * The queue's end, for heads: append with buf_put and friends, then http_conn_wrote(), which
 * returns as http_conn_write().
 */
struct buf *http_conn_out(struct http_conn *c);
int http_conn_wrote(struct http_conn *c);
/* Send what the kernel takes. Returns true when it took something. */
bool http_conn_flush(struct http_conn *c);
/* Send our FIN once the queue is empty. */
void http_conn_shut(struct http_conn *c);
/* True when the FIN is out, or never can be. */
bool http_conn_is_shut(const struct http_conn *c);
