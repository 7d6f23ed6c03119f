/*
 * File systems of the machine.
 *
 * The template's disk is the lower layer, the sandbox's own the upper one. /dev, /proc and /sys are
 * mounted in the initramfs, where modules and devices need them, and moved into the new root: onto
 * plain folders only, a template that has a symbolic link there is refused, as in a container.
 */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#define TEMPLATE_DISK "/dev/vda"
#define LAYER_DISK    "/dev/vdb"

enum { DISK_WAIT_MS = 10000, DISK_POLL_MS = 5 };

static const unsigned long quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

static int mount_new(const char *source, const char *target, const char *type, unsigned long flags,
                     const char *options, struct err *err)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "make %s", target);
    if (mount(source, target, type, flags, options) < 0)
        return err_sys(err, -errno, "mount %s on %s", source, target);
    return 0;
}

/* Standard input is nothing, the others are the console, if the machine has one. */
static int settle_descriptors(struct err *err)
{
    _cleanup_close_ int null = guest_park(open("/dev/null", O_RDWR | O_CLOEXEC));
    _cleanup_close_ int console = guest_park(open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC));
    int words = console >= 0 ? console : null;
    if (null < 0 || dup2(null, 0) < 0 || dup2(words, 1) < 0 || dup2(words, 2) < 0)
        return err_sys(err, -errno, "open /dev/null and the console");
    return 0;
}

int guest_mount_kernel(struct guest *g, struct err *err)
{
    (void)g;
    int r = mount_new("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "", err);
    if (r == 0)
        r = settle_descriptors(err);
    if (r == 0)
        r = mount_new("proc", "/proc", "proc", quiet, "", err);
    return r == 0 ? mount_new("sysfs", "/sys", "sysfs", quiet, "", err) : r;
}

/* Drivers find their devices when they are loaded; a slow machine may need a moment more. */
static int wait_for(const char *disk, struct err *err)
{
    const struct timespec poll = {.tv_nsec = DISK_POLL_MS * 1000000L};
    for (int waited = 0; access(disk, F_OK) < 0; waited += DISK_POLL_MS) {
        if (waited >= DISK_WAIT_MS)
            return err_set(err, -ENODEV, ERR_NOT_FOUND, "there is no %s", disk);
        (void)nanosleep(&poll, NULL);
    }
    return 0;
}

static int mount_layers(struct err *err)
{
    int r = wait_for(TEMPLATE_DISK, err);
    if (r == 0)
        r = mount_new(TEMPLATE_DISK, "/base", "ext4", MS_RDONLY | MS_NODEV, "", err);
    if (r == 0)
        r = wait_for(LAYER_DISK, err);
    if (r == 0)
        r = mount_new(LAYER_DISK, "/layer", "ext4", MS_NOATIME | MS_NODEV, "", err);
    if (r < 0)
        return r;
    if ((mkdir("/layer/upper", 0755) < 0 && errno != EEXIST) ||
        (mkdir("/layer/work", 0755) < 0 && errno != EEXIST))
        return err_sys(err, -errno, "make the layer's folders");
    return 0;
}

int guest_mount_disks(struct guest *g, struct err *err)
{
    int r = mount_layers(err);
    if (r == 0)
        r = mount_new("silica", GUEST_ROOT, "overlay", MS_NODEV,
                      "lowerdir=/base,upperdir=/layer/upper,workdir=/layer/work", err);
    if (r < 0)
        return r;
    g->root_fd = open(GUEST_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return g->root_fd < 0 ? err_sys(err, -errno, "open the root") : 0;
}

/* Move the mount at `from` onto the plain folder `name` of the root. */
static int move_into(const struct guest *g, const char *from, const char *name, struct err *err)
{
    if (mkdirat(g->root_fd, name, 0755) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "make /%s of the template", name);
    _cleanup_close_ int dir =
        openat(g->root_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0 && (errno == ENOTDIR || errno == ELOOP))
        return err_set(err, -errno, ERR_INVALID, "/%s of the template is no plain folder", name);
    if (dir < 0)
        return err_sys(err, -errno, "open /%s of the template", name);
    if (move_mount(AT_FDCWD, from, dir, "", MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_sys(err, -errno, "move %s", from);
    return 0;
}

/* What udev adds to the kernel's own nodes; the kernel's /dev/ptmx knows only the first devpts. */
static int link_devices(struct err *err)
{
    static const struct {
        const char *name, *target;
    } links[] = {{"/dev/fd", "/proc/self/fd"},
                 {"/dev/stdin", "/proc/self/fd/0"},
                 {"/dev/stdout", "/proc/self/fd/1"},
                 {"/dev/stderr", "/proc/self/fd/2"},
                 {"/dev/ptmx", "pts/ptmx"}};
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if ((unlink(links[i].name) < 0 && errno != ENOENT) ||
            symlink(links[i].target, links[i].name) < 0)
            return err_sys(err, -errno, "make %s", links[i].name);
    return 0;
}

/* Before anything moves, so that the paths are those of our own file systems. */
int guest_move_kernel(struct guest *g, struct err *err)
{
    int r = link_devices(err);
    if (r == 0)
        r = mount_new("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                      "ptmxmode=666,gid=5,mode=620", err);
    if (r == 0)
        r = mount_new("tmpfs", "/dev/shm", "tmpfs", quiet, "mode=1777", err);
    if (r == 0)
        r = mount_new("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, "", err);
    if (r == 0)
        r = move_into(g, "/dev", "dev", err);
    if (r == 0)
        r = move_into(g, "/proc", "proc", err);
    return r == 0 ? move_into(g, "/sys", "sys", err) : r;
}

/* The way of every initramfs: its root cannot be pivoted away, so it is covered and left. */
int guest_enter_root(struct guest *g, struct err *err)
{
    if (fchdir(g->root_fd) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return err_sys(err, -errno, "enter it");
    return 0;
}
