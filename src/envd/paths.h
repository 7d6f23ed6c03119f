/* Path rules of the protocol: what a path from outside means, before the kernel resolves it. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum { ENVD_PATH_MAX = 4095 };

/*
 * Resolve `given` ("" when absent) for a user with that home. Absolute paths are used unchanged;
 * "~" and "~/x" and relative ones lie below `home` and are cleaned; "" is `workdir`, or `home` when
 * that is "". Writes a terminated string to ret[ENVD_PATH_MAX + 1].
 * Returns 0, or -EINVAL / -ENAMETOOLONG with err.
 */
int path_resolve(const char *given, const char *home, const char *workdir, char *ret,
                 struct err *err);

/* Append the lexically cleaned form: no "//", ".", "..", trailing slash; "." for nothing. */
int path_clean(struct buf *out, const char *path);

/* The last component as the protocol shows it: "/" for the root, trailing slashes ignored. */
struct slice path_base(const char *path);

/*
 * Open by openat2(2) from the root, following symbolic links but no magic links of /proc: those
 * would reach the daemon's own descriptors. O_CLOEXEC, O_NONBLOCK and O_NOCTTY are added.
 * Returns a descriptor or a negative errno. May block: pool threads only.
 */
int path_open(const char *path, int flags, uint32_t mode);

/*
 * Make the missing parents of `path`, 0755, owned by uid and gid; existing ones are left alone.
 * Safe against others doing the same. -ENOTDIR: "path is a file: <p>" in err. Pool threads only.
 */
int path_make_parents(const char *path, uint32_t uid, uint32_t gid, struct err *err);
/* The same for the whole path. *ret_made: the last component was made by this call. */
int path_make_all(const char *path, uint32_t uid, uint32_t gid, bool *ret_made, struct err *err);
