/*
 * A template's root file system as a disk that all its machines read.
 *
 * The file appears by rename when it is on disk, is read-only and never changed. mke2fs fills it, its
 * features all named, as in disk/format.c: no journal and no room for root, because nobody writes to it.
 * It is sparse: that it is made a little too large costs nothing. One at a time makes it, by a lock on
 * the template's folder.
 */
#include "image/machine.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"
#include "image/run.h"

#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char IMAGE[] = "rootfs.img", NEW_IMAGE[] = ".rootfs.img.new";

enum { BLOCK = 4096, INODE_BYTES = 256, SLACK_INODES = 1024, SLACK_DIVISOR = 8 };
static const uint64_t SLACK_BYTES = 16u << 20;

static const char features[] =
    "none,extent,filetype,sparse_super,large_file,huge_file,dir_index,ext_attr,dir_nlink,"
    "extra_isize,flex_bg,64bit,metadata_csum";
static const char extended[] = "lazy_itable_init=1,nodiscard,root_owner=0:0";

struct sizes {
    uint64_t bytes, inodes;
};

static void close_walk(FTS **f)
{
    if (*f != NULL)
        (void)fts_close(*f); /* opened for reading */
}

/* What has several names is counted for each: too much, which costs nothing. */
static int measure(const char *root, struct sizes *ret, struct err *err)
{
    char copy[PATH_MAX];
    if (slice_copy(slice_str(root), copy, sizeof(copy)) < 0)
        return err_sys(err, -ENAMETOOLONG, "measure the template");
    char *const tops[] = {copy, NULL};
    _cleanup_(close_walk)
    FTS *f = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *e;
    if (f == NULL)
        return err_sys(err, -errno, "measure the template");
    while ((errno = 0, e = fts_read(f)) != NULL) {
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            return err_sys(err, -e->fts_errno, "measure '%s'", e->fts_path);
        if (e->fts_info == FTS_DP)
            continue;
        ret->inodes++;
        ret->bytes += ((uint64_t)e->fts_statp->st_size + BLOCK - 1) / BLOCK * BLOCK;
    }
    return errno != 0 ? err_sys(err, -errno, "measure the template") : 0;
}

static int run_mke2fs(const char *root, const char *image, const struct sizes *s, struct err *err)
{
    char inodes[24], blocks[24];
    uint64_t n = s->inodes + s->inodes / SLACK_DIVISOR + SLACK_INODES;
    uint64_t bytes = s->bytes + s->bytes / SLACK_DIVISOR + n * INODE_BYTES + SLACK_BYTES;
    (void)snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)n); /* both fit */
    (void)snprintf(blocks, sizeof(blocks), "%llu", (unsigned long long)(bytes / BLOCK));
    const char *const argv[] = {"env",    "MKE2FS_CONFIG=/dev/null",
                                "mke2fs", "-qF",
                                "-text4", "-b4096",
                                "-I256",  "-m0",
                                "-N",     inodes,
                                "-O",     features,
                                "-E",     extended,
                                "-d",     root,
                                image,    blocks,
                                NULL};
    const struct image_run run = {.argv = argv, .cancel_fd = -1};
    int r = image_run(&run, err);
    if (r == -ENOENT)
        return err_set(err, r, ERR_NOT_FOUND,
                       "mke2fs is not installed (apt-get install e2fsprogs)");
    return r;
}

/* The folder that every new ext4 has is none of the template's. */
static int remove_lost_found(const char *image, struct err *err)
{
    const char *const argv[] = {"debugfs", "-w", "-R", "rmdir /lost+found", image, NULL};
    const struct image_run run = {.argv = argv, .cancel_fd = -1};
    return image_run(&run, err);
}

static int make(int dir_fd, const char *dir, struct err *err)
{
    char root[PATH_MAX], image[PATH_MAX];
    struct sizes sizes = {0};
    if (fs_join(root, sizeof(root), dir, "rootfs") < 0 ||
        fs_join(image, sizeof(image), dir, NEW_IMAGE) < 0)
        return err_sys(err, -ENAMETOOLONG, "name the disk");
    if (unlinkat(dir_fd, NEW_IMAGE, 0) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "remove '%s'", NEW_IMAGE);
    int r = measure(root, &sizes, err);
    if (r < 0)
        return r;
    _cleanup_close_ int fd =
        openat(dir_fd, NEW_IMAGE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "create '%s'", NEW_IMAGE);
    r = run_mke2fs(root, image, &sizes, err);
    if (r == 0)
        r = remove_lost_found(image, err);
    if (r == 0 && (fchmod(fd, 0444) < 0 || fsync(fd) < 0 ||
                   renameat(dir_fd, NEW_IMAGE, dir_fd, IMAGE) < 0 || fsync(dir_fd) < 0))
        r = err_sys(err, -errno, "publish '%s'", IMAGE);
    if (r < 0)
        (void)unlinkat(dir_fd, NEW_IMAGE, 0); /* the next one removes it too */
    return r;
}

int machine_base_image(const char *templates_dir, const char *template_id, struct err *err)
{
    char dir[PATH_MAX];
    struct stat st;
    if (!id_is_template(template_id))
        return err_set(err, -EINVAL, ERR_INVALID, "not a template's id");
    if (fs_join(dir, sizeof(dir), templates_dir, template_id) < 0)
        return err_sys(err, -ENAMETOOLONG, "open the template '%s'", template_id);
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return err_sys(err, -errno, "open the template '%s'", template_id);
    if (fstatat(fd, IMAGE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISREG(st.st_mode) ? 0
                                   : err_set(err, -EINVAL, ERR_INVALID,
                                             "%s of template '%s' is no file", IMAGE, template_id);
    if (fstatat(fd, "rootfs", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
        st.st_uid != 0)
        return err_set(err, -EPERM, ERR_DENIED,
                       "the root file system of template '%s' is no folder of root", template_id);
    int r = make(fd, dir, err);
    return r == 0 ? 0 : err_wrap(err, "make the disk of template '%s'", template_id);
}
