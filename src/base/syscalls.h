/* Calls that are newer than the C library of Debian 12 (glibc 2.36). All set errno as libc does. */
#pragma once

#include <linux/openat2.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int sys_openat2(int dir_fd, const char *path, struct open_how *how, size_t size)
{
    return (int)syscall(SYS_openat2, dir_fd, path, how, size);
}
