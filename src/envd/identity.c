/*
 * Whatever stands in a file's place is taken away first, so that nothing is written through a link
 * that a template has there; /etc itself is opened without following one.
 */
#include "envd/identity.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { ETC_FILE_BYTES = 256, MACHINE_ID_MAX_BYTES = 64 };

void identity_write_marks(int root_fd, const char *sandbox_id, const char *template_id)
{
    (void)mkdirat(root_fd, "run/e2b", 0755);
    _cleanup_close_ int dir = openat(root_fd, "run/e2b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return; /* the image may be read-only */
    (void)fs_put_file(dir, ".E2B_SANDBOX", SLICE_LIT("true"), 0444);
    (void)fs_put_file(dir, ".E2B_SANDBOX_ID", slice_str(sandbox_id), 0644);
    (void)fs_put_file(dir, ".E2B_TEMPLATE_ID", slice_str(template_id), 0644);
}

static int open_etc(int root_fd)
{
    if (mkdirat(root_fd, "etc", 0755) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(root_fd, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int identity_write_etc(int root_fd, const char *sandbox_id, struct err *err)
{
    char hosts[ETC_FILE_BYTES];
    _cleanup_close_ int etc = open_etc(root_fd);
    if (etc < 0)
        return err_sys(err, etc, "open /etc");
    (void)snprintf(hosts, sizeof(hosts),
                   "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tip6-localhost ip6-loopback\n",
                   sandbox_id);
    int r = fs_put_file(etc, "hosts", slice_str(hosts), 0644);
    if (r < 0)
        return err_sys(err, r, "write /etc/hosts");
    r = fs_put_file(etc, "hostname", slice_str(sandbox_id), 0644);
    return r < 0 ? err_sys(err, r, "write /etc/hostname") : 0;
}

/* Whether the file is there, and ours to replace. */
static bool is_replaceable(int etc, const char *known)
{
    struct stat st;
    _cleanup_buf_ struct buf text = BUF_INIT(MACHINE_ID_MAX_BYTES);
    _cleanup_close_ int fd =
        openat(etc, "machine-id", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || fs_read_fd(fd, &text) < 0)
        return false;
    struct slice id = slice_sub(buf_slice(&text), 0, slice_find(buf_slice(&text), '\n'));
    return id.n == 0 || slice_eq_str(id, known);
}

int identity_write_machine_id(int root_fd, char known[static MACHINE_ID_DIGITS + 1],
                              struct err *err)
{
    char line[MACHINE_ID_DIGITS + 1];
    _cleanup_close_ int etc = open_etc(root_fd);
    if (etc < 0)
        return err_sys(err, etc, "open /etc");
    if (!is_replaceable(etc, known))
        return 0;
    random_hex(line, MACHINE_ID_DIGITS / 2);
    line[MACHINE_ID_DIGITS] = '\n';
    int r = fs_put_file(etc, "machine-id", slice_of(line, sizeof(line)), 0444);
    if (r < 0)
        return err_sys(err, r, "write /etc/machine-id");
    memcpy(known, line, MACHINE_ID_DIGITS);
    known[MACHINE_ID_DIGITS] = '\0';
    return 0;
}
