/*
 * Takes from a program the parts of the kernel and of the file system that it has no use for. After
 * narrow(), which takes its ids and capabilities.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum confine_access {
    CONFINE_READ_FILE,  /* one file */
    CONFINE_READ_TREE,  /* everything below a folder */
    CONFINE_WRITE_TREE, /* the same, and plain files in it made, written and removed */
    CONFINE_ACCESS_MAX_
};

struct confine_path {
    const char *path;
    enum confine_access access;
    bool optional; /* passed over when it is not there */
};

/* What stays reachable: all the rest is refused. Borrowed for the call. */
struct confine_opts {
    const char *program; /* its name, for the error */
    const struct confine_path *paths;
    size_t n_paths;
    const char *const
        *calls; /* names; those that this kernel or library does not know are passed over */
    size_t n_calls;
    bool threads;      /* it may start threads (not processes) */
    bool inet_sockets; /* socket(2) for IPv4 and IPv6; it is not among `calls` */
    bool unix_sockets; /* the same for unix sockets; no other families can be had */
};

/*
 * Landlock first, then seccomp; see confine.c. Call once, with no_new_privs set and before there is a
 * second thread. A kernel without Landlock goes on without it: *ret_landlock is the version of its
 * interface that was used, 0 for none.
 */
int confine(const struct confine_opts *opts, int *ret_landlock, struct err *err);
