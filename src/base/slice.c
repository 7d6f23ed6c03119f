#include "base/slice.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool slice_ieq_str(struct slice a, const char *s)
{
    return slice_ieq(a, slice_str(s));
}

bool slice_has_prefix(struct slice a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.n >= n && slice_eq(slice_of(a.p, n), slice_of(prefix, n));
}

bool slice_has_suffix(struct slice a, const char *suffix)
{
    size_t n = strlen(suffix);
    return n == 0 || (a.n >= n && slice_eq(slice_from(a, a.n - n), slice_of(suffix, n)));
}

size_t slice_find(struct slice a, char c)
{
    const char *at = a.n != 0 ? memchr(a.p, c, a.n) : NULL;
    return at != NULL ? (size_t)(at - a.p) : a.n;
}

struct slice slice_from(struct slice a, size_t from)
{
    return from >= a.n ? slice_of(a.p, 0) : slice_of(a.p + from, a.n - from);
}

struct slice slice_sub(struct slice a, size_t from, size_t n)
{
    struct slice rest = slice_from(a, from);
    return slice_of(rest.p, n < rest.n ? n : rest.n);
}

struct slice slice_trim(struct slice a)
{
    while (a.n > 0 && (a.p[0] == ' ' || a.p[0] == '\t'))
        a = slice_of(a.p + 1, a.n - 1);
    while (a.n > 0 && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
        a.n--;
    return a;
}

bool slice_next(struct slice *rest, char sep, struct slice *ret_part)
{
    if (rest->p == NULL)
        return false;
    size_t at = slice_find(*rest, sep);
    *ret_part = slice_of(rest->p, at);
    *rest = at < rest->n ? slice_of(rest->p + at + 1, rest->n - at - 1) : slice_of(NULL, 0);
    return true;
}

char *slice_dup(struct slice a)
{
    if (slice_find(a, '\0') != a.n)
        return NULL;
    char *s = malloc(a.n + 1);
    if (s == NULL)
        return NULL;
    if (a.n != 0)
        memcpy(s, a.p, a.n);
    s[a.n] = '\0';
    return s;
}

int slice_copy(struct slice a, char *dst, size_t cap)
{
    if (slice_find(a, '\0') != a.n)
        return -EINVAL;
    if (a.n >= cap)
        return -ENOBUFS;
    if (a.n != 0)
        memcpy(dst, a.p, a.n);
    dst[a.n] = '\0';
    return 0;
}

size_t slice_utf8_len(struct slice a)
{
    const unsigned char *p = (const unsigned char *)a.p;
    size_t n = a.n;
    unsigned char c = n != 0 ? p[0] : 0xff;
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xc2 && c <= 0xdf   ? 2
                 : (c & 0xf0) == 0xe0     ? 3
                 : c >= 0xf0 && c <= 0xf4 ? 4
                                          : 0;
    if (len == 0 || len > n)
        return 0;
    unsigned char lo = 0x80, hi = 0xbf;
    if (c == 0xe0)
        lo = 0xa0;
    else if (c == 0xed)
        hi = 0x9f;
    else if (c == 0xf0)
        lo = 0x90;
    else if (c == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool slice_is_utf8(struct slice a)
{
    while (a.n > 0) {
        size_t len = slice_utf8_len(a);
        if (len == 0)
            return false;
        a = slice_from(a, len);
    }
    return true;
}

struct slice slice_utf8_cut(struct slice a, size_t max)
{
    if (a.n <= max)
        return a;
    size_t n = max;
    while (n > 0 && max - n < 3 && ((unsigned char)a.p[n] & 0xc0) == 0x80)
        n--;
    return slice_of(a.p, n);
}
