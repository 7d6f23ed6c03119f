/*
 * Preparing from start to end: folder and lock, kernel, a new folder for QEMU, its id, publication.
 *
 * <data>/machine is locked by flock while it is worked on, so what is found unfinished there belongs to
 * one that was killed and is removed. The folder gets its name, the id, by rename when everything in it
 * is on disk; after that the name is written into `current`.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char WORK_DIR[] = ".new";

enum { CURRENT_MAX_BYTES = 64, LINE_BYTES = 512 };

void machine_tell(const struct machine_work *w, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list ap;
    if (w->opts->progress == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, ap); /* cut on purpose */
    va_end(ap);
    w->opts->progress(w->opts->progress_user, line);
}

static int open_folder(struct machine_work *w, const char *data_dir, struct err *err)
{
    char path[PATH_MAX];
    int r = fs_join(path, sizeof(path), data_dir, "machine");
    if (r < 0)
        return err_sys(err, r, "name the folder of machines");
    r = fs_mkdir_all(path, 0755, err);
    if (r < 0)
        return r;
    w->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (w->dir_fd < 0 || realpath(path, w->path) == NULL)
        return err_sys(err, -errno, "open '%s'", path);
    if (flock(w->dir_fd, LOCK_EX) < 0)
        return err_sys(err, -errno, "lock '%s'", path);
    r = machine_make_dirs(w->dir_fd, "kernel", err);
    return r == 0 ? machine_make_dirs(w->dir_fd, "vmm", err) : r;
}

static int make_current(int vmm_fd, const char *id, struct err *err)
{
    char line[MACHINE_ID_LEN + 2];
    _cleanup_buf_ struct buf old = BUF_INIT(CURRENT_MAX_BYTES);
    (void)snprintf(line, sizeof(line), "%s\n", id); /* fits */
    if (fs_read_file(vmm_fd, "current", &old, NULL) == 0 && slice_eq_str(buf_slice(&old), line))
        return 0;
    return fs_replace_file(vmm_fd, "current", slice_str(line), 0644, err);
}

/* The new folder under its id; or none, when there is one of that id. */
static int publish(const struct machine_work *w, int vmm_fd, int new_fd, const char *id,
                   struct err *err)
{
    if (faccessat(vmm_fd, id, F_OK, 0) == 0) {
        machine_tell(w, "nothing has changed since %s", id);
        return make_current(vmm_fd, id, err);
    }
    if (fchmod(new_fd, 0755) < 0 || syncfs(new_fd) < 0 ||
        renameat(vmm_fd, WORK_DIR, vmm_fd, id) < 0 || fsync(vmm_fd) < 0)
        return err_sys(err, -errno, "publish '%s'", id);
    return make_current(vmm_fd, id, err);
}

static int make_vmm(const struct machine_work *w, int vmm_fd, char id[static MACHINE_ID_LEN + 1],
                    struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/vmm/%s", w->path, WORK_DIR);
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_sys(err, -ENAMETOOLONG, "name QEMU's folder");
    int r = fs_remove_tree(vmm_fd, WORK_DIR, err);
    if (r < 0)
        return r;
    if (mkdirat(vmm_fd, WORK_DIR, 0700) < 0)
        return err_sys(err, -errno, "make QEMU's folder");
    _cleanup_close_ int fd = openat(vmm_fd, WORK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "open QEMU's folder");
    machine_tell(w, "collecting QEMU, its libraries and what machines boot");
    r = machine_fill_vmm(w, fd, err);
    if (r == 0)
        r = machine_tree_id(path, id, err);
    return r == 0 ? publish(w, vmm_fd, fd, id, err) : r;
}

static int prepare(struct machine_work *w, const char *data_dir, char id[static MACHINE_ID_LEN + 1],
                   struct err *err)
{
    int r = open_folder(w, data_dir, err);
    if (r == 0)
        r = machine_find_kernel(w, err);
    if (r < 0)
        return r;
    _cleanup_close_ int vmm = openat(w->dir_fd, "vmm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (vmm < 0)
        return err_sys(err, -errno, "open the folder of QEMU's folders");
    r = make_vmm(w, vmm, id, err);
    (void)fs_remove_tree(vmm, WORK_DIR,
                         NULL); /* there unless it was published; the next tries too */
    return r;
}

int machine_prepare(const char *data_dir, const struct machine_prepare_opts *opts,
                    char ret_id[static MACHINE_ID_LEN + 1], struct err *err)
{
    struct machine_work w = {.opts = opts, .dir_fd = -EBADF, .kernel_fd = -EBADF};
    char id[MACHINE_ID_LEN + 1];
    if (geteuid() != 0)
        return err_set(err, -EPERM, ERR_DENIED, "preparing machines needs root (use sudo)");
    int r = prepare(&w, data_dir, id, err);
    w.kernel_fd = fd_close(w.kernel_fd);
    w.dir_fd = fd_close(w.dir_fd); /* and the lock */
    if (r == 0)
        memcpy(ret_id, id, sizeof(id));
    return r;
}
