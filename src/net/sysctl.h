/* Kernel settings below /proc/sys/net of the caller's network namespace. */
#pragma once

#include "base/err.h"

/*
 * Write `value` to /proc/sys/net/<name>; `name` is made by our own code. -ENOENT when the kernel
 * has no such setting (IPv6 switched off, say).
 */
int net_sysctl_set(const char *name, const char *value, struct err *err);
/* First character of a setting, or '\0' when it cannot be read. */
char net_sysctl_first(const char *name);
