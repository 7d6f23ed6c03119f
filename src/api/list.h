/* The query of a list request as data, and the keyset cursor between its pages. Pure. */
#pragma once

#include "api/api_internal.h"

enum {
    LIST_LIMIT_MAX = 100,
    LIST_METADATA_MAX = 64, /* filter pairs */
    LIST_CURSOR_MAX_BYTES = 256,
};

struct list_query {
    bool running, paused; /* states asked for */
    bool ascending;
    bool has_cursor;
    uint32_t limit;
    int64_t started_after_ns;         /* inclusive; INT64_MIN: none */
    char template[TEMPLATE_ID_BYTES]; /* id or alias, "" for any */
    struct buf metadata;              /* key NUL value NUL ..., decoded */
    int64_t cursor_ns;                /* the last sandbox of the page before */
    char cursor_id[API_ID_MAX_BYTES];
};

/*
 * Parse an encoded query string; with v1 only `metadata` is looked at. list_query_done() in any
 * case. -EINVAL with the parameter named.
 */
int list_query_parse(struct slice query, bool v1, struct list_query *ret, struct err *err);
void list_query_done(struct list_query *q);
#define _cleanup_list_query_ _cleanup_(list_query_done)

/* True when the filters let the sandbox pass (the cursor and the limit are not looked at). */
bool list_query_matches(const struct list_query *q, const struct sandbox_info *info);

/* Append the opaque cursor behind this sandbox; parse one (0 or -EINVAL). */
int list_cursor_put(struct buf *out, int64_t started_ns, const char *id, bool ascending);
int list_cursor_parse(struct slice token, bool ascending, int64_t *ret_ns,
                      char ret_id[static API_ID_MAX_BYTES]);
/* Order of two sandboxes by (started, id), oldest first: negative, 0, positive. */
int list_compare(int64_t a_ns, const char *a_id, int64_t b_ns, const char *b_id);
