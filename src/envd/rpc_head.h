/* The headers that unary calls and streams understand. Only the rpc files include this. */
#pragma once

#include "base/err.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>

struct request;

struct rpc_head {
    uint64_t timeout_ms;  /* 0: none */
    uint64_t keepalive_s; /* never 0 */
};

/*
 * True when the content type is `media` with no parameter but charset=utf-8; else answered 415.
 */
bool rpc_check_type(struct request *r, const char *media);

/* Version, timeout, compression, keep-alive. -EINVAL or -EOPNOTSUPP with err. */
int rpc_head_read(const struct request *r, const char *encoding_header, struct rpc_head *ret,
                  struct err *err);

/* Parse a message; the error begins with "unmarshal message:". */
int rpc_parse(struct slice text, json_t **ret, struct err *err);
