/*
 * Files of the folder that QEMU runs in. Sources are the host's own packages, read through symbolic
 * links; what is made is plain: regular files and folders of root with modes that are named here.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

bool machine_is_plain_path(struct slice path)
{
    struct slice part;
    if (path.n < 2 || path.n >= PATH_MAX || path.p[0] != '/')
        return false;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] >= 0x7f)
            return false;
    path = slice_from(path, 1);
    while (slice_next(&path, '/', &part))
        if (part.n == 0 || slice_eq_str(part, ".") || slice_eq_str(part, ".."))
            return false;
    return true;
}

/* "(0x00007f1c…)" */
static bool is_address(struct slice s)
{
    if (!slice_has_prefix(s, "(0x") || !slice_has_suffix(s, ")") || s.n < 5)
        return false;
    for (size_t i = 3; i < s.n - 1; i++)
        if (strchr("0123456789abcdef", s.p[i]) == NULL || s.p[i] == '\0')
            return false;
    return true;
}

int machine_parse_library(struct slice line, char path[static PATH_MAX])
{
    struct slice word[4] = {0}, rest = slice_trim(line);
    size_t n = 0;
    while (n < ARRAY_LEN(word) && slice_next(&rest, ' ', &word[n]))
        n++;
    if (rest.p != NULL) /* no line has more than four words */
        return -EINVAL;
    if (n == 2 && is_address(word[1])) { /* the vdso, which is no file; or the loader itself */
        if (!machine_is_plain_path(word[0]))
            return memchr(word[0].p, '/', word[0].n) != NULL ? -EINVAL : 0;
        return slice_copy(word[0], path, PATH_MAX) < 0 ? -EINVAL : 1;
    }
    if (n != 4 || !slice_eq_str(word[1], "=>"))
        return -EINVAL;
    if (slice_eq_str(word[2], "not") && slice_eq_str(word[3], "found"))
        return -ENOENT;
    if (!machine_is_plain_path(word[2]) || !is_address(word[3]))
        return -EINVAL;
    return slice_copy(word[2], path, PATH_MAX) < 0 ? -EINVAL : 1;
}

int machine_make_dirs(int dir_fd, const char *path, struct err *err)
{
    char tmp[PATH_MAX];
    struct slice rest = slice_str(path), part;
    while (slice_next(&rest, '/', &part)) {
        size_t n = (size_t)(part.p + part.n - path);
        if (slice_copy(slice_of(path, n), tmp, sizeof(tmp)) < 0)
            return err_sys(err, -ENAMETOOLONG, "make a folder");
        if (mkdirat(dir_fd, tmp, 0755) == 0 ? fchmodat(dir_fd, tmp, 0755, 0) < 0 /* the umask */
                                            : errno != EEXIST)
            return err_sys(err, -errno, "make '%s'", tmp);
    }
    return 0;
}

static int make_parent(int dir_fd, const char *path, struct err *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return 0;
    if (slice_copy(slice_of(path, (size_t)(slash - path)), dir, sizeof(dir)) < 0)
        return err_sys(err, -ENAMETOOLONG, "make the folder of '%s'", path);
    return machine_make_dirs(dir_fd, dir, err);
}

/* Within the kernel; a file that shrinks meanwhile ends early, one that grows is cut. */
static int copy_bytes(int in, int out, uint64_t n)
{
    while (n > 0) {
        ssize_t k = sendfile(out, in, NULL, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? -errno : -EIO;
        n -= (uint64_t)k;
    }
    return 0;
}

int machine_copy(const char *source, int dir_fd, const char *path, mode_t mode, struct err *err)
{
    struct stat st;
    _cleanup_close_ int in = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in < 0 || fstat(in, &st) < 0)
        return err_sys(err, -errno, "open %s", source);
    if (!S_ISREG(st.st_mode) || st.st_size > MACHINE_FILE_MAX_BYTES)
        return err_set(err, -EINVAL, ERR_INVALID, "%s is no file of at most %d MiB", source,
                       MACHINE_FILE_MAX_BYTES >> 20);
    int r = make_parent(dir_fd, path, err);
    if (r < 0)
        return r;
    _cleanup_close_ int out =
        openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return err_sys(err, -errno, "create '%s'", path);
    r = copy_bytes(in, out, (uint64_t)st.st_size);
    if (r == 0 && (fchmod(out, mode) < 0 || fsync(out) < 0))
        r = -errno;
    return r < 0 ? err_sys(err, r, "copy %s", source) : 0;
}

int machine_write(int dir_fd, const char *name, struct slice content, struct err *err)
{
    _cleanup_close_ int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "create '%s'", name);
    int r = fs_write_all(fd, content.p, content.n);
    if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
        r = -errno;
    return r < 0 ? err_sys(err, r, "write '%s'", name) : 0;
}
