/*
 * Work inside another network namespace, from a single-threaded program.
 *
 * A namespace made here belongs to the host's user namespace: root inside a sandbox has no power
 * over its links and rules.
 */
#pragma once

#include "base/err.h"

/* The namespace that the program started in. Call once; the descriptor lives with the process. */
int netns_init(struct err *err);

/* A new namespace, its descriptor (caller closes) in *ret_fd. The caller stays where it is. */
int netns_new(int *ret_fd, struct err *err);

/*
 * Enter `fd`; go back with netns_leave(). Failure to go back aborts the program: nothing it did
 * afterwards would be done where it believes.
 */
int netns_enter(int fd, struct err *err);
void netns_leave(void);
