#include "envd/fs_ops.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "envd/fs_entry.h"
#include "envd/paths.h"
#include "envd/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* {"entry":{...}} */
static int reply_entry(const char *path, struct buf *out, struct err *err)
{
    struct user_names names;
    struct json_writer w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "entry");
    user_names_load(&names);
    int r = fs_entry_write(&w, path, path_base(path), &names);
    user_names_done(&names);
    if (r == -ENOENT)
        return rpc_fail(err, RPC_NOT_FOUND, "file not found: %.200s", path);
    if (r < 0)
        return rpc_fail(err, RPC_INTERNAL, "error getting file info: %s", strerrordesc_np(-r));
    jw_end(&w);
    return 0;
}

int fs_stat(const struct fs_args *a, struct buf *out, struct err *err)
{
    return reply_entry(a->path, out, err);
}

int fs_make_dir(const struct fs_args *a, struct buf *out, struct err *err)
{
    struct stat st;
    bool made = false;
    if (stat(a->path, &st) == 0 && !S_ISDIR(st.st_mode))
        return rpc_fail(err, RPC_INVALID_ARGUMENT,
                        "path already exists but it is not a directory: %.180s", a->path);
    int r = path_make_all(a->path, a->user->uid, a->user->gid, &made, err);
    if (r < 0) {
        (void)err_code(err, RPC_INTERNAL);
        return r;
    }
    if (!made)
        return rpc_fail(err, RPC_ALREADY_EXISTS, "directory already exists: %.200s", a->path);
    return reply_entry(a->path, out, err);
}

/* rename(2) would replace an empty folder; the protocol refuses any but the source itself. */
static bool is_other_dir(const char *path, const struct stat *source)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_dev != source->st_dev || st.st_ino != source->st_ino);
}

int fs_move(const struct fs_args *a, struct buf *out, struct err *err)
{
    struct stat source;
    if (lstat(a->path, &source) < 0) {
        if (errno == ENOENT)
            return rpc_fail(err, RPC_NOT_FOUND, "source file not found: %.200s", a->path);
        return rpc_fail(err, RPC_INTERNAL, "error renaming: %s", strerrordesc_np(errno));
    }
    int r = path_make_parents(a->destination, a->user->uid, a->user->gid, err);
    if (r < 0) {
        (void)err_code(err, RPC_INTERNAL);
        return r;
    }
    if (is_other_dir(a->destination, &source))
        return rpc_fail(err, RPC_INTERNAL, "error renaming: file exists");
    if (rename(a->path, a->destination) < 0) {
        r = -errno;
        (void)rpc_fail(err, RPC_INTERNAL, "error renaming: %s", strerrordesc_np(-r));
        return r;
    }
    return reply_entry(a->destination, out, err);
}

int fs_remove(const struct fs_args *a, struct buf *out, struct err *err)
{
    char parent[ENVD_PATH_MAX + 1], name[256];
    struct slice base = path_base(a->path);
    if (slice_eq_str(base, "/") || slice_eq_str(base, ".") || slice_eq_str(base, "..") ||
        slice_copy(base, name, sizeof(name)) < 0 ||
        slice_copy(slice_of(a->path, (size_t)(base.p - a->path)), parent, sizeof(parent)) < 0)
        return rpc_fail(err, RPC_INTERNAL, "error removing: '%.200s' cannot be removed", a->path);
    _cleanup_close_ int dir = path_open(parent, O_RDONLY | O_DIRECTORY, 0);
    int r = dir == -ENOENT ? 0
            : dir < 0      ? err_sys(err, dir, "open '%.200s'", parent)
                           : fs_remove_tree(dir, name, err);
    if (r < 0) {
        (void)err_wrap(err, "error removing");
        (void)err_code(err, RPC_INTERNAL);
        return r;
    }
    return buf_put_str(out, "{}");
}
