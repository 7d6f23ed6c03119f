/*
 * An entry is a header of 110 characters, the name with its NUL, zeros up to a multiple of four, the
 * content, zeros again. Numbers are eight hexadecimal digits, so content is at most 4 GiB.
 */
#include "image/cpio.h"

#include <stdio.h>
#include <sys/stat.h>

static const char TRAILER[] = "TRAILER!!!";

struct entry {
    uint32_t inode, mode, links, major, minor;
    struct slice content;
};

static bool is_name(struct slice name)
{
    struct slice part;
    if (name.n == 0 || name.n > CPIO_NAME_MAX)
        return false;
    while (slice_next(&name, '/', &part))
        if (part.n == 0 || slice_eq_str(part, ".") || slice_eq_str(part, ".."))
            return false;
    return true;
}

static int pad(struct buf *out)
{
    static const char zeros[4];
    return buf_put(out, zeros, -out->n & 3);
}

static int put(struct buf *out, const char *name, const struct entry *e)
{
    if (e->content.n > UINT32_MAX)
        return out->error = -ENOBUFS;
    (void)buf_printf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", e->inode,
                     e->mode, 0u, 0u, e->links, 0u, (unsigned)e->content.n, 0u, 0u, e->major,
                     e->minor, (unsigned)strlen(name) + 1, 0u);
    (void)buf_put(out, name, strlen(name) + 1);
    (void)pad(out);
    (void)buf_put_slice(out, e->content);
    return pad(out);
}

static int add(struct cpio *c, const char *name, struct entry *e)
{
    if (!is_name(slice_str(name)))
        return -EINVAL;
    e->inode = ++c->inode;
    return put(c->out, name, e);
}

void cpio_begin(struct cpio *c, struct buf *out)
{
    *c = (struct cpio){.out = out};
}

int cpio_dir(struct cpio *c, const char *name, mode_t perm)
{
    return add(c, name, &(struct entry){.mode = S_IFDIR | (perm & 0777), .links = 2});
}

int cpio_file(struct cpio *c, const char *name, mode_t perm, struct slice content)
{
    return add(c, name,
               &(struct entry){.mode = S_IFREG | (perm & 0777), .links = 1, .content = content});
}

int cpio_char_device(struct cpio *c, const char *name, mode_t perm, unsigned major, unsigned minor)
{
    return add(c, name,
               &(struct entry){
                   .mode = S_IFCHR | (perm & 0777), .links = 1, .major = major, .minor = minor});
}

int cpio_end(struct cpio *c)
{
    return put(c->out, TRAILER, &(struct entry){.links = 1});
}
