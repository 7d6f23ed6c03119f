/* Gives up what silicad was started with, before it reads a byte that a stranger may have written. */
#pragma once

#include "base/err.h"

#include <stdint.h>

/*
 * In stages, each verified by reading back; see narrow.c. `uid` is also the gid. `keep_fd` and
 * `also_fd` (or -1) stay open besides 0, 1, 2; both are close-on-exec afterwards. Call once, from
 * the only thread, as root or as `uid`.
 */
int narrow(uint32_t uid, int keep_fd, int also_fd, struct err *err);
