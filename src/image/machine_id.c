/*
 * The name of a tree of files is what is in it: SHA-256 over the path, the size and the content of every
 * file, and the path of every folder, where names of one folder follow each other in the order of their
 * bytes. Anything else than files and folders has no place in such a tree.
 */
#include "image/machine_internal.h"

#include "base/cleanup.h"
#include "base/codec.h"
#include "base/num.h"

#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <sys/stat.h>

enum { READ_BYTES = 65536 };

static void free_context(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static void close_walk(FTS **f)
{
    if (*f != NULL)
        (void)fts_close(*f); /* opened for reading */
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add(EVP_MD_CTX *c, const void *p, size_t n)
{
    return EVP_DigestUpdate(c, p, n) == 1 ? 0 : -EIO;
}

/* Sizes stand before contents, so that no two trees are the same row of bytes. */
static int add_head(EVP_MD_CTX *c, char kind, const char *path, uint64_t size)
{
    unsigned char be[8];
    store_be32(be, (uint32_t)(size >> 32));
    store_be32(be + 4, (uint32_t)size);
    int r = add(c, &kind, 1);
    if (r == 0)
        r = add(c, path, strlen(path) + 1);
    return r == 0 ? add(c, be, sizeof(be)) : r;
}

static int add_file(EVP_MD_CTX *c, const FTSENT *e, const char *path)
{
    static char buf[READ_BYTES]; /* commands only: one thread */
    uint64_t left = (uint64_t)e->fts_statp->st_size;
    _cleanup_close_ int fd = open(e->fts_accpath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int r = fd < 0 ? -errno : add_head(c, 'f', path, left);
    while (r == 0 && left > 0) {
        ssize_t n = read(fd, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        r = n <= 0 ? (n < 0 ? -errno : -EIO) : add(c, buf, (size_t)n);
        left -= n > 0 ? (uint64_t)n : 0;
    }
    return r;
}

static int add_entry(EVP_MD_CTX *c, const FTSENT *e, const char *path)
{
    switch (e->fts_info) {
    case FTS_D:
        return add_head(c, 'd', path, 0);
    case FTS_DP:
        return 0;
    case FTS_F:
        return add_file(c, e, path);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        return -e->fts_errno;
    default:
        return -EINVAL;
    }
}

static int walk(FTS *f, size_t top, EVP_MD_CTX *c, struct err *err)
{
    FTSENT *e;
    while ((errno = 0, e = fts_read(f)) != NULL) {
        int r = add_entry(c, e, e->fts_path + top);
        if (r < 0)
            return err_sys(err, r, "read '%s'", e->fts_path);
    }
    return errno != 0 ? err_sys(err, -errno, "read the folder") : 0;
}

int machine_tree_id(const char *path, char ret[static MACHINE_ID_LEN + 1], struct err *err)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char copy[PATH_MAX], hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned n = 0;
    if (slice_copy(slice_str(path), copy, sizeof(copy)) < 0)
        return err_sys(err, -ENAMETOOLONG, "read '%.40s…'", path);
    char *const tops[] = {copy, NULL};
    _cleanup_(close_walk)
    FTS *f = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    _cleanup_(free_context)
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (f == NULL || c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
        return err_sys(err, -ENOMEM, "read '%s'", path);
    int r = walk(f, strlen(path), c, err);
    if (r < 0)
        return r;
    if (EVP_DigestFinal_ex(c, hash, &n) != 1)
        return err_sys(err, -EIO, "hash '%s'", path);
    hex_encode(hash, n, hex);
    return slice_copy(slice_of(hex, MACHINE_ID_LEN), ret, MACHINE_ID_LEN + 1);
}
