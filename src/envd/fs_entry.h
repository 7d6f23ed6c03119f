/* EntryInfo: what clients are told of a file. Blocking calls: pool threads only. */
#pragma once

#include "envd/users.h"
#include "json/writer.h"

/*
 * Write the object for `path`, shown under that path and `name`. Symbolic links are described as
 * the protocol has it: type and mode of the target, size and permissions of the link.
 * Returns 0, or the negative errno of lstat (nothing was written then).
 */
int fs_entry_write(struct json_writer *w, const char *path, struct slice name,
                   const struct user_names *names);
