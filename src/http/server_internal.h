/*
 * Shared by server.c (listener, connections) and exchange.c (one request and its response). An
 * exchange is made by its connection when a head was parsed, steps inside the connection's turns,
 * and dies inside a step, after on_closed.
 */
#pragma once

#include "base/list.h"
#include "http/body.h"
#include "http/server.h"

enum {
    HTTP_DRAIN_MAX_BYTES = 262144, /* of an unread body, to keep a connection */
    HTTP_DRAIN_MS = 5000,
    HTTP_LINGER_MAX_BYTES = 16777216, /* read and dropped behind our FIN */
    HTTP_LINGER_MS = 5000,
    HTTP_ACCEPTS_PER_WAKEUP = 16,
    HTTP_ACCEPT_PAUSE_MS = 100, /* after EMFILE and the like */
    HTTP_SLOW_HEAD_MS = 2000,   /* a head under way for longer may make room for others */
    HTTP_REFUSED_MAX = 64,      /* connections above the maximum that still get their 503 */
};

/*
 * What a connection is doing.
 *
 *   IDLE      between requests; no byte of the next one yet.      -> HEAD, gone
 *   HEAD      a part of a head is there.                          -> EXCHANGE, LINGER, gone
 *   EXCHANGE  x is set; the handler has it.                       -> IDLE, DRAIN, LINGER, gone
 *   DRAIN     the response is out, the body's rest is dropped.    -> IDLE, LINGER, gone
 *   LINGER    nothing more will be said: FIN, and what still comes is dropped, so that no reset
 *             overtakes the response.                             -> gone
 */
enum sconn_state { SCONN_IDLE, SCONN_HEAD, SCONN_EXCHANGE, SCONN_DRAIN, SCONN_LINGER };

struct sconn {
    struct http_conn c;
    struct http_server *server;
    struct list node; /* server->conns */
    enum sconn_state state;
    uint64_t state_ms;        /* since when */
    size_t parsed;            /* HEAD: bytes that parsing has looked at */
    uint64_t dropped;         /* DRAIN, LINGER: bytes so far */
    struct http_body_in body; /* of the present request */
    struct http_exchange *x;  /* owned */
    struct sockaddr_storage peer;
};

struct http_server {
    uv_loop_t *loop;
    int fd; /* owned */
    uv_poll_t poll;
    uv_timer_t pause;
    unsigned open_handles;
    struct http_server_opts opts; /* defaults filled in */
    http_handler handler;
    void *user;
    struct list conns;
    size_t n_conns;
    size_t held; /* sum of all exchanges' held */
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

struct http_exchange {
    struct sconn *sc;
    struct http_head head;
    char *head_bytes; /* owned; what head's slices point into */
    struct http_x_callbacks cb;
    void *user;
    struct http_body_out out;
    bool responded, tunnel, close_after;
    bool read_wanted, ever_read, in_end, continue_sent;
    bool too_large;   /* read_all: the announced length is above the maximum */
    bool refused;     /* we answered for the handler, before on_closed with an error */
    int reason;       /* negative: the exchange ends for it in the next step */
    uint64_t read_ms; /* when read_wanted was set */
    struct buf all;   /* http_x_read_all */
    void (*all_done)(struct http_exchange *x, int result, struct slice body, void *user);
    void *all_user;
    struct buf rest; /* of a reply that did not fit into the queue */
    size_t rest_at;
    size_t held; /* counted in server->held */
};

/* Takes the head (used bytes at the front of the input) over. NULL when memory is gone. */
struct http_exchange *exchange_new(struct sconn *sc, const struct http_head *head, size_t used);
/* One step. Returns true when something was done. The exchange may be gone afterwards. */
bool exchange_step(struct http_exchange *x);
bool exchange_want_read(const struct http_exchange *x);
uint64_t exchange_deadline(const struct http_exchange *x);
void exchange_cancel(struct http_exchange *x, int reason);
/* http_x_hold() whatever the exchange's state. */
int exchange_hold(struct http_exchange *x, size_t bytes);
/* Goes on with a reply that did not fit into the queue. */
void exchange_send_rest(struct http_exchange *x);
/* Called by the exchange as its last act: what the connection does next. reason as on_closed. */
void sconn_exchange_ended(struct sconn *sc, struct http_exchange *x, int reason);
/* Queue a complete answer with a JSON body and "Connection: close". msg has no quotes. */
void sconn_put_error(struct sconn *sc, unsigned status, const char *msg);
