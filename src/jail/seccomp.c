/*
 * The system call filters of a sandbox, compiled by libseccomp once and loaded as they are by each
 * child (the library allocates, a child may not).
 *
 * Two programs, because an allow-list cannot say "this call, but not with that argument" for a
 * value among many:
 *   deny   answers for arguments: namespaces in clone() and unshare(), terminal ioctls, socket
 *          families, types and protocols, the limit of core dumps; everything else passes.
 *   allow  lists calls: allowed, EPERM for what is known and refused, ENOSYS for the rest, so that
 *          programs fall back as on an older kernel. clone3() gets ENOSYS: its flags lie in memory
 *          where a filter cannot look, and every C library then uses clone().
 * Calls of other ABIs (32 bit, x32) end in ENOSYS.
 *
 * A program that is put away gets both and a third, which refuses what sandboxes need and it does not:
 *   program  calls by name, processes of its own (threads pass), and what changes a tap device.
 */
#include "jail/jail.h"

#include "base/cleanup.h"
#include "jail/seccomp_list.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif
#ifndef IPPROTO_SMC /* Linux 6.10 */
#define IPPROTO_SMC 256
#endif

static void filter_release(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

static int add_names(scmp_filter_ctx ctx, const char *const *names, uint32_t action)
{
    for (; *names != NULL; names++) {
        int nr = seccomp_number(*names);
        if (nr < 0) /* not on this architecture */
            continue;
        int r = seccomp_rule_add(ctx, action, nr, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int deny_namespaces(scmp_filter_ctx ctx)
{
    static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    const uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
    int r = seccomp_rule_add(ctx, eperm, SCMP_SYS(unshare), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWTIME, CLONE_NEWTIME));
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(flags); i++) {
        r = seccomp_rule_add(ctx, eperm, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
        if (r == 0)
            r = seccomp_rule_add(ctx, eperm, SCMP_SYS(unshare), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    }
    return r;
}

/* The kernel looks at 32 bits of the request: so does the filter. */
static int deny_ioctls(scmp_filter_ctx ctx)
{
    static const uint64_t requests[] = {TIOCSTI, TIOCLINUX, TIOCSETD};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(requests); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
    return r;
}

/*
 * Unix, IPv4, IPv6 and netlink only. vsock reaches past network namespaces, the others are seldom
 * used kernel code. Compared as 64 bits: an odd upper half falls into the last rule. Pairs are unix
 * sockets: of other families the kernel loads the module and makes both before it says no.
 */
static int deny_families(scmp_filter_ctx ctx)
{
    const uint32_t refuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    int r = seccomp_rule_add(ctx, refuse, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    for (uint64_t f = 0; r == 0 && f < AF_NETLINK; f++)
        if (f != AF_UNIX && f != AF_INET && f != AF_INET6)
            r = seccomp_rule_add(ctx, refuse, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, f));
    if (r == 0)
        r = seccomp_rule_add(ctx, refuse, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
    return r;
}

/*
 * Types that are a way around the families: SOCK_PACKET of IPv4 is a packet socket by its old name.
 * And pipes for notifications of the kernel (watch queues), which nobody but flaws has a use for.
 */
static int deny_types(scmp_filter_ctx ctx)
{
    const uint64_t type_mask = 0xf; /* SOCK_TYPE_MASK of the kernel */
    int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, type_mask, SOCK_PACKET));
    return r < 0 ? r
                 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(pipe2), 1,
                                    SCMP_A1(SCMP_CMP_MASKED_EQ, O_EXCL, O_EXCL));
}

/* The kernel looks at 32 bits of the protocol, too. */
static int deny_protocol(scmp_filter_ctx ctx, uint64_t family, uint64_t protocol)
{
    return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
                            SCMP_A0(SCMP_CMP_EQ, family),
                            SCMP_A2(SCMP_CMP_MASKED_EQ, 0xffffffffu, protocol));
}

/*
 * Netlink but for routes, sockets, firewall, audit (which sudo asks for) and generic: the events of
 * the host's devices come to every network namespace that belongs to the host's user namespace, as
 * a sandbox's does. And protocols of IP that nobody uses, whose modules would be loaded on demand.
 */
static int deny_protocols(scmp_filter_ctx ctx)
{
    static const uint64_t unused[] = {IPPROTO_DCCP, IPPROTO_L2TP, IPPROTO_SCTP, IPPROTO_UDPLITE,
                                      IPPROTO_SMC};
    const uint64_t netlink = UINT64_C(1) << NETLINK_ROUTE | UINT64_C(1) << NETLINK_SOCK_DIAG |
                             UINT64_C(1) << NETLINK_NETFILTER | UINT64_C(1) << NETLINK_AUDIT |
                             UINT64_C(1) << NETLINK_GENERIC;
    int r = 0;
    for (uint64_t p = 0; r == 0 && p < MAX_LINKS; p++)
        if ((netlink >> p & 1) == 0)
            r = deny_protocol(ctx, AF_NETLINK, p);
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(unused); i++) {
        r = deny_protocol(ctx, AF_INET, unused[i]);
        if (r == 0)
            r = deny_protocol(ctx, AF_INET6, unused[i]);
    }
    return r;
}

/*
 * The limit of core dumps stays at 1, the only value with which the host's core_pattern program, run
 * as the host's root outside, is not started by a crash inside (core(5)); 0 would start it. Changes
 * seem to succeed: programs that switch dumps off, as sudo does, have what they want already.
 */
static int keep_core_limit(scmp_filter_ctx ctx)
{
    const uint32_t nothing = SCMP_ACT_ERRNO(0);
    const uint64_t bits = 0xffffffffu; /* what the kernel looks at */
    int r = seccomp_rule_add(ctx, nothing, SCMP_SYS(setrlimit), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, bits, RLIMIT_CORE));
    return r < 0 ? r
                 : seccomp_rule_add(ctx, nothing, SCMP_SYS(prlimit64), 2,
                                    SCMP_A1(SCMP_CMP_MASKED_EQ, bits, RLIMIT_CORE),
                                    SCMP_A2(SCMP_CMP_NE, 0));
}

/* What Linux itself, 32-bit emulation and debuggers ask for; no others. */
static int allow_personalities(scmp_filter_ctx ctx)
{
    static const uint64_t values[] = {
        PER_LINUX, PER_LINUX32, UNAME26, UNAME26 | PER_LINUX32, ADDR_NO_RANDOMIZE, 0xffffffffu};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(values); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_EQ, values[i]));
    return r;
}

/* The compiled program of a filter, in memory that jail_filters_done() frees. */
static int compile(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(ctx, fd);
    off_t size = r == 0 ? lseek(fd, 0, SEEK_END) : 0;
    if (r < 0 || size <= 0 || size / (off_t)sizeof(struct sock_filter) > BPF_MAXINSNS)
        return r < 0 ? r : -E2BIG;
    _cleanup_free_ void *code = malloc((size_t)size);
    if (code == NULL)
        return -ENOMEM;
    if (pread(fd, code, (size_t)size, 0) != size)
        return -EIO;
    ret->len = (unsigned short)((size_t)size / sizeof(struct sock_filter));
    ret->filter = take_ptr(&code);
    return 0;
}

static int new_filter(uint32_t action, scmp_filter_ctx *ret)
{
    scmp_filter_ctx ctx = seccomp_init(action);
    if (ctx == NULL)
        return -ENOMEM;
    *ret = ctx;
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE,
                             2); /* binary tree: fewer steps a call */
    return r;
}

static int make_deny(struct sock_fprog *ret)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = NULL;
    int r = new_filter(SCMP_ACT_ALLOW, &ctx);
    if (r == 0)
        r = deny_namespaces(ctx);
    if (r == 0)
        r = deny_ioctls(ctx);
    if (r == 0)
        r = deny_families(ctx);
    if (r == 0)
        r = deny_types(ctx);
    if (r == 0)
        r = deny_protocols(ctx);
    if (r == 0)
        r = keep_core_limit(ctx);
    return r == 0 ? compile(ctx, ret) : r;
}

static int make_allow(struct sock_fprog *ret)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = NULL;
    int r = new_filter(SCMP_ACT_ERRNO(ENOSYS), &ctx);
    if (r == 0)
        r = add_names(ctx, seccomp_allowed, SCMP_ACT_ALLOW);
    if (r == 0)
        r = add_names(ctx, seccomp_refused, SCMP_ACT_ERRNO(EPERM));
    if (r == 0)
        r = allow_personalities(ctx);
    return r == 0 ? compile(ctx, ret) : r;
}

/* Threads alone: all other forms of clone() lack the flag. */
static int deny_processes(scmp_filter_ctx ctx)
{
    return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
}

/* Who made the device has set it up: what is left to the program is reading, writing, and offloads. */
static int deny_device_changes(scmp_filter_ctx ctx)
{
    static const uint64_t requests[] = {
        TUNSETIFF,      TUNSETPERSIST,      TUNSETOWNER,      TUNSETGROUP,   TUNSETLINK,
        TUNSETDEBUG,    TUNATTACHFILTER,    TUNDETACHFILTER,  TUNSETQUEUE,   TUNSETIFINDEX,
        TUNSETTXFILTER, TUNSETSTEERINGEBPF, TUNSETFILTEREBPF, TUNSETCARRIER, TUNGETDEVNETNS,
        SIOCSIFHWADDR,  SIOCGSKNS,          TUNSETSNDBUF};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(requests); i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
    return r;
}

static int make_program(struct sock_fprog *ret)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = NULL;
    int r = new_filter(SCMP_ACT_ALLOW, &ctx);
    if (r == 0)
        r = add_names(ctx, seccomp_program_refused, SCMP_ACT_ERRNO(EPERM));
    if (r == 0)
        r = deny_processes(ctx);
    if (r == 0)
        r = deny_device_changes(ctx);
    return r == 0 ? compile(ctx, ret) : r;
}

int jail_filters_make(struct jail_filters *ret, struct err *err)
{
    struct jail_filters f = {0};
    int r = make_deny(&f.deny);
    if (r == 0)
        r = make_allow(&f.allow);
    if (r == 0)
        r = make_program(&f.program);
    if (r < 0) {
        jail_filters_done(&f);
        return err_sys(err, r, "compile the system call filters");
    }
    *ret = f;
    return 0;
}

void jail_filters_done(struct jail_filters *f)
{
    free(f->deny.filter);
    free(f->allow.filter);
    free(f->program.filter);
    *f = (struct jail_filters){0};
}
