/* Preparing machines; shared by its files only. */
#pragma once

#include "base/buf.h"
#include "image/machine.h"

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

enum { MACHINE_FILE_MAX_BYTES = 256 << 20, MACHINE_KERNEL_NAME_MAX = 200 };

struct machine_work {
    const struct machine_prepare_opts *opts; /* borrowed */
    char path[PATH_MAX];                     /* <data>/machine, absolute */
    int dir_fd;                              /* the same; owned, holds the lock */
    int kernel_fd;                           /* the kernel's folder; owned */
};

__attribute__((format(printf, 2, 3))) void machine_tell(const struct machine_work *w,
                                                        const char *fmt, ...);

/* ---- machine_kernel.c: opens w->kernel_fd, after a download if need be. */
int machine_find_kernel(struct machine_work *w, struct err *err);

/* "linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)" of a "Depends:" line as "<package>_<version>". */
struct machine_package {
    char name[MACHINE_KERNEL_NAME_MAX + 1], version[MACHINE_KERNEL_NAME_MAX + 1];
};
/* Returns 0, or -EINVAL when the line is another one, or names no kernel of that kind. */
int machine_parse_depends(struct slice line, struct machine_package *ret);

/* Modules that the machine's first process loads, in that order: paths below kernel/. */
extern const char *const machine_modules[];

/* ---- machine_initrd.c: writes the initramfs as `name`. */
int machine_write_initrd(const struct machine_work *w, int dir_fd, const char *name,
                         struct err *err);

/* ---- machine_vmm.c: fills an empty folder. */
int machine_fill_vmm(const struct machine_work *w, int dir_fd, struct err *err);

/* ---- machine_files.c */

/* An absolute path without "..", "." and empty parts, of printable characters but spaces. */
bool machine_is_plain_path(struct slice path);

/*
 * A line of the dynamic loader's --list. Returns 1 with the path of a file; 0 for a line that names
 * none (the kernel's own vdso); -ENOENT for a library that is missing; -EINVAL for anything else.
 */
int machine_parse_library(struct slice line, char path[static PATH_MAX]);

/* Copy a regular file (links are followed) to `path` below dir_fd, making folders; it is synced. */
int machine_copy(const char *source, int dir_fd, const char *path, mode_t mode, struct err *err);
/* mkdir -p below dir_fd, of folders with mode 0755. */
int machine_make_dirs(int dir_fd, const char *path, struct err *err);
/* A new file with mode 0644, synced. */
int machine_write(int dir_fd, const char *name, struct slice content, struct err *err);

/* ---- machine_id.c: the hash of a tree: path, size and content of all, in the order of a walk. */
int machine_tree_id(const char *path, char ret[static MACHINE_ID_LEN + 1], struct err *err);
