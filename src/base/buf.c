#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = BUF_INIT(max_bytes);
}

void buf_done(struct buf *b)
{
    if (b == NULL)
        return;
    free(b->p);
    *b = BUF_INIT(b->max);
}

void buf_wipe_done(struct buf *b)
{
    if (b != NULL && b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

char *buf_reserve(struct buf *b, size_t n)
{
    if (b->error != 0)
        return NULL;
    size_t need;
    if (__builtin_add_overflow(b->n, n, &need) || need > b->max) {
        b->error = -ENOBUFS;
        return NULL;
    }
    if (b->p != NULL && need < b->cap)
        return b->p + b->n;
    size_t cap = b->cap != 0 ? b->cap : 64;
    while (cap <= need)
        if (__builtin_mul_overflow(cap, (size_t)2, &cap)) {
            b->error = -ENOBUFS;
            return NULL;
        }
    if (cap > b->max && b->max < SIZE_MAX)
        cap = b->max + 1; /* the terminator; need <= max, so it is enough */
    char *p = realloc(b->p, cap);
    if (p == NULL) {
        b->error = -ENOMEM;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    b->p[b->n] = '\0';
    return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(b->p != NULL && n < b->cap - b->n);
    b->n += n;
    b->p[b->n] = '\0';
}

int buf_put(struct buf *b, const void *p, size_t n)
{
    char *at = buf_reserve(b, n);
    if (at == NULL)
        return b->error;
    if (n != 0)
        memcpy(at, p, n);
    buf_commit(b, n);
    return 0;
}

int buf_put_slice(struct buf *b, struct slice s)
{
    return buf_put(b, s.p, s.n);
}

int buf_put_str(struct buf *b, const char *s)
{
    return buf_put(b, s, strlen(s));
}

int buf_put_char(struct buf *b, char c)
{
    return buf_put(b, &c, 1);
}

int buf_put_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);
    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return buf_put(b, digits + i, sizeof(digits) - i);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->error = b->error != 0 ? b->error : -EINVAL;
        return b->error;
    }
    /* vsnprintf writes its terminator too: reserve keeps one byte behind the counted ones. */
    char *at = buf_reserve(b, (size_t)n);
    if (at == NULL)
        return b->error;
    va_start(ap, fmt);
    vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_commit(b, (size_t)n);
    return 0;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->error = 0;
    if (b->p != NULL)
        b->p[0] = '\0';
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n + 1);
    b->n -= n;
}

const char *buf_str(const struct buf *b)
{
    return b->p != NULL ? b->p : "";
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    if (b->error != 0 || buf_reserve(b, 0) == NULL)
        return NULL;
    char *p = b->p;
    if (ret_n != NULL)
        *ret_n = b->n;
    *b = BUF_INIT(b->max);
    return p;
}
