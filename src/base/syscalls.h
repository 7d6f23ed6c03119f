/* Calls that are newer than the C library of Debian 12 (glibc 2.36). All set errno as libc does. */
#pragma once

#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int sys_openat2(int dir_fd, const char *path, struct open_how *how, size_t size)
{
    return (int)syscall(SYS_openat2, dir_fd, path, how, size);
}

/*
 * Gives a signal its default action, also the two that the C library keeps for itself (32, 33) and
 * that a parent may have left ignored. For the time between fork and exec; async-signal-safe.
 */
enum { SIGNALS = 64 };
static inline int sys_signal_default(int number)
{
    /* the kernel's struct of x86-64 and arm64: handler 0 (default), flags, restorer, mask */
    static const uint64_t action[4];
    return (int)syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
}
