/* Folders that root works in must be root's. A library of its own, so that tests can reach it. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Open the folder `path` (absolute) and look at everything on the way to it: see folders.c for what
 * is refused, with -EPERM or -ENOTDIR and a message that says what to do. With `make` what is
 * missing is made: `mode` for the last folder, 0755 for those above it. Caller closes *ret_fd.
 */
int folder_open(const char *path, bool make, mode_t mode, int *ret_fd, struct err *err);

/* The same for the folder that holds the file `path`; nothing is made or left open. */
int folder_check_of(const char *path, struct err *err);
