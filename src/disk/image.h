/* One image: making it, mounting it; and the empty one of each size. For src/disk alone. */
#pragma once

#include "base/err.h"

#include <stdint.h>

enum { IMAGE_NAME_BYTES = 40 };

/* A detached mount of the image behind a loop device. Caller closes *ret_fd. */
int image_mount(int file_fd, int *ret_fd, struct err *err);

/*
 * Wait up to wait_ms until no loop device has the file open any more. The kernel gives a lease for
 * writing to who alone has a file open for writing: file_fd is, and nobody else of ours.
 */
void image_await_release(int file_fd, unsigned wait_ms);

/*
 * The empty image of that size, made if it is missing: *ret_fd is open for reading, to be shared.
 * Of the sizes in use EMPTY_IMAGES_MAX are kept; the one that was made first goes.
 */
int empty_image(int dir_fd, uint32_t mib, int *ret_fd, struct err *err);

/* New files are made under names with this start, and renamed when they are whole. */
#define IMAGE_NEW_PREFIX ".new-"
