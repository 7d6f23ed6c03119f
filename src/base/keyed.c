#include "base/keyed.h"

#include "base/num.h"

#include <errno.h>
#include <unistd.h>

int keyed_u64(struct slice text, const char *key, uint64_t *ret)
{
    struct slice line;
    while (slice_next(&text, '\n', &line)) {
        size_t blank = slice_find(line, ' ');
        if (!slice_eq_str(slice_sub(line, 0, blank), key))
            continue;
        return parse_u64(slice_from(line, blank + 1), UINT64_MAX, ret) < 0 ? -EBADMSG : 0;
    }
    return -ENOENT;
}

int keyed_read_u64(int fd, const char *key, uint64_t *ret)
{
    char text[KEYED_FILE_MAX_BYTES];
    ssize_t n;
    do
        n = pread(fd, text, sizeof(text), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == sizeof(text) ? -EBADMSG : keyed_u64(slice_of(text, (size_t)n), key, ret);
}
