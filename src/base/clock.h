/* Time: monotonic nanoseconds inside, RFC 3339 towards people and the wire. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

uint64_t clock_monotonic_ns(void);
/* Wall clock, nanoseconds since 1970. For people and the wire only. */
int64_t clock_wall_ns(void);

/* "2026-08-22T10:11:12.123456789Z" is 30 characters; fractions of zero are left out. */
enum { RFC3339_BYTES = 40 };
/* Fraction with 0, 3, 6 or 9 digits, as protobuf JSON writes it. */
void rfc3339_format(int64_t wall_ns, char dst[static RFC3339_BYTES]);
/*
 * Any offset, any number of fraction digits (those past the ninth are cut), and a second 60, which
 * is the first of the next minute. Returns 0, or -EINVAL, also for what lies outside of the years
 * 1678 to 2261 in UTC.
 */
int rfc3339_parse(struct slice s, int64_t *ret_wall_ns);
