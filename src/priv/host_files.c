#include "priv/host_files.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"

#include <fcntl.h>
#include <sys/sysinfo.h>

enum { NUMBER_MAX_BYTES = 64 };

static const char file_max[] = "/proc/sys/fs/file-max";

static int read_number(uint64_t *ret, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NUMBER_MAX_BYTES);
    int r = fs_read_file(AT_FDCWD, file_max, &text, err);
    if (r < 0)
        return r;
    struct slice s = buf_slice(&text);
    return parse_u64(slice_sub(s, 0, slice_find(s, '\n')), UINT64_MAX, ret) < 0
               ? err_set(err, -EBADMSG, ERR_INTERNAL, "%s holds no number", file_max)
               : 0;
}

int host_files_raise(uint64_t *ret_was, uint64_t *ret_is, struct err *err)
{
    struct sysinfo info;
    uint64_t now;
    char text[NUMBER_MAX_BYTES];
    int r = sysinfo(&info) < 0 ? err_sys(err, -errno, "ask for the host's memory")
                               : read_number(&now, err);
    if (r < 0)
        return r;
    uint64_t want = (uint64_t)info.totalram * info.mem_unit / BYTES_OF_OPEN_FILE;
    if (now >= want) {
        *ret_was = 0;
        return 0;
    }
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)want);
    _cleanup_close_ int fd = open(file_max, O_WRONLY | O_CLOEXEC);
    r = fd < 0 ? -errno : fs_write_all(fd, text, (size_t)n);
    if (r < 0)
        return err_sys(err, r, "write %s", file_max);
    *ret_was = now;
    *ret_is = want;
    return 0;
}
