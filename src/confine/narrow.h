/* Gives up what a program was started with, before it reads a byte that a stranger may have written. */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * In stages, each verified by reading back; see narrow.c. `program` is for the error; `uid` is also the
 * gid. The descriptors keep[n_keep] stay open besides 0, 1, 2 (negative ones are passed over) and are
 * close-on-exec afterwards. Call once, from the only thread, as root or as `uid`.
 */
int narrow(const char *program, uint32_t uid, const int *keep, size_t n_keep, struct err *err);
