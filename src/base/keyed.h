/*
 * Numbers from the kernel's flat keyed files: one "key number" a line, as in memory.events,
 * pids.events, memory.oom_control and cpu.stat. Strict: a key is the whole word before one blank, its
 * number the whole rest of the line.
 */
#pragma once

#include "base/slice.h"

#include <stdint.h>

enum { KEYED_FILE_MAX_BYTES = 4096 };

/*
 * The number of the first line of that key. Returns 0, -ENOENT (no such key), -EBADMSG (its line has
 * another form). *ret is untouched on failure.
 */
int keyed_u64(struct slice text, const char *key, uint64_t *ret);

/*
 * The same from the beginning of an open file, which may be read again and again; a file of
 * KEYED_FILE_MAX_BYTES or more is -EBADMSG. Also the negative errno of reading.
 */
int keyed_read_u64(int fd, const char *key, uint64_t *ret);
