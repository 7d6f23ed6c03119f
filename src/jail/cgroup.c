/*
 * Theory: a group is a folder in every hierarchy; all operations go over all hierarchies. In
 * version 2 a folder hands controllers down by cgroup.subtree_control and then may hold no process
 * itself, which is why both groups of a sandbox are leaves.
 *
 * What the groups are limited to: cgroup_limits.c.
 */
#include "jail/cgroup_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { REMOVE_TIMEOUT_MS = 2000, REMOVE_POLL_MS = 2 };

/* Hands the controllers that this hierarchy is responsible for down to the children of `dir`. */
static int hand_down(const struct cgroup_hierarchy *h, const char *dir)
{
    static const char *const names[] = {"+memory", "+cpu", "+pids"};
    int r = 0;
    for (unsigned i = 0; h->v2 && r == 0 && i < ARRAY_LEN(names); i++)
        if ((h->controllers & 1u << i) != 0)
            r = cgroup_write(h->fd, dir, "cgroup.subtree_control", names[i]);
    return r;
}

static int make_dir(const struct cgroup_hierarchy *h, const char *dir)
{
    return mkdirat(h->fd, dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int cgroups_open(struct cgroups *cg, unsigned instance, struct err *err)
{
    *cg = (struct cgroups){0};
    (void)snprintf(cg->name, sizeof(cg->name), "silica-%u", instance);
    int r = cgroup_find_mounts(cg, err);
    for (unsigned i = 0; r == 0 && i < cg->n; i++) {
        struct cgroup_hierarchy *h = &cg->h[i];
        r = hand_down(h, ".");
        if (r == 0)
            r = make_dir(h, cg->name);
        if (r == 0)
            r = hand_down(h, cg->name);
        if (r == 0 && (h->controllers & CGROUP_CPU) != 0)
            r = cgroup_share_all(h, cg->name);
        int fd = r == 0 ? openat(h->fd, cg->name, O_PATH | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        if (r < 0 || fd < 0)
            r = err_sys(err, r < 0 ? r : -errno, "make the control group %s", cg->name);
        else
            (void)fd_close(h->fd), h->fd = fd;
    }
    if (r < 0)
        cgroups_close(cg, false);
    return r;
}

void cgroups_close(struct cgroups *cg, bool remove)
{
    for (unsigned i = 0; i < cg->n; i++) {
        char up[32];
        (void)snprintf(up, sizeof(up), "../%s", cg->name);
        if (remove)
            (void)unlinkat(cg->h[i].fd, up, AT_REMOVEDIR); /* stays while something is in it */
        cg->h[i].fd = fd_close(cg->h[i].fd);
    }
    cg->n = 0;
}

/* limits: NULL for the group of envd. */
static int make_group(const struct cgroup_hierarchy *h, const char *id, const char *name,
                      const struct cgroup_limits *limits)
{
    char dir[CGROUP_PATH_BYTES];
    int r = fs_join(dir, sizeof(dir), id, name);
    if (r == 0)
        r = make_dir(h, dir);
    if (r < 0)
        return r;
    return limits == NULL ? cgroup_limit_envd(h, dir) : cgroup_limit_user(h, dir, limits);
}

int cgroup_make(const struct cgroups *cg, const char *id, const struct cgroup_limits *limits,
                struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < cg->n; i++) {
        r = make_dir(&cg->h[i], id);
        if (r == 0)
            r = hand_down(&cg->h[i], id);
        if (r == 0)
            r = cgroup_limit_sandbox(&cg->h[i], id);
        if (r == 0)
            r = make_group(&cg->h[i], id, "envd", NULL);
        if (r == 0)
            r = make_group(&cg->h[i], id, "user", limits);
    }
    if (r == 0)
        return 0;
    (void)cgroup_remove(cg, id, NULL); /* the first failure is reported */
    return err_sys(err, r, "make the control groups of a sandbox");
}

const char *cgroup_leaf_name(enum cgroup_leaf leaf)
{
    return leaf == CGROUP_LEAF_USER ? "user" : "envd";
}

int cgroup_enter(const struct cgroups *cg, const char *id, enum cgroup_leaf leaf, pid_t pid,
                 struct err *err)
{
    char dir[CGROUP_PATH_BYTES];
    int r = fs_join(dir, sizeof(dir), id, cgroup_leaf_name(leaf));
    for (unsigned i = 0; r == 0 && i < cg->n; i++)
        r = cgroup_write_number(cg->h[i].fd, dir, "cgroup.procs", (uint64_t)pid);
    return r < 0 ? err_sys(err, r, "enter a control group") : 0;
}

int cgroup_user_fds(const struct cgroups *cg, const char *id,
                    int ret_fds[static CGROUP_HIERARCHIES_MAX], unsigned *ret_n, struct err *err)
{
    char path[CGROUP_PATH_BYTES];
    int r = fs_join(path, sizeof(path), id, "user/cgroup.procs");
    unsigned n = 0;
    for (; r == 0 && n < cg->n; n++) {
        ret_fds[n] = openat(cg->h[n].fd, path, O_WRONLY | O_CLOEXEC);
        if (ret_fds[n] < 0) {
            r = -errno;
            break;
        }
    }
    if (r == 0) {
        *ret_n = n;
        return 0;
    }
    while (n-- > 0)
        ret_fds[n] = fd_close(ret_fds[n]);
    return err_sys(err, r, "open a control group");
}

static int open_usage(const struct cgroup_hierarchy *h, const char *id, const char *file)
{
    char path[CGROUP_PATH_BYTES];
    int n = snprintf(path, sizeof(path), "%s/user/%s", id, file);
    return n > 0 && (size_t)n < sizeof(path) ? openat(h->fd, path, O_RDONLY | O_CLOEXEC) : -EBADF;
}

void cgroup_usage_fds(const struct cgroups *cg, const char *id, int ret[static 2])
{
    ret[0] = ret[1] = -EBADF;
    for (unsigned i = 0; i < cg->n; i++) {
        const struct cgroup_hierarchy *h = &cg->h[i];
        if ((h->controllers & CGROUP_MEMORY) != 0)
            ret[0] = open_usage(h, id, h->v2 ? "memory.current" : "memory.usage_in_bytes");
        if (h->v2) /* counts processor time even where it has no controller */
            ret[1] = open_usage(h, id, "cpu.stat");
    }
}

static void short_pause(void)
{
    struct timespec ts = {.tv_nsec = REMOVE_POLL_MS * 1000000L};
    (void)nanosleep(&ts, NULL); /* a signal only makes it shorter */
}

/* The kernel lets go of a dead process a moment after we saw it die. */
static int remove_dir(const struct cgroup_hierarchy *h, const char *dir, uint64_t deadline)
{
    while (unlinkat(h->fd, dir, AT_REMOVEDIR) < 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EBUSY || clock_monotonic_ns() > deadline)
            return -errno;
        short_pause();
    }
    return 0;
}

int cgroup_remove(const struct cgroups *cg, const char *id, struct err *err)
{
    static const char *const groups[] = {"user", "envd"};
    char dir[CGROUP_PATH_BYTES];
    uint64_t deadline = clock_monotonic_ns() + REMOVE_TIMEOUT_MS * NS_PER_MS;
    int r = 0;
    for (unsigned i = 0; i < cg->n; i++)
        if (cg->h[i].v2)
            (void)cgroup_write(cg->h[i].fd, id, "cgroup.kill", "1"); /* Linux 5.14; or all dead */
    for (unsigned i = 0; r == 0 && i < cg->n; i++) {
        for (unsigned g = 0; r == 0 && g < ARRAY_LEN(groups); g++)
            if ((r = fs_join(dir, sizeof(dir), id, groups[g])) == 0)
                r = remove_dir(&cg->h[i], dir, deadline);
        if (r == 0)
            r = remove_dir(&cg->h[i], id, deadline);
    }
    return r < 0 ? err_sys(err, r, "remove the control groups of %s", id) : 0;
}

static int each_in(const struct cgroup_hierarchy *h, void (*each)(void *user, const char *id),
                   void *user)
{
    int fd = openat(h->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int saved = -errno;
        (void)fd_close(fd);
        return saved;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (id_is_sandbox(e->d_name))
            each(user, e->d_name);
    (void)closedir(dir);
    return 0;
}

int cgroup_each(const struct cgroups *cg, void (*each)(void *user, const char *id), void *user,
                struct err *err)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < cg->n; i++)
        r = each_in(&cg->h[i], each, user);
    return r < 0 ? err_sys(err, r, "list control groups") : 0;
}
