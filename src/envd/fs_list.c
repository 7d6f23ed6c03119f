/*
 * ListDir: depth first, names in byte order, a folder before its content. One path buffer grows and
 * shrinks with the walk; the names of one folder per level are held at a time. Entries that vanish
 * meanwhile are skipped. Links inside are shown and not followed.
 */
#include "envd/fs_ops.h"

#include "base/cleanup.h"
#include "envd/fs_entry.h"
#include "envd/paths.h"
#include "envd/rpc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct names {
    char **v; /* owned strings */
    size_t n, cap;
};

struct walk {
    struct json_writer w;
    struct buf path; /* the folder shown, then the entry */
    const struct user_names *users;
    size_t held; /* names in memory, all levels */
    struct err *err;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->v[i]);
    free(names->v);
}

static int names_add(struct names *names, const char *name)
{
    if (names->n == names->cap) {
        size_t cap = names->cap != 0 ? 2 * names->cap : 64;
        char **v = reallocarray(names->v, cap, sizeof(*v));
        if (v == NULL)
            return -ENOMEM;
        names->v = v;
        names->cap = cap;
    }
    names->v[names->n] = strdup(name);
    if (names->v[names->n] == NULL)
        return -ENOMEM;
    names->n++;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct walk *k, DIR *dir, struct names *names)
{
    struct dirent *de;
    while ((errno = 0, de = readdir(dir)) != NULL) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        if (k->held + names->n >= FS_LIST_NAMES_MAX)
            return rpc_fail(k->err, RPC_RESOURCE_EXHAUSTED, "more than %d entries",
                            FS_LIST_NAMES_MAX);
        if (names_add(names, de->d_name) < 0)
            return rpc_fail(k->err, RPC_INTERNAL, "out of memory");
    }
    if (errno != 0)
        return rpc_fail(k->err, RPC_INTERNAL, "error reading directory: %s",
                        strerrordesc_np(errno));
    if (names->n > 1)
        qsort(names->v, names->n, sizeof(*names->v), by_bytes);
    return 0;
}

static int list_level(struct walk *k, int fd, uint32_t depth);

/* One entry, and below it when it is a folder and depth allows. */
static int list_one(struct walk *k, int dir_fd, const char *name, uint32_t depth)
{
    size_t before = k->path.n;
    if (k->path.p[before - 1] != '/')
        buf_put_char(&k->path, '/');
    size_t at = k->path.n;
    buf_put_str(&k->path, name);
    int r = 0;
    if (k->path.error != 0) /* deeper than a path can say: not shown */
        k->path.error = 0;
    else
        r = fs_entry_write(&k->w, k->path.p, slice_from(buf_slice(&k->path), at), k->users);
    if (r == 0 && depth > 1) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            r = list_level(k, fd, depth - 1);
    }
    k->path.n = before;
    k->path.p[before] = '\0';
    return r < 0 && k->err->num == 0 ? 0 : r; /* vanished */
}

/* Takes fd over. */
static int list_level(struct walk *k, int fd, uint32_t depth)
{
    struct names names = {0};
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)fd_close(fd);
        return rpc_fail(k->err, RPC_INTERNAL, "error reading directory: %s",
                        strerrordesc_np(errno));
    }
    int r = read_names(k, dir, &names);
    k->held += names.n;
    for (size_t i = 0; i < names.n && r == 0 && k->w.out->error == 0; i++)
        r = list_one(k, dirfd(dir), names.v[i], depth);
    k->held -= names.n;
    names_done(&names);
    (void)closedir(dir);
    return r;
}

static int open_list(const char *path, struct err *err)
{
    int fd = path_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -ENOENT)
        return rpc_fail(err, RPC_NOT_FOUND, "path not found: %.200s", path);
    if (fd == -ENOTDIR)
        return rpc_fail(err, RPC_INVALID_ARGUMENT, "path is not a directory: %.200s", path);
    if (fd == -ELOOP)
        return rpc_fail(err, RPC_FAILED_PRECONDITION, "too many symbolic links: %.200s", path);
    if (fd < 0)
        return rpc_fail(err, RPC_INTERNAL, "error opening directory: %s", strerrordesc_np(-fd));
    return fd;
}

int fs_list_dir(const struct fs_args *a, struct buf *out, struct err *err)
{
    struct err local = {0};
    struct user_names users;
    struct walk k = {.path = BUF_INIT(2 * ENVD_PATH_MAX), .users = &users, .err = &local};
    int fd = open_list(a->path, err);
    if (fd < 0)
        return fd;
    user_names_load(&users);
    jw_init(&k.w, out);
    jw_obj(&k.w);
    jw_key(&k.w, "entries");
    jw_arr(&k.w);
    buf_put_str(&k.path, a->path);
    int r = list_level(&k, fd, a->depth != 0 ? a->depth : 1);
    user_names_done(&users);
    buf_done(&k.path);
    if (r < 0) {
        *err = local;
        return r;
    }
    jw_end(&k.w);
    jw_end(&k.w);
    return 0;
}
