#include "base/random.h"

#include "base/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *p, size_t n)
{
    char *d = p;
    while (n > 0) {
        ssize_t got = getrandom(d, n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* no generator: nothing that needs a secret may go on */
        }
        d += got;
        n -= (size_t)got;
    }
}

void random_id(char *dst, size_t n)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char chunk[32];
    for (size_t i = 0; i < n;) {
        random_bytes(chunk, sizeof(chunk));
        for (size_t k = 0; k < sizeof(chunk) && i < n; k++)
            if (chunk[k] < 252) /* 7 * 36: the rest would favour the first letters */
                dst[i++] = digits[chunk[k] % 36];
    }
    dst[n] = '\0';
    explicit_bzero(chunk, sizeof(chunk));
}

void random_hex(char *dst, size_t n)
{
    unsigned char chunk[32];
    for (size_t done = 0; done < n;) {
        size_t k = n - done < sizeof(chunk) ? n - done : sizeof(chunk);
        random_bytes(chunk, k);
        hex_encode(chunk, k, dst + 2 * done);
        done += k;
    }
    if (n == 0)
        dst[0] = '\0';
    explicit_bzero(chunk, sizeof(chunk));
}
