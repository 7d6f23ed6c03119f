/* Files and descriptors: whole reads with a maximum, atomic replacement, safe opening. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * Open `path` below `root_fd` by openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: symbolic
 * links and ".." are resolved by the kernel and cannot leave the root. O_CLOEXEC is added.
 * Returns a descriptor (caller closes) or a negative errno.
 */
int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Append the whole content to out (out's maximum bounds it). Returns 0 or a negative errno. */
int fs_read_fd(int fd, struct buf *out);
int fs_read_file(int dir_fd, const char *path, struct buf *out, struct err *err);

/* Write all of p[n], through short writes and EINTR. Returns 0 or a negative errno. */
int fs_write_all(int fd, const void *p, size_t n);

/*
 * Replace `name` in dir_fd so that after a crash either the old or the new content is there:
 * temporary name, fsync, rename, fsync of the folder. `name` has no slash. mode as for open(2).
 */
int fs_replace_file(int dir_fd, const char *name, struct slice content, mode_t mode,
                    struct err *err);

/*
 * A new file in place of whatever has that name, links included: nothing that stood there is written
 * to or followed. Not atomic. `name` has no slash; the umask does not count. Returns 0 or a negative
 * errno.
 */
int fs_put_file(int dir_fd, const char *name, struct slice content, mode_t mode);

/* mkdir -p of an absolute or relative path; existing folders keep their mode. */
int fs_mkdir_all(const char *path, mode_t mode, struct err *err);

/*
 * Remove a tree of any depth without following links or crossing mounts: one inside it ends with
 * -EXDEV or -EBUSY, `name` itself being one with -EBUSY. Missing is success. Nobody else may work
 * in the tree meanwhile.
 */
int fs_remove_tree(int dir_fd, const char *name, struct err *err);

/* dst = dir "/" name. Returns 0 or -ENAMETOOLONG. */
int fs_join(char *dst, size_t cap, const char *dir, const char *name);
