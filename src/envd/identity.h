/*
 * The names of the sandbox in its own file system. `root_fd` is its root folder; on the loop's thread,
 * because it is a handful of small files.
 */
#pragma once

#include "base/err.h"

enum { MACHINE_ID_DIGITS = 32 };

/* Files in /run/e2b that say to programs that and where they run. Best effort. */
void identity_write_marks(int root_fd, const char *sandbox_id, const char *template_id);

/* /etc/hostname and /etc/hosts, as in a sandbox that was started under that name. */
int identity_write_etc(int root_fd, const char *sandbox_id, struct err *err);

/*
 * A new random /etc/machine-id, if there is one that is empty, as templates ship it, or that is
 * `known`: what this function wrote before, which is updated ("" at first). Else nothing happens.
 */
int identity_write_machine_id(int root_fd, char known[static MACHINE_ID_DIGITS + 1],
                              struct err *err);
