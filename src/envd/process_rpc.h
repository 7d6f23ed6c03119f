/* process.Process: the methods. */
#pragma once

#include "envd/process.h"
#include "envd/rpc.h"

/* Streams. */
extern const struct stream_ops process_start_ops;
extern const struct stream_ops process_connect_ops;

/* Unary. */
void process_rpc_list(struct unary *u, const struct json_ref *body);
void process_rpc_send_input(struct unary *u, const struct json_ref *body);
void process_rpc_close_stdin(struct unary *u, const struct json_ref *body);
void process_rpc_send_signal(struct unary *u, const struct json_ref *body);

/*
 * The member "process" of a request that names a running or ended process. Strings are borrowed.
 * -EINVAL for a wrong type, -EOPNOTSUPP without a selector.
 */
int process_read_selector(const struct json_ref *body, struct selector *ret, struct err *err);
/* The member "input" of SendInput, decoded into `out`. Terminals are refused. */
int process_read_input(const struct json_ref *body, struct buf *out, struct err *err);
/* The member "signal": SIGTERM or SIGKILL; all others are refused. */
int process_read_signal(const struct json_ref *body, int *ret, struct err *err);
/* "process with pid N not found". Returns a negative errno. */
int process_not_found(const struct selector *s, struct err *err);

/* A Start request, taken apart. Strings are borrowed from the body. */
struct start_request {
    const char *cmd;
    json_t *args;    /* borrowed array of strings, or NULL */
    json_t *envs;    /* borrowed object of strings, or NULL */
    const char *cwd; /* "" when absent */
    const char *tag; /* NULL: none */
    bool with_stdin;
    json_t *config; /* owned by the caller after success: cmd, args, envs, cwd as given */
};
int process_parse_start(const struct json_ref *body, struct start_request *ret, struct err *err);
