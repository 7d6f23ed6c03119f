/* The machine's name, and the files that say it and where names are asked for: as in a container. */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum { FILE_TEXT_BYTES = 256 };

/* A new file in place of whatever has that name in the template, links included. */
static int put_file(int dir_fd, const char *name, const char *content, struct err *err)
{
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, -errno, "replace /etc/%s", name);
    _cleanup_close_ int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : fs_write_all(fd, content, strlen(content));
    return r < 0 ? err_sys(err, r, "write /etc/%s", name) : 0;
}

int guest_write_etc(struct guest *g, struct err *err)
{
    char hosts[FILE_TEXT_BYTES], resolv[FILE_TEXT_BYTES];
    const uint32_t a = SANDBOX_GATEWAY;
    (void)snprintf(hosts, sizeof(hosts), /* fits: an id has at most GUEST_ID_BYTES */
                   "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tip6-localhost ip6-loopback\n",
                   g->sandbox_id);
    (void)snprintf(resolv, sizeof(resolv), "nameserver %u.%u.%u.%u\n", a >> 24, a >> 16 & 255,
                   a >> 8 & 255, a & 255);
    if (sethostname(g->sandbox_id, strlen(g->sandbox_id)) < 0)
        return err_sys(err, -errno, "set the host's name");
    if (mkdirat(g->root_fd, "etc", 0755) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "make /etc");
    _cleanup_close_ int etc =
        openat(g->root_fd, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (etc < 0)
        return err_sys(err, -errno, "open /etc of the template");
    int r = put_file(etc, "hosts", hosts, err);
    if (r == 0)
        r = put_file(etc, "resolv.conf", resolv, err);
    return r == 0 ? put_file(etc, "hostname", g->sandbox_id, err) : r;
}
