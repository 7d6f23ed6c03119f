/*
 * What silica-priv keeps of root's rights, and why. It cannot be much less: it makes namespaces,
 * mounts and firewall rules. What is dropped is what a mistake here should not be able to do.
 */
#include "priv/helper.h"

#include "base/cleanup.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define BIT(cap) (UINT64_C(1) << (cap))

static uint64_t kept(void)
{
    return BIT(CAP_SYS_ADMIN)       /* namespaces, mounts, id-mapped layers, control groups */
           | BIT(CAP_NET_ADMIN)     /* links, addresses, routes, firewall, their settings */
           | BIT(CAP_SYS_CHROOT)    /* setns() into a mount's root; pivot_root */
           | BIT(CAP_SETUID)        /* id maps of a whole range; becoming its base in the child */
           | BIT(CAP_SETGID)        /* the same for groups */
           | BIT(CAP_SETPCAP)       /* secure bits and bounding set in the child */
           | BIT(CAP_SETFCAP)       /* the kernel asks for it to map id 0 */
           | BIT(CAP_CHOWN)         /* the socket's owner; overlay copy-up */
           | BIT(CAP_DAC_OVERRIDE)  /* files of sandboxes: overlay, and removing them */
           | BIT(CAP_FOWNER)        /* the same: modes and times at copy-up, sticky folders */
           | BIT(CAP_FSETID)        /* the same: setgid bits at copy-up */
           | BIT(CAP_MKNOD)         /* /dev of a sandbox, whiteouts of the overlay */
           | BIT(CAP_KILL)          /* ends sandboxes, whose ids are not ours */
           | BIT(CAP_SYS_PTRACE)    /* opens namespaces of another user namespace in /proc */
           | BIT(CAP_SYS_RESOURCE); /* a floor under oom_score_adj; not kept by overlay mounts */
}

int narrow(struct err *err)
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
        if (now[i].permitted != data[i].permitted)
            return err_set(err, -EPERM, ERR_INTERNAL, "capabilities were not dropped");
    return 0;
}
