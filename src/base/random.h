/* Random bytes and identifiers from the kernel. */
#pragma once

#include <stddef.h>

/* Fill p[n]. The kernel's generator is seeded on every system we run on, so this cannot fail. */
void random_bytes(void *p, size_t n);

/* n characters of [a-z0-9], unbiased, and a terminator; dst needs n + 1 bytes. */
void random_id(char *dst, size_t n);

/* 2 * n lower-case hex digits of n random bytes, and a terminator; dst needs 2 * n + 1 bytes. */
void random_hex(char *dst, size_t n);
