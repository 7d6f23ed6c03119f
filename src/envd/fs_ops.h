/*
 * The file operations themselves, as root of the sandbox on behalf of a user. Blocking: pool
 * threads only. Each writes the JSON of its reply, or sets err with a Connect code.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "envd/users.h"

#include <stdint.h>

enum { FS_LIST_NAMES_MAX = 262144 }; /* names of one folder; more are refused */

struct fs_args {
    const char *path, *destination; /* resolved; destination for Move only */
    uint32_t depth;                 /* ListDir; 0 means 1 */
    const struct user *user;
};

int fs_stat(const struct fs_args *a, struct buf *out, struct err *err);
int fs_make_dir(const struct fs_args *a, struct buf *out, struct err *err);
int fs_move(const struct fs_args *a, struct buf *out, struct err *err);
int fs_remove(const struct fs_args *a, struct buf *out, struct err *err);
int fs_list_dir(const struct fs_args *a, struct buf *out, struct err *err); /* fs_list.c */
