/* The programs of the host that write new file systems. For src/disk alone. */
#pragma once

#include "base/err.h"

/*
 * Write a file system into the file (open for writing, as large as the file system shall be):
 * ext4 without a journal, with a fixed number of inodes and nothing kept for root; or XFS with reflink.
 * Takes up to a minute, then fails. A missing program is told with the package to install.
 */
int format_ext4(int file_fd, struct err *err);
int format_xfs(int file_fd, struct err *err);
