/*
 * The folder that QEMU gets as its root: itself, what its dynamic loader says it links, its firmware,
 * and what the machine boots. Nothing in it is a link, a device or setuid, nothing else of the host is
 * there: an emulator that is taken over finds no program to go on with.
 *
 * Which files there are was seen with strace: QEMU of Debian 12 has its translator (TCG) in a module of
 * its own, reads three pieces of firmware for the machine `pc` without video, and asks for no other
 * file. Libraries are at the paths that the loader asks for, also where the host has links there.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define QEMU   "/usr/bin/qemu-system-x86_64"
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define TCG    "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so"

enum { LIBRARIES_MAX_BYTES = 65536 };

/* What the loader said: paths, each with a newline. */
struct libraries {
    struct buf paths;
    int error;
    char bad[128]; /* the line that was not understood, or the library that is missing */
};

static void on_line(void *user, struct slice line)
{
    struct libraries *l = user;
    char path[PATH_MAX];
    int r = l->error < 0 ? 0 : machine_parse_library(line, path);
    if (r < 0) {
        l->error = r;
        (void)snprintf(l->bad, sizeof(l->bad), "%.*s", (int)line.n, line.p); /* cut on purpose */
    } else if (r > 0 && buf_put_str(&l->paths, path) == 0) {
        (void)buf_put_char(&l->paths, '\n'); /* sticky */
    }
}

static int list_libraries(const char *program, struct libraries *l, struct err *err)
{
    const char *const argv[] = {LOADER, "--list", program, NULL};
    struct image_run run = {.argv = argv, .cancel_fd = -1, .line = on_line, .user = l};
    int r = image_run(&run, err);
    if (r == 0 && l->paths.error < 0)
        r = err_sys(err, l->paths.error, "list the libraries of %s", program);
    if (r == 0 && l->error < 0)
        r = err_set(err, l->error, ERR_INTERNAL, "the libraries of %s: %s", program, l->bad);
    return r;
}

/* To the same path in the folder; once. */
static int copy_same(int dir_fd, const char *path, mode_t mode, struct err *err)
{
    const char *inside = path + 1;
    if (faccessat(dir_fd, inside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return machine_copy(path, dir_fd, inside, mode, err);
}

static int copy_libraries(int dir_fd, const struct libraries *l, struct err *err)
{
    struct slice rest = buf_slice(&l->paths), line;
    char path[PATH_MAX];
    int r = 0;
    while (r == 0 && slice_next(&rest, '\n', &line))
        if (line.n > 0 && slice_copy(line, path, sizeof(path)) == 0) /* it fitted before */
            r = copy_same(dir_fd, path, 0644, err);
    return r;
}

static int copy_program(int dir_fd, const char *program, mode_t mode, struct err *err)
{
    struct libraries l = {.paths = BUF_INIT(LIBRARIES_MAX_BYTES)};
    int r = list_libraries(program, &l, err);
    if (r == 0)
        r = copy_same(dir_fd, program, mode, err);
    if (r == 0)
        r = copy_libraries(dir_fd, &l, err);
    buf_done(&l.paths);
    return r;
}

static int copy_qemu(int dir_fd, struct err *err)
{
    if (access(QEMU, X_OK) < 0)
        return err_set(err, -ENOENT, ERR_NOT_FOUND,
                       QEMU " is not there, machines need it; as root: apt-get install "
                            "--no-install-recommends qemu-system-x86");
    int r = copy_same(dir_fd, LOADER, 0755, err);
    if (r == 0)
        r = copy_program(dir_fd, QEMU, 0755, err);
    if (r == 0 && access(TCG, F_OK) == 0) /* without it: built in, or acceleration by KVM only */
        r = copy_program(dir_fd, TCG, 0644, err);
    return r;
}

static int copy_firmware(int dir_fd, struct err *err)
{
    static const char *const names[] = {"bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin"};
    static const char *const folders[] = {"/usr/share/seabios", "/usr/share/qemu"};
    char from[PATH_MAX], to[PATH_MAX];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t k = 0;
        for (; k < ARRAY_LEN(folders); k++) {
            (void)fs_join(from, sizeof(from), folders[k], names[i]); /* fits */
            if (access(from, R_OK) == 0)
                break;
        }
        if (k == ARRAY_LEN(folders))
            return err_set(err, -ENOENT, ERR_NOT_FOUND,
                           "the firmware %s is not there; as root: apt-get install "
                           "--no-install-recommends qemu-system-x86 seabios",
                           names[i]);
        (void)fs_join(to, sizeof(to), "usr/share/qemu", names[i]); /* fits */
        int r = machine_copy(from, dir_fd, to, 0644, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int copy_kernel(int kernel_fd, int dir_fd, struct err *err)
{
    char path[64];
    _cleanup_close_ int fd = openat(kernel_fd, "vmlinuz", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_sys(err, -errno, "open the prepared kernel");
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* fits */
    return machine_copy(path, dir_fd, "guest/kernel", 0644, err);
}

int machine_fill_vmm(const struct machine_work *w, int dir_fd, struct err *err)
{
    static const char *const dirs[] = {"proc", "dev", "run", "tmp", "guest"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(dirs); i++)
        r = machine_make_dirs(dir_fd, dirs[i], err);
    if (r == 0)
        r = copy_qemu(dir_fd, err);
    if (r == 0)
        r = copy_firmware(dir_fd, err);
    if (r == 0)
        r = copy_kernel(w->kernel_fd, dir_fd, err);
    return r == 0 ? machine_write_initrd(w, dir_fd, "guest/initrd", err) : r;
}
