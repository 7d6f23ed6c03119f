/* Loop devices: a file as a block device. For src/disk alone. */
#pragma once

#include "base/err.h"

enum { LOOP_NAME_BYTES = 24 };

/*
 * Attach file_fd to a free loop device with blocks of 4 KiB, direct I/O where the file system of the
 * file allows it, and autoclear: it is free again when its last user has closed it. The caller
 * closes *ret_fd once the device is mounted. name becomes "/dev/loopN".
 */
int loop_attach(int file_fd, int *ret_fd, char name[static LOOP_NAME_BYTES], struct err *err);

/*
 * The loop device that holds the same file open. While *ret_fd (caller closes) is open it stays.
 * Returns 0, -ENOENT, or another negative errno.
 */
int loop_find(int file_fd, int *ret_fd, char name[static LOOP_NAME_BYTES]);

/* The file has grown: the device takes its size. Returns 0 or a negative errno. */
int loop_resize(int loop_fd);
