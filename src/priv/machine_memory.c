#include "priv/machine_memory.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

enum { PAGE_BYTES = 4096, PIECE_BYTES = 1 << 20 };

/* Runs of empty pages in what was read from `at` on. */
static int punch_piece(int fd, const char *piece, size_t n, off_t at)
{
    static const char zeros[PAGE_BYTES];
    size_t start = 0;
    for (size_t i = 0; i <= n; i += PAGE_BYTES) {
        bool empty = i < n && n - i >= PAGE_BYTES && memcmp(piece + i, zeros, PAGE_BYTES) == 0;
        if (empty)
            continue;
        if (i > start && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                   at + (off_t)start, (off_t)(i - start)) < 0)
            return -errno;
        start = i + PAGE_BYTES;
    }
    return 0;
}

static int thin_extent(int fd, char *piece, off_t from, off_t to)
{
    while (from < to) {
        size_t want = to - from < PIECE_BYTES ? (size_t)(to - from) : PIECE_BYTES;
        ssize_t n = pread(fd, piece, want, from);
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        int r = punch_piece(fd, piece, (size_t)n, from);
        if (r < 0)
            return r;
        from += n;
    }
    return 0;
}

/* The next extent with data from `at` on. -ENXIO: there is none. */
static int next_extent(int fd, off_t at, off_t *ret_from, off_t *ret_to)
{
    *ret_from = lseek(fd, at, SEEK_DATA);
    if (*ret_from < 0)
        return -errno;
    *ret_to = lseek(fd, *ret_from, SEEK_HOLE);
    return *ret_to < 0 ? -errno : 0;
}

int memory_thin_out(int fd)
{
    _cleanup_free_ char *piece = malloc(PIECE_BYTES);
    off_t from = 0, to = 0;
    int r = piece == NULL ? -ENOMEM : 0;
    while (r == 0 && (r = next_extent(fd, to, &from, &to)) == 0)
        r = thin_extent(fd, piece, from, to);
    return r == -ENXIO ? 0 : r;
}

static int copy_extent(int from_fd, int to_fd, off_t from, off_t to)
{
    if (lseek(to_fd, from, SEEK_SET) < 0)
        return -errno;
    while (from < to) {
        ssize_t n = sendfile(to_fd, from_fd, &from, (size_t)(to - from));
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
    }
    return 0;
}

int memory_seal(int file_fd, uint64_t bytes, int *ret_fd)
{
    struct stat st;
    _cleanup_close_ int fd = memfd_create("silica-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fstat(file_fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size != bytes)
        return -EBADMSG;
    off_t from = 0, to = 0;
    int r = 0;
    while (r == 0 && (r = next_extent(file_fd, to, &from, &to)) == 0)
        r = copy_extent(file_fd, fd, from, to);
    if (r < 0 && r != -ENXIO)
        return r;
    if (fchmod(fd, 0666) < 0 || /* its one way in is the descriptor */
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}
