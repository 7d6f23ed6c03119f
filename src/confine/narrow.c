/*
 * The stages by which a program that faces strangers narrows itself. It starts as root with an
 * arbitrary environment and ends as a user of its own, and nothing else:
 *
 *   1 descriptors   only 0, 1, 2 and the named ones are open; nothing passes an exec
 *   2 limits        many connections, no core dump: the memory holds tokens
 *   3 bounding set  emptied while we may, so that no exec can bring a capability back
 *   4 ids           groups, gid, uid, in this order; read back
 *   5 capabilities  all sets empty; read back. None is needed: ports are bound by the supervisor,
 *                   and privileged work is done by silica-priv
 *   6 no new privs  set-user-id programs give nothing
 *   7 supervisor    its death ends us (SIGTERM: sandboxes live on), so that its successor can bind
 *
 * Landlock and seccomp come after it, when what it needs is read: see confine.c.
 */
#include "confine/narrow.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { NARROW_MAX_FDS = 65536, LAST_CAP_GUESS = 63 };

/* The lowest of keep[n] that is `from` or above; -1 when there is none. */
static int next_kept(const int *keep, size_t n, unsigned from)
{
    int next = -1;
    for (size_t i = 0; i < n; i++)
        if (keep[i] >= 0 && (unsigned)keep[i] >= from && (next < 0 || keep[i] < next))
            next = keep[i];
    return next;
}

static int stage_descriptors(const int *keep, size_t n, struct err *err)
{
    unsigned from = 3;
    for (int fd; (fd = next_kept(keep, n, from)) >= 0; from = (unsigned)fd + 1) {
        if ((unsigned)fd > from && close_range(from, (unsigned)fd - 1, 0) < 0)
            return err_sys(err, -errno, "close inherited descriptors");
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return err_sys(err, -errno, "keep descriptor %d", fd);
    }
    if (close_range(from, ~0u, 0) < 0)
        return err_sys(err, -errno, "close inherited descriptors");
    return 0;
}

static int stage_limits(struct err *err)
{
    struct rlimit none = {1, 1}, files; /* of cores: 0 would start core_pattern's program */
    if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_sys(err, -errno, "set resource limits");
    files.rlim_cur = files.rlim_max; /* all that we were given; more needs CAP_SYS_RESOURCE */
    if (files.rlim_cur > NARROW_MAX_FDS)
        files.rlim_cur = NARROW_MAX_FDS;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_sys(err, -errno, "raise the limit of open files");
    (void)umask(077); /* cannot fail */
    return 0;
}

static int stage_bounding_set(struct err *err)
{
    if (geteuid() != 0)
        return 0; /* started as the user already: the set is the starter's affair */
    for (int cap = 0; cap <= LAST_CAP_GUESS; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            break; /* past the last capability of this kernel */
        if (has == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_sys(err, -errno, "drop capability %d from the bounding set", cap);
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_set(err, -EPERM, ERR_INTERNAL, "capability %d stays in the bounding set",
                           cap);
    }
    return 0;
}

static int stage_ids(uint32_t uid, struct err *err)
{
    uid_t r, e, s;
    gid_t gr, ge, gs;
    if (geteuid() == 0 && setgroups(0, NULL) < 0)
        return err_sys(err, -errno, "drop supplementary groups");
    if (setresgid(uid, uid, uid) < 0)
        return err_sys(err, -errno, "become group %u", uid);
    if (setresuid(uid, uid, uid) < 0)
        return err_sys(err, -errno, "become user %u", uid);
    if (getresuid(&r, &e, &s) < 0 || getresgid(&gr, &ge, &gs) < 0 || r != uid || e != uid ||
        s != uid || gr != uid || ge != uid || gs != uid || getgroups(0, NULL) != 0)
        return err_set(err, -EPERM, ERR_INTERNAL, "the ids did not become %u", uid);
    if (setresuid(0, 0, 0) == 0)
        return err_set(err, -EPERM, ERR_INTERNAL, "root could be had back");
    return 0;
}

static int stage_capabilities(struct err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_sys(err, -errno, "clear ambient capabilities");
    if (syscall(SYS_capset, &head, data) < 0)
        return err_sys(err, -errno, "clear capabilities");
    memset(data, 0xff, sizeof(data));
    if (syscall(SYS_capget, &head, data) < 0)
        return err_sys(err, -errno, "read capabilities back");
    for (size_t i = 0; i < ARRAY_LEN(data); i++)
        if (data[i].effective != 0 || data[i].permitted != 0 || data[i].inheritable != 0)
            return err_set(err, -EPERM, ERR_INTERNAL, "some capabilities stayed");
    return 0;
}

static int stage_no_new_privs(struct err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, -errno, "set no_new_privs");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_set(err, -EPERM, ERR_INTERNAL, "no_new_privs did not stay");
    return 0;
}

/* A change of ids clears this setting, so it comes after. */
static int stage_supervisor(pid_t parent, struct err *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
        return err_sys(err, -errno, "follow the supervisor");
    if (getppid() != parent)
        return err_set(err, -ECHILD, ERR_UNAVAILABLE, "the supervisor ended during the start");
    return 0;
}

int narrow(const char *program, uint32_t uid, const int *keep, size_t n_keep, struct err *err)
{
    pid_t parent = getppid();
    int r = stage_descriptors(keep, n_keep, err);
    if (r == 0)
        r = stage_limits(err);
    if (r == 0)
        r = stage_bounding_set(err);
    if (r == 0)
        r = stage_ids(uid, err);
    if (r == 0)
        r = stage_capabilities(err);
    if (r == 0)
        r = stage_no_new_privs(err);
    if (r == 0)
        r = stage_supervisor(parent, err);
    return r < 0 ? err_wrap(err, "narrow %s", program) : 0;
}
