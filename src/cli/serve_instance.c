/*
 * The instance number: names, addresses and uids of one server are divided by it, so no two servers
 * may share one, and a server must find its own again as long as sandboxes of it may live.
 *
 * DATA/instance holds the number and is locked while a server runs on the folder;
 * /run/silica/instance-N.lock is locked while a server uses N and holds the name of its data folder,
 * so that a number is not given away while sandboxes of a stopped server live on.
 */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/num.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char run_dir[] = "/run/silica";

/* True when DATA/sandboxes has an entry: something of that server may still live. */
static bool has_sandboxes(const char *data)
{
    char path[PATH_MAX];
    if (fs_join(path, sizeof(path), data, "sandboxes") != 0)
        return true;
    DIR *d = opendir(path);
    if (d == NULL)
        return false;
    bool found = false;
    for (const struct dirent *e; !found && (e = readdir(d)) != NULL;)
        found = e->d_name[0] != '.';
    (void)closedir(d);
    return found;
}

/* Content of a small file without its newline; "" when it cannot be read. */
static void read_line(int fd, char *dst, size_t cap)
{
    ssize_t n = pread(fd, dst, cap - 1, 0);
    dst[n > 0 ? n : 0] = '\0';
    dst[strcspn(dst, "\n")] = '\0';
}

static int write_line(int fd, const char *text)
{
    char line[PATH_MAX + 2];
    int n = snprintf(line, sizeof(line), "%s\n", text);
    if (n < 0 || (size_t)n >= sizeof(line))
        return -ENAMETOOLONG;
    if (ftruncate(fd, 0) != 0 || pwrite(fd, line, (size_t)n, 0) != n || fsync(fd) != 0)
        return errno != 0 ? -errno : -EIO;
    return 0;
}

/* The lock of number n, or -EWOULDBLOCK when it belongs to somebody else. */
static int try_number(unsigned n, const char *data, int *ret_fd, struct err *err)
{
    char path[64], owner[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/instance-%u.lock", run_dir, n);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return -EWOULDBLOCK;
    read_line(fd, owner, sizeof(owner));
    if (owner[0] != '\0' && strcmp(owner, data) != 0 && has_sandboxes(owner))
        return -EWOULDBLOCK;
    int r = write_line(fd, data);
    if (r < 0)
        return err_sys(err, r, "write %s", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int take_remembered(const char *text, const char *data, struct instance *i, struct err *err)
{
    uint32_t n;
    if (text[0] == '\0' || parse_u32(slice_str(text), INSTANCE_MAX - 1, &n) != 0)
        return -ENOENT;
    int r = try_number(n, data, &i->lock_fd, err);
    if (r == 0)
        i->number = n;
    if (r == -EWOULDBLOCK && has_sandboxes(data))
        return err_set(err, -EBUSY, ERR_CONFLICT,
                       "instance number %u of %s is in use by another server, and sandboxes of "
                       "this one may live on; stop the other server first",
                       n, data);
    return r == -EWOULDBLOCK ? -ENOENT : r;
}

static int take_any(const char *data, struct instance *i, struct err *err)
{
    for (unsigned n = 0; n < INSTANCE_MAX; n++) {
        int r = try_number(n, data, &i->lock_fd, err);
        if (r == 0)
            i->number = n;
        if (r != -EWOULDBLOCK)
            return r;
    }
    return err_set(err, -ENOSPC, ERR_LIMIT, "all %d instance numbers of this host are in use",
                   INSTANCE_MAX);
}

int instance_take(const char *data, struct instance *ret, struct err *err)
{
    char path[PATH_MAX], text[32];
    struct instance i = {.lock_fd = -EBADF, .data_fd = -EBADF};
    int r = fs_mkdir_all(run_dir, 0755, err);
    if (r < 0)
        return r;
    if (fs_join(path, sizeof(path), data, "instance") != 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    i.data_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    /* whoever may read it could lock it */
    if (i.data_fd < 0 || fchmod(i.data_fd, 0600) != 0)
        return err_sys(err, -errno, "open %s", path);
    if (flock(i.data_fd, LOCK_EX | LOCK_NB) != 0) {
        instance_release(&i);
        return err_set(err, -EBUSY, ERR_CONFLICT, "a server already runs on %s", data);
    }
    read_line(i.data_fd, text, sizeof(text));
    r = take_remembered(text, data, &i, err);
    if (r == -ENOENT)
        r = take_any(data, &i, err);
    if (r == 0) {
        (void)snprintf(text, sizeof(text), "%u", i.number);
        r = write_line(i.data_fd, text);
        if (r < 0)
            (void)err_sys(err, r, "write %s", path);
    }
    if (r < 0) {
        instance_release(&i);
        return r;
    }
    *ret = i;
    return 0;
}

void instance_release(struct instance *i)
{
    i->lock_fd = fd_close(i->lock_fd);
    i->data_fd = fd_close(i->data_fd);
}
