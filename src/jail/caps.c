/*
 * Capabilities: what root inside a sandbox may have at most, and how sets are applied.
 *
 * They count in the sandbox's own user namespace only, over objects that belong to it. Its mount,
 * pid, ipc, uts and network namespaces belong to the host's user namespace, so none of these gives
 * any power over them.
 */
#include "jail/jail_internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(cap) (UINT64_C(1) << (cap))

uint64_t jail_bounding_set(void)
{
    return BIT(CAP_CHOWN)              /* apt, tar: owners of unpacked files */
           | BIT(CAP_DAC_OVERRIDE)     /* root reads and writes any file of its own */
           | BIT(CAP_FOWNER)           /* chmod, utime of foreign files: tar, dpkg */
           | BIT(CAP_FSETID)           /* keep setgid bits when dpkg writes */
           | BIT(CAP_KILL)             /* sudo kill */
           | BIT(CAP_SETGID)           /* sudo, su, _apt, envd's own change of user */
           | BIT(CAP_SETUID)           /* the same */
           | BIT(CAP_SETPCAP)          /* programs that narrow themselves */
           | BIT(CAP_NET_BIND_SERVICE) /* asked for by web servers, though every port is free */
           | BIT(CAP_SYS_CHROOT)       /* chroot, as package scripts do */
           | BIT(CAP_AUDIT_WRITE)      /* sudo and PAM give up without it */
           | BIT(CAP_SETFCAP);         /* dpkg scripts that call setcap */
}

int jail_drop_bounding_set(uint64_t kept)
{
    for (unsigned cap = 0; cap < 64; cap++) {
        if ((kept & BIT(cap)) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return errno == EINVAL && cap > CAP_AUDIT_READ ? 0 : -errno; /* past the last one */
    }
    return 0;
}

int jail_set_caps(uint64_t permitted, uint64_t effective)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
        {.effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32)},
    };
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
