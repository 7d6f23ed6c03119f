/*
 * The Connect protocol over HTTP/1.1 with the JSON codec: unary calls and server streams.
 *
 * A unary call reads one JSON message and answers it or an error with the code's HTTP status. A
 * stream reads one enveloped message and then answers status 200 and frames, the last of them with
 * the end flag and the error, if any. A deadline (Connect-Timeout-Ms) ends either.
 *
 * Errors travel as `struct err` whose code is one of the strings below.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>

#define RPC_INVALID_ARGUMENT    "invalid_argument"
#define RPC_NOT_FOUND           "not_found"
#define RPC_ALREADY_EXISTS      "already_exists"
#define RPC_FAILED_PRECONDITION "failed_precondition"
#define RPC_RESOURCE_EXHAUSTED  "resource_exhausted"
#define RPC_DEADLINE_EXCEEDED   "deadline_exceeded"
#define RPC_UNIMPLEMENTED       "unimplemented"
#define RPC_UNAUTHENTICATED     "unauthenticated"
#define RPC_INTERNAL            "internal"
#define RPC_UNKNOWN             "unknown"

enum {
    RPC_REQUEST_MAX_BYTES = 32 << 20,
    RPC_REPLY_MAX_BYTES = 32 << 20,
    RPC_KEEPALIVE_DEFAULT_S = 90,
};

struct request;

/* err_set() with a Connect code. Returns a negative errno. */
int rpc_fail(struct err *err, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The code of an error, by its kind when none was set. Never NULL. */
const char *rpc_code_of(const struct err *err);
/* HTTP status of a code; 500 for strings that are none. */
unsigned rpc_status_of(const char *code);

/* {"code":...,"message":...} into out. */
void rpc_put_error(struct buf *out, const struct err *err);
/* Payload of the end frame: {} or {"error":{...}}. */
void rpc_put_end(struct buf *out, const struct err *err);

/* Before any message is read: end frame for stream content types, JSON and status for others. */
void rpc_fail_request(struct request *r, const struct err *err);

/* ---- unary ---- */

struct unary;

/*
 * Handle one message. Must lead to exactly one unary_reply() or unary_fail(), now or later; both
 * are harmless after the deadline or when the client has gone. `body` is valid during the call.
 */
typedef void (*unary_handler)(struct unary *u, const struct json_ref *body);

void unary_start(struct request *r, unary_handler handler);
struct request *unary_request(const struct unary *u);
void unary_reply(struct unary *u, struct slice json);
void unary_fail(struct unary *u, const struct err *err);

/* ---- server streams ---- */

struct stream;

struct stream_ops {
    /* The message. `body` is valid during the call. Errors are told by stream_end(). */
    void (*on_message)(struct stream *s, const struct json_ref *body);
    void (*on_writable)(struct stream *s); /* after stream_send() said -EAGAIN */
    /* Nothing was sent for the keep-alive interval. */
    void (*on_silence)(struct stream *s);
    /* Connect-Timeout-Ms passed. The stream ends with deadline_exceeded right after. */
    void (*on_deadline)(struct stream *s);
    /* Last, exactly once, also after stream_end(). The stream must be forgotten. */
    void (*on_gone)(struct stream *s);
};

void stream_start(struct request *r, const struct stream_ops *ops);
struct request *stream_request(const struct stream *s);
void stream_set_user(struct stream *s, void *user);
void *stream_user(const struct stream *s);
uint64_t stream_timeout_ms(const struct stream *s); /* 0: none */

/* One data frame. 0; -EAGAIN: taken, send no more until on_writable; -EPIPE: over, dropped. */
int stream_send(struct stream *s, struct slice json);
/* The end frame, with `err` or without. Later sends are dropped. */
void stream_end(struct stream *s, const struct err *err);
