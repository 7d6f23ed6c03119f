/* File modes in the protocol's notation (Go's FileMode). */
#pragma once

#include <sys/types.h>

enum { FS_MODE_TEXT_BYTES = 24 };

/* "-rw-r--r--", "drwxr-xr-x", "Lrwxrwxrwx", "Dcrw-rw-rw-", "dtrwxrwxrwx", "urwxr-xr-x". */
void fs_mode_text(mode_t mode, char dst[static FS_MODE_TEXT_BYTES]);
