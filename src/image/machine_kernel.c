/*
 * The kernel of machines: Debian's for clouds, as its package has it.
 *
 * The package is asked for and downloaded by the host's apt, which checks its signature, and unpacked
 * into a private folder; it is not installed and none of its scripts run. What is kept of it is the
 * kernel and a handful of modules, in a folder named for the package and its version, which appears by
 * rename. So a later start needs no network, and one without a network takes what there is.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/run.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define META_PACKAGE "linux-image-cloud-amd64"
#define PREFIX       "linux-image-"
#define SUFFIX       "-cloud-amd64"

static const char WORK_DIR[] = ".new";

enum { BUILTIN_MAX_BYTES = 1 << 20 };

const char *const machine_modules[] = {
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
    "drivers/firmware/qemu_fw_cfg.ko",
    "fs/overlayfs/overlay.ko",
    NULL,
};

/* ---- which one */

/* What names of packages and versions consist of. */
static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || strchr(".+~:-", c) == NULL))
            return false;
    }
    return s.n > 0 && s.p[0] != '.' && s.p[0] != '-';
}

int machine_parse_depends(struct slice line, struct machine_package *ret)
{
    static const char key[] = "Depends: ";
    struct machine_package p;
    if (!slice_has_prefix(line, key))
        return -EINVAL;
    struct slice all = slice_from(line, strlen(key)), one;
    while (slice_next(&all, ',', &one)) {
        one = slice_trim(one);
        size_t n = slice_find(one, ' ');
        struct slice name = slice_sub(one, 0, n), rest = slice_from(one, n);
        if (!slice_has_prefix(name, PREFIX) || !slice_has_suffix(name, SUFFIX) || !is_word(name) ||
            !slice_has_prefix(rest, " (= ") || !slice_has_suffix(rest, ")"))
            continue;
        struct slice version = slice_sub(rest, 4, rest.n - 5);
        if (is_word(version) && slice_copy(name, p.name, sizeof(p.name)) == 0 &&
            slice_copy(version, p.version, sizeof(p.version)) == 0) {
            *ret = p;
            return 0;
        }
    }
    return -EINVAL;
}

struct answer {
    struct machine_package package;
    bool found;
};

static void on_line(void *user, struct slice line)
{
    struct answer *a = user;
    if (!a->found)
        a->found = machine_parse_depends(line, &a->package) == 0;
}

static int run(const char *const *argv, struct answer *a, struct err *err)
{
    struct image_run r = {
        .argv = argv, .cancel_fd = -1, .line = a != NULL ? on_line : NULL, .user = a};
    return image_run(&r, err);
}

static int which_kernel(struct machine_package *ret, struct err *err)
{
    static const char *const argv[] = {"apt-cache", "show", "--no-all-versions", META_PACKAGE,
                                       NULL};
    struct answer a = {.found = false};
    int r = run(argv, &a, err);
    if (r == 0 && !a.found)
        return err_set(err, -ENOENT, ERR_NOT_FOUND,
                       "apt does not say which kernel " META_PACKAGE " stands for");
    if (r == 0)
        *ret = a.package;
    return r;
}

/* ---- what is kept of it */

/* A module that is missing as a file must be part of the kernel. */
static int check_builtin(const char *folder, const char *module, struct err *err)
{
    char path[PATH_MAX];
    _cleanup_buf_ struct buf text = BUF_INIT(BUILTIN_MAX_BYTES);
    int r = fs_join(path, sizeof(path), folder, "modules.builtin");
    if (r == 0)
        r = fs_read_file(AT_FDCWD, path, &text, err);
    if (r < 0)
        return r;
    struct slice rest = buf_slice(&text), line;
    while (slice_next(&rest, '\n', &line))
        if (slice_has_prefix(line, "kernel/") &&
            slice_eq_str(slice_from(line, strlen("kernel/")), module))
            return 0;
    return err_set(err, -ENOENT, ERR_NOT_FOUND, "the kernel has no %s", module);
}

static int keep_module(const char *folder, const char *module, int out_fd, struct err *err)
{
    char from[PATH_MAX], to[NAME_MAX + 1], kernel[PATH_MAX];
    if (fs_join(kernel, sizeof(kernel), folder, "kernel") < 0 ||
        fs_join(from, sizeof(from), kernel, module) < 0 ||
        fs_join(to, sizeof(to), "modules", strrchr(module, '/') + 1) < 0)
        return err_sys(err, -ENAMETOOLONG, "name %s", module);
    if (access(from, F_OK) < 0)
        return check_builtin(folder, module, err);
    return machine_copy(from, out_fd, to, 0644, err);
}

/* From an unpacked package below `top`, or from the host's own root. */
static int keep(const char *top, const char *release, int out_fd, struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/boot/vmlinuz-%s", top, release);
    int r = n < 0 || (size_t)n >= sizeof(path) ? err_sys(err, -ENAMETOOLONG, "name the kernel")
                                               : machine_copy(path, out_fd, "vmlinuz", 0644, err);
    if (r < 0)
        return r;
    n = snprintf(path, sizeof(path), "%s/lib/modules/%s", top, release);
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_sys(err, -ENAMETOOLONG, "name the modules");
    for (const char *const *m = machine_modules; r == 0 && *m != NULL; m++)
        r = keep_module(path, *m, out_fd, err);
    return r;
}

static bool is_installed(const char *release)
{
    char kernel[PATH_MAX], modules[PATH_MAX];
    (void)snprintf(kernel, sizeof(kernel), "/boot/vmlinuz-%s", release); /* names fit */
    (void)snprintf(modules, sizeof(modules), "/lib/modules/%s/kernel", release);
    return access(kernel, R_OK) == 0 && access(modules, R_OK) == 0;
}

/* The package's content below <work>/x; the only .deb in <work> is it. */
static int download(const char *work, const struct machine_package *p, struct err *err)
{
    char what[2 * MACHINE_KERNEL_NAME_MAX + 2];
    (void)snprintf(what, sizeof(what), "%s=%s", p->name, p->version); /* fits */
    const char *const get[] = {"env", "-C", work, "apt-get", "-q", "download", what, NULL};
    static const char script[] = "exec dpkg-deb -x ./*.deb x";
    const char *const unpack[] = {"env", "-C", work, "sh", "-c", script, NULL};
    int r = run(get, NULL, err);
    return r == 0 ? run(unpack, NULL, err) : r;
}

/* ---- the folder */

static int publish(int kernels_fd, int work_fd, const char *name, struct err *err)
{
    if (fchmodat(work_fd, "out", 0755, 0) < 0 || syncfs(work_fd) < 0 ||
        renameat(work_fd, "out", kernels_fd, name) < 0 || fsync(kernels_fd) < 0)
        return err_sys(err, -errno, "publish the kernel '%s'", name);
    return 0;
}

static int make_in(const struct machine_work *w, int kernels_fd, int work_fd,
                   const struct machine_package *p, const char *name, struct err *err)
{
    char work[PATH_MAX], top[PATH_MAX];
    const char *release = p->name + strlen(PREFIX);
    bool installed = is_installed(release);
    int n = snprintf(work, sizeof(work), "%s/kernel/%s", w->path, WORK_DIR);
    if (n < 0 || (size_t)n >= sizeof(work) || fs_join(top, sizeof(top), work, "x") < 0)
        return err_sys(err, -ENAMETOOLONG, "name the kernel's folder");
    machine_tell(w, "%s %s %s", installed ? "taking the installed" : "downloading", p->name,
                 p->version);
    int r = installed ? 0 : download(work, p, err);
    if (r == 0)
        r = machine_make_dirs(work_fd, "out/modules", err);
    if (r < 0)
        return r;
    _cleanup_close_ int out = openat(work_fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out < 0)
        return err_sys(err, -errno, "open the kernel's folder");
    r = keep(installed ? "" : top, release, out, err);
    return r == 0 ? publish(kernels_fd, work_fd, name, err) : r;
}

/* What a killed one left is removed first: the caller holds the lock. */
static int make(const struct machine_work *w, int kernels_fd, const struct machine_package *p,
                const char *name, struct err *err)
{
    int r = fs_remove_tree(kernels_fd, WORK_DIR, err);
    if (r < 0)
        return r;
    if (mkdirat(kernels_fd, WORK_DIR, 0700) < 0)
        return err_sys(err, -errno, "make the kernel's folder");
    _cleanup_close_ int work = openat(kernels_fd, WORK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = work < 0 ? err_sys(err, -errno, "open the kernel's folder")
                 : make_in(w, kernels_fd, work, p, name, err);
    (void)fs_remove_tree(kernels_fd, WORK_DIR, NULL); /* the next one removes it too */
    return r;
}

/* The newest folder of before, by the names' numbers. */
static int newest(int kernels_fd, char name[static NAME_MAX + 1])
{
    int copy = openat(kernels_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    if (dir == NULL) {
        (void)fd_close(copy);
        return -ENOENT;
    }
    name[0] = '\0';
    while ((e = readdir(dir)) != NULL)
        if (slice_has_prefix(slice_str(e->d_name), PREFIX) &&
            (name[0] == '\0' || strverscmp(e->d_name, name) > 0))
            (void)slice_copy(slice_str(e->d_name), name, NAME_MAX + 1); /* fits */
    (void)closedir(dir);
    return name[0] != '\0' ? 0 : -ENOENT;
}

/* The kernel that apt names now; `name` is that of its folder. */
static int make_newest(const struct machine_work *w, int kernels_fd, char name[static NAME_MAX + 1],
                       struct err *err)
{
    struct machine_package p;
    int r = which_kernel(&p, err);
    if (r < 0)
        return r;
    int n = snprintf(name, NAME_MAX + 1, "%s_%s", p.name, p.version);
    if (n < 0 || n > NAME_MAX)
        return err_sys(err, -ENAMETOOLONG, "name the kernel's folder");
    if (faccessat(kernels_fd, name, F_OK, 0) == 0)
        return 0;
    if (w->opts->offline && !is_installed(p.name + strlen(PREFIX)))
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "%s is neither prepared nor installed", p.name);
    return make(w, kernels_fd, &p, name, err);
}

/* Lists of packages are fetched only when nothing can be done without: there are none, or old ones. */
static int make_after_update(const struct machine_work *w, int kernels_fd,
                             char name[static NAME_MAX + 1], struct err *err)
{
    static const char *const update[] = {"apt-get", "-q", "update", NULL};
    machine_tell(w, "updating the lists of packages");
    int r = run(update, NULL, err);
    return r == 0 ? make_newest(w, kernels_fd, name, err) : r;
}

int machine_find_kernel(struct machine_work *w, struct err *err)
{
    char name[NAME_MAX + 1], before_name[NAME_MAX + 1];
    struct err why = {0};
    _cleanup_close_ int kernels = openat(w->dir_fd, "kernel", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (kernels < 0)
        return err_sys(err, -errno, "open the folder of kernels");
    int r = make_newest(w, kernels, name, &why);
    bool before = newest(kernels, before_name) == 0;
    if (r < 0 && !before && !w->opts->offline)
        r = make_after_update(w, kernels, name, &why);
    if (r < 0 && !before) {
        if (err != NULL)
            *err = why;
        (void)err_wrap(err, "get a kernel for machines");
        return r;
    }
    if (r < 0) {
        memcpy(name, before_name, sizeof(name));
        machine_tell(w, "taking %s, which was prepared before, because: %s", name, why.msg);
    }
    w->kernel_fd = openat(kernels, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return w->kernel_fd < 0 ? err_sys(err, -errno, "open the kernel '%s'", name) : 0;
}
