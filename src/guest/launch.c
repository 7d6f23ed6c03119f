/*
 * The launch object on its way from silica-priv to silica-envd.
 *
 * It comes through the firmware's list of files (fw_cfg), where envd reads it again when the machine was
 * cloned. Root inside can read it too: it is the secret of his own machine alone. It is written by our own
 * helper in one form, without spaces and escapes, padded with newlines; its members are found by name
 * and not by a parser, envd parses it. The members for the descriptors are added at its end.
 */
#include "guest/guest.h"

#include "base/cleanup.h"
#include "base/codec.h"
#include "base/fs.h"
#include "base/num.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/random.h>
#include <sys/ioctl.h>

#define LAUNCH_FILE "/sys/firmware/qemu_fw_cfg/by_name/opt/silica/launch/raw"

enum { LAUNCH_FD = 3, ENTROPY_BYTES = 32, ADDED_MAX_BYTES = 512 };

/* The text behind "key": up to the next comma or brace. Values hold neither. */
static bool find_member(struct slice text, const char *key, struct slice *ret)
{
    size_t n = strlen(key);
    for (struct slice at = text; at.n > n; at = slice_from(at, 1)) {
        if (!slice_has_prefix(at, key))
            continue;
        struct slice value = slice_from(at, n);
        value = slice_sub(value, 0, slice_find(value, ','));
        *ret = slice_sub(value, 0, slice_find(value, '}'));
        return true;
    }
    return false;
}

static bool find_text(struct slice text, const char *key, struct slice *ret)
{
    struct slice v;
    if (!find_member(text, key, &v) || v.n < 2 || v.p[0] != '"' || v.p[v.n - 1] != '"')
        return false;
    *ret = slice_sub(v, 1, v.n - 2);
    return true;
}

int guest_parse_launch(struct guest *g, struct err *err)
{
    struct buf *b = &g->launch;
    struct slice v;
    while (b->n > 0 && b->p[b->n - 1] == '\n')
        b->n--;
    if (b->n < 3 || b->p[0] != '{' || b->p[b->n - 1] != '}') /* one member at least */
        return err_set(err, -EINVAL, ERR_INVALID, "it is no JSON object");
    if (!find_text(buf_slice(b), "\"sandboxId\":", &v) || v.n == 0 ||
        slice_copy(v, g->sandbox_id, sizeof(g->sandbox_id)) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "it names no sandbox");
    if (find_member(buf_slice(b), "\"pids\":", &v) && parse_u32(v, UINT32_MAX, &g->pids) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "pids is no number");
    b->p[--b->n] = '\0';
    return 0;
}

/* The kernel is told bytes that nobody else has: a machine made from a snapshot's memory needs them. */
static int add_entropy(const struct guest *g, struct err *err)
{
    struct {
        struct rand_pool_info head;
        unsigned char bytes[ENTROPY_BYTES];
    } pool = {.head = {.entropy_count = ENTROPY_BYTES * 8, .buf_size = ENTROPY_BYTES}};
    struct slice v;
    if (!find_text(buf_slice(&g->launch), "\"entropy\":", &v))
        return 0;
    if (hex_decode(v, pool.bytes, ENTROPY_BYTES) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "entropy is not %d bytes of hex", ENTROPY_BYTES);
    _cleanup_close_ int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
    int r = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
    explicit_bzero(&pool, sizeof(pool));
    return r < 0 ? err_sys(err, r, "give entropy to the kernel") : 0;
}

int guest_read_launch(struct guest *g, struct err *err)
{
    int r = buf_reserve(&g->launch, GUEST_LAUNCH_MAX_BYTES) == NULL ? -ENOMEM : 0;
    _cleanup_close_ int fd = open(LAUNCH_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "open it");
    if (r == 0) /* into memory that does not move, so that there is one copy to wipe */
        r = fs_read_fd(fd, &g->launch);
    if (r < 0)
        return err_sys(err, r, "read it");
    r = guest_parse_launch(g, err);
    return r == 0 ? add_entropy(g, err) : r;
}

int guest_complete_launch(const struct guest *g, struct buf *text)
{
    static const char *const members[GUEST_FDS] = {
        NULL, "memoryUsageFd", "cpuUsageFd", "memoryEventsFd", "pidsEventsFd", "ownMemoryFd"};
    (void)buf_put_slice(text, buf_slice(&g->launch)); /* sticky */
    (void)buf_printf(text, ",\"cgroupFds\":[%d]", LAUNCH_FD + 1);
    for (int i = 1; i < GUEST_FDS; i++)
        (void)buf_printf(text, ",\"%s\":%d", members[i], LAUNCH_FD + 1 + i);
    return buf_put_str(text, "}\n");
}

/* Descriptor 3 is a pipe with the object; it fits into an empty one. */
static int pass_text(struct guest *g, struct err *err)
{
    int fds[2];
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(GUEST_LAUNCH_MAX_BYTES + ADDED_MAX_BYTES);
    int r = buf_reserve(&text, GUEST_LAUNCH_MAX_BYTES + ADDED_MAX_BYTES) == NULL ? -ENOMEM : 0;
    if (r == 0)
        r = guest_complete_launch(g, &text);
    buf_wipe_done(&g->launch);
    if (r < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(err, r < 0 ? r : -errno, "make the pipe");
    int in = guest_park(fds[0]);
    r = in < 0 ? -errno : fs_write_all(fds[1], text.p, text.n);
    (void)fd_close(fds[1]);
    if (r == 0 && dup2(in, LAUNCH_FD) < 0)
        r = -errno;
    (void)fd_close(in);
    return r < 0 ? err_sys(err, r, "pass it") : 0;
}

int guest_pass_launch(struct guest *g, struct err *err)
{
    g->root_fd = fd_close(g->root_fd);
    if (close_range(LAUNCH_FD, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return err_sys(err, -errno, "close_range");
    int r = pass_text(g, err);
    for (int i = 0; r == 0 && i < GUEST_FDS; i++)
        if (dup2(g->group_fds[i], LAUNCH_FD + 1 + i) < 0)
            r = err_sys(err, -errno, "pass descriptor %d", LAUNCH_FD + 1 + i);
    return r;
}
