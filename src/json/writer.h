/*
 * Streaming JSON writer into a buf. Commas and nesting are kept by the writer; misuse (a value
 * without its key, an end that does not match) trips an assert. Out of room is the buf's sticky
 * error: check buf.error once at the end. Strings that are not UTF-8 get U+FFFD for the bad bytes.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum { JSON_WRITER_DEPTH = 32 };

struct json_writer {
    struct buf *out; /* borrowed */
    unsigned depth;
    char close[JSON_WRITER_DEPTH];
    bool comma, after_key;
};

void jw_init(struct json_writer *w, struct buf *out);
void jw_obj(struct json_writer *w); /* { */
void jw_arr(struct json_writer *w); /* [ */
void jw_end(struct json_writer *w); /* the matching } or ] */
void jw_key(struct json_writer *w, const char *key);
void jw_keyn(struct json_writer *w, struct slice key);
void jw_str(struct json_writer *w, const char *s);
void jw_strn(struct json_writer *w, struct slice s);
void jw_i64(struct json_writer *w, int64_t v);
void jw_u64(struct json_writer *w, uint64_t v);
void jw_double(struct json_writer *w, double v, unsigned decimals); /* finite values only */
void jw_bool(struct json_writer *w, bool v);
void jw_null(struct json_writer *w);
/* Bytes as a base64 string, standard alphabet with padding. */
void jw_base64(struct json_writer *w, struct slice bytes);
/* A complete JSON value, written as it is. */
void jw_raw(struct json_writer *w, struct slice json);

/* key and value in one call */
void jw_kstr(struct json_writer *w, const char *key, const char *s);
void jw_ku64(struct json_writer *w, const char *key, uint64_t v);
void jw_ki64(struct json_writer *w, const char *key, int64_t v);
void jw_kbool(struct json_writer *w, const char *key, bool v);
