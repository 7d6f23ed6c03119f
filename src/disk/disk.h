/*
 * The disks of sandboxes: one image file each, of a fixed size, with a small file system in it.
 *
 * A disk is a file that shares the blocks of an empty, formatted image (reflink), behind a loop
 * device, mounted. Its size is a hard limit on bytes, and the number of inodes that it was formatted
 * with is one on files: no quota is needed, removing it is removing one file, and a copy of its
 * moment is a reflink of it.
 *
 *   images   <id>.img is a sandbox's disk, empty-<MiB>.img the empty one of a size (empty.c). They lie in
 *            DATA/disks where DATA's file system can reflink, else in the file system inside of the
 *            sparse file DATA/pool.img (pool.c).
 *   life     The mount is detached and handed to who builds the sandbox's root; the loop device ends
 *            with its last user. So the kernel takes both down with the sandbox's last process,
 *            whoever else has died: what can be left is a file, and a file is found by its name.
 *   trust    The kernel of the host mounts what mke2fs or itself has written, never a block that a
 *            guest could write. A guest reaches its disk through the overlay above it.
 *
 * Sparse: disks may promise more than there is. Whoever makes one asks disks_room() first. What does
 * not fit below a disk in the end is an I/O error inside, after the write.
 *
 * For single-threaded programs with full rights (silica-priv). Nothing here logs.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { DISK_MIN_MIB = 16, DISK_MAX_MIB = 1 << 24, DISK_BYTES_PER_INODE = 16384 };
enum { DISK_RELEASE_MS = 10000 }; /* for disk_remove(), after the last process */

struct disks {
    int dir_fd;  /* the images */
    int data_fd; /* the data folder */
    bool pooled; /* the images are inside of DATA/pool.img */
};

/*
 * Open the place of all disks below the data folder, making it if it is missing (mkfs.xfs runs once
 * where DATA cannot reflink: about a second). Removes half-made files. One caller at a time for a
 * data folder; a second one is refused after ten seconds.
 */
int disks_open(const char *data_dir, struct disks *ret, struct err *err);
/* Descriptors only: disks in use stay as they are. */
void disks_close(struct disks *d);

/*
 * 0, or -ENOSPC with kind ERR_UNAVAILABLE when the file system of the images, or the one below the
 * pool, has less free than is kept (room.h).
 */
int disks_room(const struct disks *d, struct err *err);

/*
 * Make a disk for `id` (checked by the caller: a sandbox id) and mount it: *ret_fd is a detached mount
 * with the folders "upper" (0755) and "work" (0700), which the caller closes. `bytes` is rounded down to MiB.
 * On failure no file is left. The first disk of a size runs mke2fs: some milliseconds.
 */
int disk_create(struct disks *d, const char *id, uint64_t bytes, int *ret_fd, struct err *err);

/*
 * The same without mounting it, for who mounts it himself (a virtual machine): *ret_fd is the image,
 * open for reading and writing, which the caller closes.
 */
int disk_create_image(struct disks *d, const char *id, uint64_t bytes, int *ret_fd,
                      struct err *err);
/*
 * A disk for `id` that shares the blocks of the one that was kept under the name of `kept`. -ENOENT when
 * that one is not there. A guest may have written into it: it is for machines alone, never mounted here.
 */
int disk_copy_image(struct disks *d, const char *id, const char *kept, int *ret_fd,
                    struct err *err);
/* The disk of `id` is a sandbox's no longer, but kept under that name: for snapshots. Synced. */
int disk_keep(int dir_fd, const char *id, struct err *err);
int disk_kept_remove(int dir_fd, const char *kept);
/* Call `each` with the name of every disk that is kept. */
int disks_each_kept(const struct disks *d, void (*each)(void *user, const char *kept), void *user);

/*
 * Remove the disk of `id`, waiting up to wait_ms until its loop device has let go of it, so that its
 * blocks are free when this returns; after that it is removed all the same. Missing is success.
 * dir_fd is disks.dir_fd or a copy of it. Returns 0 or a negative errno.
 */
int disk_remove(int dir_fd, const char *id, unsigned wait_ms);

/* Call `each` with the id of every disk that is there. Files that are no disk are skipped. */
int disks_each(const struct disks *d, void (*each)(void *user, const char *id), void *user);
