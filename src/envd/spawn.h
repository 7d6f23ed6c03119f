/*
 * Starts one program as one user. Everything is computed before the fork; between fork and exec the
 * child uses system calls only, because the daemon has pool threads whose locks it may have copied.
 *
 * A program that cannot be executed is not an error of this function: the child says why on its
 * stderr and ends with 127 (not found) or 126 (not executable), as a shell would.
 */
#pragma once

#include "base/err.h"
#include "envd/users.h"

#include <stddef.h>

struct spawn_opts {
    char *const *argv; /* argv[0] is looked up in the PATH of envp unless it has a slash */
    char *const *envp;
    const char *cwd;
    const struct user *user;
    const struct user_groups *groups;
    int stdio[3]; /* descriptors above 2, close-on-exec, kept by the caller */
    const int *cgroup_fds;
    size_t n_cgroup_fds;
};

/*
 * Returns 0 with the pid and a pidfd (caller closes); the caller must reap the pid. Errors: set-up
 * in the child failed (chdir, ids, cgroups), or there is no room for another process. Blocks until
 * the child is about to exec; loop thread, which is the only one that forks and reaps.
 */
int spawn_child(const struct spawn_opts *o, int *ret_pid, int *ret_pidfd, struct err *err);

/* Call once before the first spawn: remembers the limits that children get back. */
void spawn_init(void);
