/*
 * The few modules that a machine needs to see its disks and its network; all else is in the kernel.
 * The list is made with the initramfs (src/image/machine_initrd.c): file names, each after what it
 * needs. The files go when they are loaded, because they are memory of the sandbox.
 */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <sys/syscall.h>

enum { LIST_MAX_BYTES = 4096, NAME_BYTES = 64 };

static int load(int dir_fd, struct slice line, struct err *err)
{
    char name[NAME_BYTES];
    if (slice_copy(line, name, sizeof(name)) < 0 || strchr(name, '/') != NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "the list holds what is no name of a file");
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_sys(err, -errno, "open %s", name);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "load %s", name);
    (void)unlinkat(dir_fd, name, 0); /* only saves memory */
    return 0;
}

int guest_load_modules(struct guest *g, struct err *err)
{
    (void)g;
    _cleanup_buf_ struct buf text = BUF_INIT(LIST_MAX_BYTES);
    _cleanup_close_ int dir = open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, -errno, "open /modules");
    int r = fs_read_file(dir, "list", &text, err);
    struct slice rest = buf_slice(&text), line;
    while (r == 0 && slice_next(&rest, '\n', &line))
        if (line.n > 0)
            r = load(dir, line, err);
    return r;
}
