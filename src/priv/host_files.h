#pragma once

#include "base/err.h"

#include <stdint.h>

/*
 * What a file that is open costs the memory of who opened it is more than this. So a host that may
 * have one open file for each of these bytes runs out of memory, which sandboxes have a limit of,
 * before it runs out of files, which they have none of together.
 */
enum { BYTES_OF_OPEN_FILE = 128 };

/*
 * Raise fs.file-max to that number when it is lower. Hosts with systemd have no limit there. Returns 0
 * and sets *ret_was to what it was (0: it was enough), or a negative errno.
 */
int host_files_raise(uint64_t *ret_was, uint64_t *ret_is, struct err *err);
