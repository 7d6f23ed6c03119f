/*
 * The system calls that silica-priv can make: its own list, and what its children need.
 *
 * Children inherit a filter for good, and one of them becomes a sandbox's process 1. So this one
 * must let pass whatever a sandbox may do (jail/seccomp_list.c), and a sandbox's own two filters
 * stand on top of it: where several refuse by errno, the kernel gives the answer of the one that was
 * loaded last. For the same reason nothing here ends the process: a sandbox that tries what is
 * refused is told EPERM or ENOSYS, as its policy says.
 *
 * What it takes from a helper that was taken over is the rest of the kernel: modules, kexec, bpf,
 * perf, keys, io_uring, userfaultfd, clocks, swap, ports, handles of files, other ABIs, and sockets
 * of unusual families. It is no boundary by itself, as the right to mount is among what is left.
 * A refusal shows in the kernel's log (audit, type SECCOMP), where one of this program is a mistake
 * of the list, or an attack; those of sandboxes do not, because their own filter answers.
 */
#include "priv/narrow.h"

#include "base/cleanup.h"
#include "jail/seccomp_list.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* What no sandbox may call. */
static const char *const own_calls[] = {
    "clone3",        /* a jail, with its pidfd */
    "setns",         /* network namespaces, and the user namespace that a child joins for good */
    "sethostname",   /* in the child */
    "open_tree",     /* layers, cloned */
    "mount_setattr", /* id-mapped, read-only */
    "move_mount",    /* their places below the stage */
    "fspick",        /* control groups: moves favoured, see src/jail/cgroup_mounts.c */
    "fsopen",        /* the overlay, /dev, /proc, /sys, writable layers */
    "fsconfig",      "fsmount", "mount", /* the child's tree made private */
    "pivot_root",    "umount2",          /* the old root in the child */
    "personality", /* a sandbox may have some values, its own filter looks at them */
};

/* The same as a sandbox's; the helper itself uses unix, netlink and IPv4. */
static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

static void filter_release(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

static bool is_own(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(own_calls); i++)
        if (strcmp(own_calls[i], name) == 0)
            return true;
    return false;
}

static int add(scmp_filter_ctx ctx, const char *name, uint32_t action)
{
    int nr = seccomp_number(name);
    return nr < 0 ? 0 /* not on this architecture */
                  : seccomp_rule_add(ctx, action, nr, 0);
}

static int add_calls(scmp_filter_ctx ctx)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(own_calls); i++)
        r = add(ctx, own_calls[i], SCMP_ACT_ALLOW);
    for (const char *const *name = seccomp_allowed; r == 0 && *name != NULL; name++)
        if (strcmp(*name, "socket") != 0)
            r = add(ctx, *name, SCMP_ACT_ALLOW);
    for (const char *const *name = seccomp_refused; r == 0 && *name != NULL; name++)
        if (!is_own(*name))
            r = add(ctx, *name, SCMP_ACT_ERRNO(EPERM));
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    return r;
}

static int set_up(scmp_filter_ctx ctx)
{
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (r == 0) /* sudo works in sandboxes; loading is ours by CAP_SYS_ADMIN */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    if (r == 0) /* best effort: a library or a kernel that cannot log filters all the same */
        (void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
    return r;
}

int filter_load(struct err *err)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = ctx != NULL ? set_up(ctx) : -ENOMEM;
    if (r == 0)
        r = add_calls(ctx);
    if (r == 0)
        r = seccomp_load(ctx);
    if (r < 0)
        return err_sys(err, r, "load the system call filter");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        return err_set(err, -EPERM, ERR_INTERNAL, "the system call filter did not stay");
    return 0;
}
