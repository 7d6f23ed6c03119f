/*
 * What silica-priv keeps of root's rights, and why. It cannot be much less: it makes namespaces,
 * mounts and firewall rules. What is dropped is what a mistake here should not be able to do.
 *
 *   1 descriptors   only 0, 1 and 2 are open: what its starter held goes into no sandbox
 *   2 memory        no core dump, because it holds control secrets; from Linux 6.6 on, no page that
 *                   was writable becomes executable (of this process alone, sandboxes have JITs)
 *   3 bounding set  as below, so that a program it executes (mkfs) gets no more than it has. A
 *                   sandbox's set begins anew with its user namespace, see jail/caps.c
 *   4 capabilities  as below, read back
 *   5 system calls  filter.c
 *
 * Landlock has no place here: who is in a domain of its may mount nothing, and sandboxes would
 * inherit it. Neither has no_new_privs, without which sudo works in sandboxes.
 */
#include "priv/narrow.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef PR_SET_MDWE /* Linux 6.3, and 6.6 for what is not inherited */
#define PR_SET_MDWE 65
#endif
enum { MDWE_REFUSE_EXEC_GAIN = 1, MDWE_NO_INHERIT = 2 };

#define BIT(cap) (UINT64_C(1) << (cap))
enum { LAST_CAP_GUESS = 63 };

static uint64_t kept(void)
{
    return BIT(CAP_SYS_ADMIN)       /* namespaces, mounts, id-mapped layers, control groups */
           | BIT(CAP_NET_ADMIN)     /* links, addresses, routes, firewall, their settings */
           | BIT(CAP_SETUID)        /* id maps of a whole range; becoming its base in the child */
           | BIT(CAP_SETGID)        /* the same for groups */
           | BIT(CAP_SETPCAP)       /* secure bits and bounding set in the child */
           | BIT(CAP_SETFCAP)       /* overlay: what setcap does inside goes to the layer */
           | BIT(CAP_CHOWN)         /* the socket's owner; overlay copy-up */
           | BIT(CAP_DAC_OVERRIDE)  /* files of sandboxes: overlay, and removing them */
           | BIT(CAP_FOWNER)        /* the same: modes and times at copy-up, sticky folders */
           | BIT(CAP_FSETID)        /* the same: setgid bits at copy-up */
           | BIT(CAP_MKNOD)         /* /dev of a sandbox, whiteouts of the overlay */
           | BIT(CAP_KILL)          /* ends sandboxes, whose ids are not ours */
           | BIT(CAP_SYS_PTRACE)    /* opens namespaces of another user namespace in /proc */
           | BIT(CAP_SYS_RESOURCE); /* a floor under oom_score_adj; not kept by overlay mounts */
}

static int stage_descriptors(struct err *err)
{
    return close_range(STDERR_FILENO + 1, ~0u, 0) < 0
               ? err_sys(err, -errno, "close inherited descriptors")
               : 0;
}

static int stage_memory(struct err *err)
{
    const struct rlimit none = {1, 1}; /* with 0 core_pattern's program would run: core(5) */
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return err_sys(err, -errno, "forbid core dumps");
    /* older kernels do not know it: then the pages are guarded by their protection alone */
    (void)prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN | MDWE_NO_INHERIT, 0, 0, 0);
    return 0;
}

static int stage_bounding_set(struct err *err)
{
    for (unsigned cap = 0; cap <= LAST_CAP_GUESS; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            break; /* past the last capability of this kernel */
        if ((kept() & BIT(cap)) != 0 || has == 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_sys(err, -EPERM, "drop capability %u from the bounding set", cap);
    }
    return 0;
}

static int stage_capabilities(struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2], now[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return err_sys(err, -errno, "read capabilities");
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        data[i].permitted &= (uint32_t)(kept() >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, data) < 0 || syscall(SYS_capget, &head, now) < 0)
        return err_sys(err, -errno, "drop capabilities");
    for (unsigned i = 0; i < ARRAY_LEN(now); i++)
        if (now[i].permitted != data[i].permitted || now[i].inheritable != 0)
            return err_set(err, -EPERM, ERR_INTERNAL, "capabilities were not dropped");
    return 0;
}

int narrow(struct err *err)
{
    int (*const stages[])(struct err *) = {stage_descriptors, stage_memory, stage_bounding_set,
                                           stage_capabilities, filter_load};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(stages); i++)
        r = stages[i](err);
    return r < 0 ? err_wrap(err, "narrow silica-priv") : 0;
}
