/*
 * errors-doc --write FILE | --check FILE: docs/errors.md from the error table.
 * --check exits with 1 and says so when the file is not what --write would leave.
 */
#include "api/error.h"
#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>

enum { DOC_MAX_BYTES = 65536 };

static int write_doc(const char *path, struct slice text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fs_write_all(fd, text.p, text.n);
}

int main(int argc, char **argv)
{
    _cleanup_buf_ struct buf want = BUF_INIT(DOC_MAX_BYTES), have = BUF_INIT(DOC_MAX_BYTES);
    struct err err = {0};
    if (argc != 3 || api_error_doc(&want) < 0) {
        (void)fprintf(stderr, "usage: errors-doc --write FILE | --check FILE\n");
        return 2;
    }
    if (slice_eq_str(slice_str(argv[1]), "--write"))
        return write_doc(argv[2], buf_slice(&want)) < 0;
    if (fs_read_file(AT_FDCWD, argv[2], &have, &err) < 0) {
        (void)fprintf(stderr, "errors-doc: %s\n", err.msg);
        return 1;
    }
    if (slice_eq(buf_slice(&want), buf_slice(&have)))
        return 0;
    (void)fprintf(stderr, "errors-doc: %s is out of date, run errors-doc --write\n", argv[2]);
    return 1;
}
