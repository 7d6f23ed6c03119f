/*
 * The files of a sandbox: the folder DATA/sandboxes/<id>, and its disk (disk/disk.h).
 *
 * The folder says that the sandbox's files are there; what it holds is removed with it. Sandboxes of
 * a version without disks have their writable layer in it.
 */
#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"

#include <sys/stat.h>

int files_make(struct sandbox *s, uint64_t disk_bytes, int *ret_layer_fd, struct err *err)
{
    struct helper *h = s->helper;
    int r = disks_room(&h->disks, err);
    if (r < 0)
        return r;
    if (mkdirat(h->sandboxes_fd, s->id, 0700) < 0)
        return err_sys(err, -errno, "make the folder of a sandbox");
    s->parts |= PART_FILES;
    CRASH_POINT("priv.container.folder");
    return disk_create(&h->disks, s->id, disk_bytes, ret_layer_fd, err);
}

int files_remove(int sandboxes_fd, int disks_fd, const char *id, struct err *err)
{
    int r = disk_remove(disks_fd, id, DISK_RELEASE_MS);
    if (r < 0)
        return err_sys(err, r, "remove the disk of %s", id);
    CRASH_POINT("priv.files.disk-removed");
    return fs_remove_tree(sandboxes_fd, id, err);
}
