/* Takes from silicad the parts of the kernel and of the file system that it has no use for. */
#pragma once

#include "base/err.h"

/* What stays reachable. Borrowed for the call. */
struct confine_opts {
    const char *state_dir;     /* read and write: the database */
    const char *templates_dir; /* read */
};

/*
 * Landlock first, then seccomp; see confine.c. Call once, after narrow() and before there is a
 * second thread. A kernel without Landlock goes on without it: *ret_landlock is the version of its
 * interface that was used, 0 for none.
 */
int confine(const struct confine_opts *opts, int *ret_landlock, struct err *err);
