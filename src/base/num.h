/* Numbers from outside: digits only, no sign, no spaces; overflow and trailing bytes are errors. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

/* Decimal. Returns 0, -EINVAL (not a number), -ERANGE (above max). *ret untouched on failure. */
int parse_u64(struct slice s, uint64_t max, uint64_t *ret);
int parse_u32(struct slice s, uint32_t max, uint32_t *ret);
/* With an optional leading '-'; min <= value <= max. */
int parse_i64(struct slice s, int64_t min, int64_t max, int64_t *ret);
/* Hexadecimal digits, both cases, no prefix. */
int parse_hex_u64(struct slice s, uint64_t max, uint64_t *ret);

static inline void store_be32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

static inline uint32_t load_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
