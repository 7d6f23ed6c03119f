#include "base/codec.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_put(struct buf *out, struct slice in)
{
    if (in.n > (SIZE_MAX - 2) / 4 * 3)
        return out->error = out->error != 0 ? out->error : -ENOBUFS;
    size_t need = (in.n + 2) / 3 * 4;
    char *d = buf_reserve(out, need);
    if (d == NULL)
        return out->error;
    const unsigned char *s = (const unsigned char *)in.p;
    size_t i = 0;
    for (; i + 3 <= in.n; i += 3) {
        uint32_t v = (uint32_t)s[i] << 16 | (uint32_t)s[i + 1] << 8 | s[i + 2];
        *d++ = alphabet[v >> 18];
        *d++ = alphabet[v >> 12 & 63];
        *d++ = alphabet[v >> 6 & 63];
        *d++ = alphabet[v & 63];
    }
    if (i < in.n) {
        bool two = in.n - i == 2;
        uint32_t v = (uint32_t)s[i] << 16 | (two ? (uint32_t)s[i + 1] << 8 : 0);
        *d++ = alphabet[v >> 18];
        *d++ = alphabet[v >> 12 & 63];
        *d++ = two ? alphabet[v >> 6 & 63] : '=';
        *d++ = '=';
    }
    buf_commit(out, need);
    return 0;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

int base64_get(struct buf *out, struct slice in)
{
    size_t n = in.n;
    while (n > 0 && in.p[n - 1] == '=' && in.n - n < 2)
        n--;
    if (n % 4 == 1 || (n != in.n && in.n % 4 != 0))
        return -EINVAL;
    size_t need = n / 4 * 3 + (n % 4 != 0 ? n % 4 - 1 : 0);
    char *d = buf_reserve(out, need);
    if (d == NULL)
        return out->error;
    uint32_t v = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        int b = sextet(in.p[i]);
        if (b < 0) {
            out->p[out->n] = '\0'; /* nothing was committed: the content is as it was */
            return -EINVAL;
        }
        v = v << 6 | (uint32_t)b;
        if (i % 4 != 0)
            d[k++] = (char)(v >> (6 - 2 * (i % 4)) & 0xff);
    }
    buf_commit(out, need);
    return 0;
}

void hex_encode(const void *p, size_t n, char *dst)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = digits[s[i] >> 4];
        dst[2 * i + 1] = digits[s[i] & 15];
    }
    dst[2 * n] = '\0';
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

int hex_decode(struct slice in, void *dst, size_t n)
{
    unsigned char *d = dst;
    if (in.n / 2 != n || in.n % 2 != 0)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(in.p[2 * i]), lo = hex_digit(in.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        d[i] = (unsigned char)(hi << 4 | lo);
    }
    return 0;
}

bool bytes_equal_ct(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char diff = 0;
    for (size_t i = 0; i < n; i++)
        diff |= (unsigned char)(x[i] ^ y[i]);
    return diff == 0;
}

bool slice_equal_ct(struct slice given, struct slice secret)
{
    unsigned char diff = given.n != secret.n;
    for (size_t i = 0; i < given.n; i++) {
        char s = secret.n != 0 ? secret.p[i % secret.n] : 0;
        diff |= (unsigned char)(given.p[i] ^ s);
    }
    return diff == 0;
}
