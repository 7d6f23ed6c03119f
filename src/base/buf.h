/*
 * A growable run of bytes that is born with its maximum. Appending past the maximum, or running
 * out of memory, sets a sticky error and leaves the content as it was; ten appends need one check.
 * Always terminated by a NUL that is not counted. One owner, one thread.
 */
#pragma once

#include "base/cleanup.h"
#include "base/slice.h"

#include <stdarg.h>
#include <stdint.h>

struct buf {
    char *p; /* owned; NULL until the first append */
    size_t n, cap, max;
    int error; /* 0, -ENOBUFS (maximum), -ENOMEM */
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);      /* frees; NULL and half-built are fine */
void buf_wipe_done(struct buf *b); /* the same for secrets: zeroes first */
#define _cleanup_buf_ _cleanup_(buf_done)

/* All return 0 or the sticky error. */
int buf_put(struct buf *b, const void *p, size_t n);
int buf_put_slice(struct buf *b, struct slice s);
int buf_put_str(struct buf *b, const char *s);
int buf_put_char(struct buf *b, char c);
int buf_put_u64(struct buf *b, uint64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes at the end: writable pointer, or NULL with the sticky error set. */
char *buf_reserve(struct buf *b, size_t n);
/* Count n bytes written behind a buf_reserve(). */
void buf_commit(struct buf *b, size_t n);

void buf_clear(struct buf *b);             /* empty, memory kept, error forgotten */
void buf_consume(struct buf *b, size_t n); /* drop n bytes at the front (n <= b->n) */

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->p, b->n);
}

/* The content as a string, "" when empty. Borrowed until the next change. */
const char *buf_str(const struct buf *b);

/* Move the memory out (terminated, caller frees; NULL on a sticky error). b is empty afterwards. */
char *buf_take(struct buf *b, size_t *ret_n);
