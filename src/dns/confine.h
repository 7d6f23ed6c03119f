/* What silica-dns keeps of the kernel and of the file system when it is narrowed. */
#pragma once

#include "base/err.h"

/* After narrow(). *ret_landlock as confine()'s. */
int confine_dns(int *ret_landlock, struct err *err);
