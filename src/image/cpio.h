/*
 * Archives for the kernel's initramfs: cpio in format "newc" (Documentation/driver-api/early-userspace/
 * buffer-format.rst of Linux), uncompressed. Writing only, into a buffer that has a maximum.
 *
 * Everything belongs to root and has no time, so that the same content is the same archive.
 */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

enum { CPIO_NAME_MAX = 255 };

struct cpio {
    struct buf *out; /* borrowed; its error is sticky */
    uint32_t inode;  /* the last one given */
};

/* The archive is appended to `out`, which is empty. */
void cpio_begin(struct cpio *c, struct buf *out);

/*
 * One entry each; `name` is relative, without "." and "..", and its folder comes before it. `perm` are
 * the low nine bits. Return 0, -EINVAL for a name that is none, or out's sticky error.
 */
int cpio_dir(struct cpio *c, const char *name, mode_t perm);
int cpio_file(struct cpio *c, const char *name, mode_t perm, struct slice content);
int cpio_char_device(struct cpio *c, const char *name, mode_t perm, unsigned major, unsigned minor);

/* The end of the archive. */
int cpio_end(struct cpio *c);
