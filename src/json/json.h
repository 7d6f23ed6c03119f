/*
 * Reading JSON from outside, with the path of the field in every error, and writing it.
 *
 * Parsing is jansson's, behind limits of ours (depth and number of values) and with duplicate keys
 * and NUL bytes in strings refused. A json_ref is a borrowed view of a value that knows its way up,
 * so that an error can say "network.rules[2].name must be a string".
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    JSON_DEPTH_MAX = 64,
    JSON_VALUES_MAX = 131072, /* of one document: about 30 MB of memory at worst */
};

struct json_ref {
    json_t *v;                 /* borrowed from the document; NULL never occurs in a returned ref */
    const struct json_ref *up; /* NULL at the root; must outlive this ref */
    const char *key;           /* member name, or NULL for an array element */
    size_t index;
};

/*
 * Parse one value of any type. The document is owned by *ret_root (json_decref by
 * _cleanup_json_). Errors: -EBADMSG with line and column in the message.
 */
int json_parse(struct slice text, json_t **ret_root, struct err *err);
/* Without the limit of values: for the answer of a server that was asked for much. */
int json_parse_answer(struct slice text, json_t **ret_root, struct err *err);

static inline void json_freep(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}
#define _cleanup_json_ _cleanup_(json_freep)

static inline struct json_ref json_root(json_t *root)
{
    return (struct json_ref){.v = root};
}

/*
 * From now on memory of documents is zeroed before it is freed: what they were parsed from carries
 * secrets. For the start of a program, before the first document.
 */
void json_wipe_freed(void);

/* What a missing member means. JSON null counts as missing, as protobuf JSON has it. */
enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/*
 * Typed members of an object. Return 1 and set *ret when present, 0 when missing and optional
 * (*ret untouched), negative with `err` naming the path otherwise (-EINVAL wrong type or missing,
 * -ERANGE out of range). If obj itself is not an object: -EINVAL. Strings are borrowed.
 */
int json_get_str(const struct json_ref *obj, const char *key, enum json_need need, const char **ret,
                 struct err *err);
int json_get_bool(const struct json_ref *obj, const char *key, enum json_need need, bool *ret,
                  struct err *err);
/* Whole numbers only (5.0 is refused). */
int json_get_i64(const struct json_ref *obj, const char *key, enum json_need need, int64_t min,
                 int64_t max, int64_t *ret, struct err *err);
int json_get_obj(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err);
int json_get_arr(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err);
/* Any type. */
int json_get_any(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err);

/* Elements of an array that json_get_arr() gave. */
size_t json_arr_len(const struct json_ref *arr);
struct json_ref json_arr_at(const struct json_ref *arr, size_t i);

/* The value itself as a string, or -EINVAL naming its path. */
int json_as_str(const struct json_ref *ref, const char **ret, struct err *err);
int json_as_obj(const struct json_ref *ref, struct err *err);

/*
 * Call each(key, value, user) for the members of a map of strings; stops at the first negative
 * return and passes it on. -EINVAL with the path when a value is not a string.
 */
int json_each_str(const struct json_ref *map,
                  int (*each)(const char *key, const char *value, void *user, struct err *err),
                  void *user, struct err *err);

/* "a.b[3].c" into dst, "" for the root; cut when too long. Returns dst. */
const char *json_path(const struct json_ref *ref, char *dst, size_t cap);

/* A refusal of this value: sets "<path> <fmt...>" with kind invalid and returns -EINVAL. */
int json_refuse(const struct json_ref *ref, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As in base/err.h. */
#if defined(__clang_analyzer__) && !defined(JSON_NO_ANALYZER_MACROS)
#define json_refuse(...) ((void)json_refuse(__VA_ARGS__), -EINVAL)
#endif
