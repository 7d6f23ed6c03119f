#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"
#include "base/num.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum { RECORD_MAX_BYTES = 128, STAT_MAX_BYTES = 4096, STAT_START_FIELD = 22, STAT_COMM_FIELD = 2 };

uint64_t process_start_time(pid_t pid)
{
    char path[32];
    _cleanup_buf_ struct buf text = BUF_INIT(STAT_MAX_BYTES);
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (pid <= 0 || fs_read_file(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    /* The name in parentheses may hold anything, but nothing behind it does. */
    const char *end = strrchr(buf_str(&text), ')');
    struct slice rest = slice_str(end), field = {0};
    for (unsigned i = STAT_COMM_FIELD; i <= STAT_START_FIELD; i++)
        if (!slice_next(&rest, ' ', &field))
            return 0;
    uint64_t start;
    return parse_u64(field, UINT64_MAX, &start) == 0 ? start : 0;
}

/* No fsync: after a crash of the host nothing of what it speaks of is left. */
int state_write(struct helper *h, const char *id, const struct sandbox_record *record,
                struct err *err)
{
    char text[RECORD_MAX_BYTES], tmp[40];
    int n = snprintf(text, sizeof(text), "%d %" PRIu64 " %u %u\n", (int)record->pid,
                     record->pid_start, record->slot, record->kind);
    (void)snprintf(tmp, sizeof(tmp), ".%s", id);
    _cleanup_close_ int fd =
        openat(h->state_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, text, (size_t)n);
    CRASH_POINT("priv.state.written");
    if (r == 0 && renameat(h->state_fd, tmp, h->state_fd, id) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlinkat(h->state_fd, tmp, 0);
        return err_sys(err, r, "note down a sandbox");
    }
    return 0;
}

int state_read(struct helper *h, const char *id, struct sandbox_record *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT(RECORD_MAX_BYTES);
    int r = fs_read_file(h->state_fd, id, &text, NULL);
    if (r < 0)
        return r;
    struct slice rest = slice_of(text.p, slice_find(buf_slice(&text), '\n')), field;
    uint64_t v[4] = {0}; /* those of earlier versions have three: they are containers */
    for (unsigned i = 0; i < ARRAY_LEN(v); i++)
        if (!slice_next(&rest, ' ', &field) ? i < 3 : parse_u64(field, UINT64_MAX, &v[i]) < 0)
            return -EBADMSG;
    if (v[0] == 0 || v[0] > INT_MAX || v[2] >= SLOTS_PER_INSTANCE || v[3] >= PRIV_KIND_MAX_)
        return -EBADMSG;
    *ret = (struct sandbox_record){(pid_t)v[0], v[1], (unsigned)v[2], (uint32_t)v[3]};
    return 0;
}

void state_remove(struct helper *h, const char *id)
{
    char tmp[40];
    (void)snprintf(tmp, sizeof(tmp), ".%s", id);
    (void)unlinkat(h->state_fd, tmp, 0);
    meters_remove_file(h, id);
    (void)unlinkat(h->state_fd, id, 0);
}
