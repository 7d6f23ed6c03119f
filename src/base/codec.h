/* Bytes as text: base64 and hex. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

/* Standard alphabet with padding, appended to out. Returns 0 or out's sticky error. */
int base64_put(struct buf *out, struct slice in);

/*
 * Accepts the standard and the URL-safe alphabet, padded or not (what protobuf JSON accepts).
 * Returns 0, -EINVAL for anything else, or out's sticky error. On failure out's content is cut
 * back to what it was.
 */
int base64_get(struct buf *out, struct slice in);

/* Value of a hexadecimal digit of either case, -1 for any other byte. */
int hex_digit(char c);

/* Lower case; dst needs 2 * n + 1 bytes and is terminated. */
void hex_encode(const void *p, size_t n, char *dst);

/* Exactly n bytes from 2 * n digits of either case. Returns 0 or -EINVAL. */
int hex_decode(struct slice in, void *dst, size_t n);

/* Compares in a time that depends on n only. */
bool bytes_equal_ct(const void *a, const void *b, size_t n);
/* The same for strings of any length; the time depends on the length of `given` only. */
bool slice_equal_ct(struct slice given, struct slice secret);
