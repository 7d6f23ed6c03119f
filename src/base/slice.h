/* A borrowed run of bytes: what parsers take and give. Never terminated, never owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE_LIT(s) ((struct slice){("" s), sizeof(s) - 1})

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}

/* NULL gives the empty slice. */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s != NULL ? strlen(s) : 0};
}

bool slice_eq(struct slice a, struct slice b);
bool slice_eq_str(struct slice a, const char *s);
/* ASCII letters compare without case; all other bytes exactly. */
bool slice_ieq(struct slice a, struct slice b);
bool slice_ieq_str(struct slice a, const char *s);
bool slice_has_prefix(struct slice a, const char *prefix);
bool slice_has_suffix(struct slice a, const char *suffix);

/* Index of the first `c`, or a.n. */
size_t slice_find(struct slice a, char c);

/* The bytes from `from` on (empty if past the end), and `n` bytes from `from` (cut at the end). */
struct slice slice_from(struct slice a, size_t from);
struct slice slice_sub(struct slice a, size_t from, size_t n);

/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice a);

/*
 * Take the part before the first `sep` out of *rest, which moves behind the separator.
 * Returns false when *rest is exhausted (its p is NULL then). "a,,b" gives "a", "", "b".
 */
bool slice_next(struct slice *rest, char sep, struct slice *ret_part);

/* Terminated copy; NULL when memory is gone or the slice holds a NUL byte. Caller frees. */
char *slice_dup(struct slice a);

/* Copy with a terminator into dst[cap]. Returns 0, -ENOBUFS if it does not fit, -EINVAL on NUL. */
int slice_copy(struct slice a, char *dst, size_t cap);

/* True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool slice_is_utf8(struct slice a);
/* Bytes of the well-formed character that `a` begins with (1 to 4), 0 when there is none. */
size_t slice_utf8_len(struct slice a);
/* The longest beginning of at most `max` bytes that cuts no character of well-formed text. */
struct slice slice_utf8_cut(struct slice a, size_t max);
