/* Checks of kernel, cgroups, virtualisation, programs, namespaces, templates. */
#include "cli/doctor.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/syscalls.h"
#include "image/template.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

static const char fix_root[] = "run it as root: sudo silica doctor";
static const char fix_kernel[] = "boot Linux 6.1 or newer (Debian 12's own kernel will do)";

bool doctor_root(struct doctor *d)
{
    if (geteuid() == 0)
        return doctor_ok(d, "root");
    return doctor_bad(d, fix_root, "not root; some checks cannot be made");
}

bool doctor_kernel(struct doctor *d)
{
    struct utsname u;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    _cleanup_close_ int a = sys_openat2(AT_FDCWD, "/", &how, sizeof(how));
    _cleanup_close_ int b = pidfd_open(getpid(), 0);
    _cleanup_close_ int c = (int)syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLOEXEC);
    /* Bad arguments are told apart from an unknown call. */
    bool setattr = syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) == 0 || errno != ENOSYS;
    if (uname(&u) != 0)
        u.release[0] = '\0';
    if (a < 0 || b < 0 || c < 0 || !setattr)
        return doctor_bad(d, fix_kernel, "%s lacks%s%s%s%s", u.release, a < 0 ? " openat2" : "",
                          b < 0 ? " pidfd_open" : "", c < 0 ? " open_tree" : "",
                          setattr ? "" : " mount_setattr");
    return doctor_ok(d, "%s has openat2, pidfd, open_tree, mount_setattr", u.release);
}

static bool has_word(const struct buf *text, const char *word)
{
    struct slice rest = buf_slice(text), line, part;
    while (slice_next(&rest, '\n', &line)) {
        while (slice_next(&line, ' ', &part)) {
            if (slice_eq_str(slice_trim(part), word))
                return true;
        }
    }
    return false;
}

static bool has_controller(const char *name, bool v2, const struct buf *controllers)
{
    char path[96];
    if (v2)
        return has_word(controllers, name);
    (void)snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", name);
    return access(path, F_OK) == 0;
}

bool doctor_cgroups(struct doctor *d)
{
    static const char *const needed[] = {"memory", "cpu", "pids"};
    _cleanup_buf_ struct buf controllers = BUF_INIT(4096);
    struct statfs top, unified;
    char missing[64] = "";
    if (statfs("/sys/fs/cgroup", &top) != 0)
        return doctor_bad(d, "mount cgroup2 at /sys/fs/cgroup", "there are none");
    bool v2 = (unsigned long)top.f_type == CGROUP2_SUPER_MAGIC;
    bool hybrid = !v2 && statfs("/sys/fs/cgroup/unified", &unified) == 0 &&
                  (unsigned long)unified.f_type == CGROUP2_SUPER_MAGIC;
    if (v2)
        (void)fs_read_file(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", &controllers, NULL);
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        size_t n = strlen(missing);
        if (!has_controller(needed[i], v2, &controllers))
            (void)snprintf(missing + n, sizeof(missing) - n, " %s", needed[i]);
    }
    const char *kind = v2 ? "v2" : hybrid ? "hybrid (v1 controllers, v2 for kill)" : "v1 only";
    if (missing[0] != '\0')
        return doctor_bad(d, "enable the controllers on the kernel command line", "%s, missing:%s",
                          kind, missing);
    return doctor_ok(d, "%s with memory, cpu, pids", kind);
}

static bool on_path(const char *name)
{
    static const char *const folders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                          "/usr/bin",        "/sbin",          "/bin"};
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        if (fs_join(path, sizeof(path), folders[i], name) == 0 && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

bool doctor_programs(struct doctor *d)
{
    if (!on_path("mmdebstrap"))
        return doctor_bad(d, "apt-get install mmdebstrap",
                          "mmdebstrap is missing; templates cannot be built");
    return doctor_ok(d, "mmdebstrap");
}

static int try_userns(void)
{
    return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

bool doctor_userns(struct doctor *d)
{
    int e = doctor_in_child(try_userns);
    if (e == 0)
        return doctor_ok(d, "can be made");
    if (e == ENOSPC)
        return doctor_bad(d, "sysctl -w user.max_user_namespaces=15000",
                          "refused: as many as are allowed exist");
    return doctor_bad(d,
                      geteuid() == 0 ? "leave the chroot or the container, or have its seccomp "
                                       "profile or security module allow them"
                                     : "sysctl -w kernel.unprivileged_userns_clone=1, or be root",
                      "refused: %s", strerror(e));
}

static int try_overlay(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") != 0 ||
        mkdir("/tmp/l", 0755) != 0 || mkdir("/tmp/u", 0755) != 0 || mkdir("/tmp/w", 0755) != 0 ||
        mkdir("/tmp/m", 0755) != 0 ||
        mount("overlay", "/tmp/m", "overlay", 0,
              "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w") != 0)
        return errno;
    return 0;
}

bool doctor_overlay(struct doctor *d)
{
    if (geteuid() != 0)
        return doctor_bad(d, fix_root, "not tried without root");
    int e = doctor_in_child(try_overlay);
    if (e != 0)
        return doctor_bad(d, e == ENODEV ? "modprobe overlay" : "leave the chroot or the container",
                          "a mount was refused: %s", strerror(e));
    return doctor_ok(d, "can be mounted");
}

bool doctor_template(struct doctor *d)
{
    struct template_info info;
    if (template_find(d->templates, "base", &info, NULL) != 0)
        return doctor_bad(d, "sudo silica template build base", "there is no template 'base' in %s",
                          d->templates);
    return doctor_ok(d, "base is %s", info.id);
}
