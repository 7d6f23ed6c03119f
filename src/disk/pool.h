/* The pool: a file system that can reflink inside of a sparse file. For src/disk alone. */
#pragma once

#include "base/err.h"

/*
 * Mount DATA/pool.img, making it if it is missing and growing it if the host has more room by now.
 * *ret_fd is the folder of images in it (caller closes). Nobody else may be doing so.
 */
int pool_open(int data_fd, int *ret_fd, struct err *err);
