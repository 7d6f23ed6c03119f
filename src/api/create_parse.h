/*
 * The body of a create request as data: everything checked, nothing done. Pure, so that it can be
 * fuzzed and tested without a server.
 */
#pragma once

#include "api/api_internal.h"
#include "base/cleanup.h"

enum {
    CREATE_METADATA_MAX = 256,         /* entries */
    CREATE_METADATA_MAX_BYTES = 16384, /* all keys and values */
    CREATE_ENVS_MAX = 1024,
    CREATE_ENVS_MAX_BYTES = 1048576,
    CREATE_MASK_HOST_MAX_BYTES = 255,
};

struct create_request {
    json_t *root;             /* owns the strings of the spec */
    struct kv *metadata;      /* owned array, strings borrowed from root */
    struct kv *envs;          /* the same */
    struct buf network_json;  /* what spec.network_json points at */
    struct sandbox_spec spec; /* all but `team` */
};

struct create_limits {
    int64_t default_timeout_s, max_timeout_s;
};

/*
 * On success *ret is filled; call create_request_done() in any case. `fields` collects or refuses
 * unknown members. Errors: -EINVAL or -EBADMSG with the field named, -ENOMEM.
 */
int create_request_parse(struct slice body, const struct create_limits *limits,
                         const struct api_fields *fields, struct create_request *ret,
                         struct err *err);
void create_request_done(struct create_request *r);
#define _cleanup_create_request_ _cleanup_(create_request_done)

/* network.c: the `network` object. Sets public_traffic, mask_host and network_json of the spec. */
int create_network_parse(const struct json_ref *network, const struct api_fields *fields,
                         struct create_request *ret, struct err *err);
/* "<path> is not supported by this server[: why]" with its stable code; -EINVAL. */
int create_not_supported(const struct json_ref *ref, struct err *err);
/* True for a value that asks for something: not null, false, or an empty array or object. */
bool create_asks_for_something(const json_t *v);
/* True for "host" or "host:port" in ASCII, where ${PORT} may stand for digits. */
bool create_mask_host_valid(struct slice mask);
