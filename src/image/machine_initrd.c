/*
 * The initramfs of a machine: silica-guest as its first process, silica-envd which that becomes, and the
 * modules in between. Not compressed: it is read from the host's page cache, and unpacking would cost
 * every start more than it saves.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/cpio.h"

#include <fcntl.h>
#include <stdio.h>

enum {
    INITRD_MAX_BYTES = 64 << 20,
    CONSOLE_MAJOR = 5,
    CONSOLE_MINOR = 1,
    NAME_BYTES = 128,
    LIST_MAX_BYTES = 4096,
};

static int add_file(struct cpio *c, const char *name, mode_t mode, int dir_fd, const char *source,
                    struct err *err)
{
    _cleanup_buf_ struct buf content = BUF_INIT(INITRD_MAX_BYTES);
    int r = fs_read_file(dir_fd, source, &content, err);
    if (r == 0 && cpio_file(c, name, mode, buf_slice(&content)) < 0)
        r = err_sys(err, -ENOBUFS, "add '%s' to the initramfs", name);
    return r;
}

/* Those that the kernel's package has; what is missing is in the kernel (machine_kernel.c checked). */
static int add_modules(struct cpio *c, int kernel_fd, struct err *err)
{
    _cleanup_buf_ struct buf list = BUF_INIT(LIST_MAX_BYTES);
    int r = 0;
    for (const char *const *m = machine_modules; r == 0 && *m != NULL; m++) {
        char from[NAME_BYTES], to[NAME_BYTES];
        const char *name = strrchr(*m, '/') + 1;
        if (fs_join(from, sizeof(from), "modules", name) < 0 ||
            fs_join(to, sizeof(to), "modules", name) < 0)
            return err_sys(err, -ENAMETOOLONG, "add '%s'", name);
        if (faccessat(kernel_fd, from, F_OK, 0) < 0)
            continue;
        (void)buf_printf(&list, "%s\n", name); /* sticky */
        r = add_file(c, to, 0644, kernel_fd, from, err);
    }
    if (r == 0 && (list.error < 0 || cpio_file(c, "modules/list", 0644, buf_slice(&list)) < 0))
        r = err_sys(err, -ENOBUFS, "list the modules");
    return r;
}

int machine_write_initrd(const struct machine_work *w, int dir_fd, const char *name,
                         struct err *err)
{
    static const char *const dirs[] = {"dev", "proc", "sys", "base", "layer", "root", "modules"};
    _cleanup_buf_ struct buf out = BUF_INIT(INITRD_MAX_BYTES);
    struct cpio c;
    cpio_begin(&c, &out);
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
        (void)cpio_dir(&c, dirs[i], 0755); /* sticky */
    (void)cpio_char_device(&c, "dev/console", 0600, CONSOLE_MAJOR, CONSOLE_MINOR);
    int r = add_file(&c, "init", 0755, AT_FDCWD, w->opts->guest, err);
    if (r == 0)
        r = add_file(&c, "silica-envd", 0755, AT_FDCWD, w->opts->envd, err);
    if (r == 0)
        r = add_modules(&c, w->kernel_fd, err);
    if (r == 0 && cpio_end(&c) < 0)
        r = err_sys(err, out.error, "make the initramfs");
    return r == 0 ? machine_write(dir_fd, name, buf_slice(&out), err) : r;
}
