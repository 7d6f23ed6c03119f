/*
 * Two walls, each tried and not guessed from a version:
 *
 *   files, network   Landlock: what is not listed can be neither opened, made, renamed nor removed.
 *                    Version 4: no new listening TCP port; version 6: no signal to and no abstract
 *                    socket of a process outside
 *   kernel           seccomp: the listed calls. EPERM for the rest, so that a library that tries
 *                    something new sees a refusal and not a death
 *
 * Descriptors that are open already stay usable. The lists belong to the programs, each with its
 * reasons; here is only how they are enforced.
 */
#include "confine/confine.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Newer than the headers of Debian 12: versions 3 to 6 of the interface. */
enum { LANDLOCK_V3 = 3, LANDLOCK_V4 = 4, LANDLOCK_V5 = 5, LANDLOCK_V6 = 6 };
#define FS_REFER     (UINT64_C(1) << 13) /* version 2 */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define NET_BIND_TCP (UINT64_C(1) << 0)  /* version 4 */
#define SCOPES       UINT64_C(3)         /* version 6: abstract sockets, signals */

struct ruleset_attr {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static const uint64_t read_file = LANDLOCK_ACCESS_FS_READ_FILE;
static const uint64_t read_tree = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t write_tree = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                   LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                   LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE;
#define ALL_OF_V1 ((UINT64_C(1) << 13) - 1)

static struct ruleset_attr attr_for(int version)
{
    struct ruleset_attr a = {.handled_access_fs = ALL_OF_V1};
    if (version >= 2)
        a.handled_access_fs |= FS_REFER;
    if (version >= LANDLOCK_V3)
        a.handled_access_fs |= FS_TRUNCATE;
    if (version >= LANDLOCK_V5)
        a.handled_access_fs |= FS_IOCTL_DEV;
    if (version >= LANDLOCK_V4)
        a.handled_access_net = NET_BIND_TCP;
    if (version >= LANDLOCK_V6)
        a.scoped = SCOPES;
    return a;
}

/* The kernel refuses a struct whose unknown tail is not zero, and takes a shorter one. */
static size_t attr_size(int version)
{
    return version >= LANDLOCK_V6   ? sizeof(struct ruleset_attr)
           : version >= LANDLOCK_V4 ? offsetof(struct ruleset_attr, scoped)
                                    : offsetof(struct ruleset_attr, handled_access_net);
}

static uint64_t rights(enum confine_access access)
{
    switch (access) {
    case CONFINE_READ_FILE:
        return read_file;
    case CONFINE_READ_TREE:
        return read_tree;
    case CONFINE_WRITE_TREE:
        return write_tree;
    case CONFINE_ACCESS_MAX_:
        break;
    }
    return 0;
}

static int allow_path(int ruleset, const struct confine_path *p, uint64_t handled, struct err *err)
{
    _cleanup_close_ int fd = open(p->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return p->optional ? 0 : err_sys(err, -errno, "open '%s'", p->path);
    struct landlock_path_beneath_attr rule = {.allowed_access = rights(p->access) & handled,
                                              .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_sys(err, -errno, "allow '%s'", p->path);
    return 0;
}

static int restrict_files(const struct confine_opts *o, int *ret_version, struct err *err)
{
    int version =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    *ret_version = 0;
    if (version < 0) /* ENOSYS, EOPNOTSUPP: not built in, or switched off at boot */
        return 0;
    struct ruleset_attr attr = attr_for(version);
    _cleanup_close_ int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size(version), 0);
    if (ruleset < 0)
        return err_sys(err, -errno, "make a Landlock ruleset");
    int r = 0;
    for (size_t i = 0; r == 0 && i < o->n_paths; i++)
        r = allow_path(ruleset, &o->paths[i], attr.handled_access_fs, err);
    if (r < 0)
        return r;
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return err_sys(err, -errno, "enforce the Landlock ruleset");
    *ret_version = version;
    return 0;
}

static void filter_release(scmp_filter_ctx *ctx)
{
    if (*ctx != NULL)
        seccomp_release(*ctx);
}

/* Threads, not processes: fork and new namespaces have other flags. */
static int allow_threads(scmp_filter_ctx ctx)
{
    int r =
        seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_NEWUSER, CLONE_THREAD));
    return r < 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* By family: no netlink, no packets of one's own making. */
static int allow_sockets(scmp_filter_ctx ctx, const struct confine_opts *o)
{
    const struct {
        int family;
        bool allowed;
    } families[] = {
        {AF_INET, o->inet_sockets}, {AF_INET6, o->inet_sockets}, {AF_UNIX, o->unix_sockets}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++)
        if (families[i].allowed)
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i].family));
    return r;
}

static int restrict_calls(const struct confine_opts *o, struct err *err)
{
    _cleanup_(filter_release)
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = ctx != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < o->n_calls; i++) {
        int nr = seccomp_syscall_resolve_name(o->calls[i]);
        if (nr >= 0) /* negative: not on this architecture, or newer than the library */
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
    }
    if (r == 0 && o->threads)
        r = allow_threads(ctx);
    if (r == 0)
        r = allow_sockets(ctx, o);
    if (r == 0)
        r = seccomp_load(ctx);
    if (r < 0)
        return err_sys(err, r, "load the system call filter");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        return err_set(err, -EPERM, ERR_INTERNAL, "the system call filter did not stay");
    return 0;
}

int confine(const struct confine_opts *opts, int *ret_landlock, struct err *err)
{
    int r = restrict_files(opts, ret_landlock, err);
    if (r == 0)
        r = restrict_calls(opts, err);
    return r < 0 ? err_wrap(err, "confine %s", opts->program) : 0;
}
