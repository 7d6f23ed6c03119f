/*
 * The root of a sandbox: an overlay of id-mapped layers, and the way into it. Runs in the child,
 * in its own mount namespace, with the host's root rights and no foreign code near.
 *
 * - Layers keep ids 0 to 65535 on disk; their mounts shift them to the sandbox's range. The overlay
 *   cannot be shifted itself, so it is mounted with the file system uid of the range's base:
 *   whatever overlayfs makes in the upper layer for itself has an id that the map knows. With uid 0
 *   it would have none, and the mount would silently come up read-only: that is checked.
 * - The layers are named by relative paths from the stage, so that no path of the host shows in
 *   the sandbox's /proc/self/mountinfo.
 * - "volatile": when the host dies, so does the sandbox. Without it, each end of a sandbox would
 *   sync the whole host file system.
 * - The root is mounted nodev: a device node in a template is just a name.
 */
#include "jail/jail_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

int jail_mount_stage(struct jail_child *c)
{
    static const struct fs_option options[] = {{"size", "64k"}, {"mode", "700"}};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    int fd = fs_new_mount("tmpfs", options, ARRAY_LEN(options), 0);
    if (fd < 0)
        return fd;
    c->stage_fd = fd;
    if (move_mount(fd, "", AT_FDCWD, c->spec->stage, MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(fd) < 0)
        return -errno;
    return 0;
}

int jail_mount_layers(struct jail_child *c)
{
    int r = jail_attach(c->spec->lower_fd, c->stage_fd, "lower");
    return r == 0 ? jail_attach(c->spec->layer_fd, c->stage_fd, "layer") : r;
}

/* From here on files are made for the sandbox's root, with the rights of the host's. */
static int become_file_owner(uint32_t uid)
{
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
        return -errno;
    (void)setfsgid(uid); /* these two tell failure by a second call only */
    (void)setfsuid(uid);
    return (uint32_t)setfsgid(uid) == uid && (uint32_t)setfsuid(uid) == uid ? 0 : -EPERM;
}

/*
 * Overlayfs remembers who mounted it and touches the layers with those rights. Without
 * CAP_SYS_RESOURCE the sandbox cannot eat the blocks that the host's root has in reserve.
 */
static int leave_reserve_alone(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    uint64_t has = data[0].permitted | (uint64_t)data[1].permitted << 32;
    has &= ~(UINT64_C(1) << CAP_SYS_RESOURCE);
    return jail_set_caps(has, has);
}

int jail_mount_overlay(struct jail_child *c)
{
    static const struct fs_option options[] = {{"lowerdir", "lower"},
                                               {"upperdir", "layer/upper"},
                                               {"workdir", "layer/work"},
                                               {"volatile", NULL},
                                               {"source", "silica"}};
    int r = become_file_owner(c->spec->uid_base);
    if (r == 0)
        r = leave_reserve_alone();
    if (r < 0)
        return r;
    c->root_fd = fs_new_mount("overlay", options, ARRAY_LEN(options), MOUNT_ATTR_NODEV);
    if (c->root_fd < 0)
        return c->root_fd;
    struct statvfs st;
    if (fstatvfs(c->root_fd, &st) < 0)
        return -errno;
    return (st.f_flag & ST_RDONLY) != 0 ? -EROFS : jail_attach(c->root_fd, c->stage_fd, "root");
}

int jail_write_etc(struct jail_child *c)
{
    if (mkdirat(c->root_fd, "etc", 0755) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int etc = jail_open_plain(c->root_fd, "etc", O_RDONLY | O_DIRECTORY);
    if (etc < 0)
        return etc;
    int r = fs_put_file(etc, "hosts", slice_str(c->spec->hosts), 0644);
    if (r == 0)
        r = fs_put_file(etc, "resolv.conf", slice_str(c->spec->resolv_conf), 0644);
    return r == 0 ? fs_put_file(etc, "hostname", slice_str(c->spec->hostname), 0644) : r;
}

int jail_pivot(struct jail_child *c)
{
    if (fchdir(c->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}
