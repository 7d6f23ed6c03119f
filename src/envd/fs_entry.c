#include "envd/fs_entry.h"

#include "base/clock.h"
#include "envd/fs_mode.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *type_name(mode_t mode)
{
    return S_ISREG(mode) ? "FILE_TYPE_FILE" : S_ISDIR(mode) ? "FILE_TYPE_DIRECTORY" : NULL;
}

static void put_owner(struct json_writer *w, const char *key, struct slice name, uint32_t id)
{
    _cleanup_buf_ struct buf number = BUF_INIT(16);
    jw_key(w, key);
    if (name.n != 0) {
        jw_strn(w, name);
        return;
    }
    buf_put_u64(&number, id);
    jw_strn(w, buf_slice(&number));
}

/* Omitted when it is the epoch itself, or out of what a nanosecond count can say. */
static void put_time(struct json_writer *w, const struct timespec *t)
{
    char text[RFC3339_BYTES];
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t->tv_sec, (int64_t)NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns) || ns == 0)
        return;
    rfc3339_format(ns, text);
    jw_kstr(w, "modifiedTime", text);
}

static void put_link_target(struct json_writer *w, const char *path)
{
    char *real = realpath(path, NULL);
    jw_kstr(w, "symlinkTarget", real != NULL ? real : path);
    jw_kbool(w, "isSymlink", true);
    free(real);
}

static void put_size(struct json_writer *w, int64_t size)
{
    _cleanup_buf_ struct buf text = BUF_INIT(32);
    if (size <= 0)
        return;
    buf_put_u64(&text, (uint64_t)size);
    jw_key(w, "size");
    jw_strn(w, buf_slice(&text));
}

int fs_entry_write(struct json_writer *w, const char *path, struct slice name,
                   const struct user_names *names)
{
    struct stat st, target;
    char permissions[FS_MODE_TEXT_BYTES];
    if (lstat(path, &st) < 0)
        return -errno;
    bool link = S_ISLNK(st.st_mode);
    if (!link)
        target = st;
    else if (stat(path, &target) < 0)
        target.st_mode = 0; /* broken */
    fs_mode_text(st.st_mode, permissions);
    jw_obj(w);
    jw_key(w, "name");
    jw_strn(w, name);
    if (type_name(target.st_mode) != NULL)
        jw_kstr(w, "type", type_name(target.st_mode));
    jw_kstr(w, "path", path);
    put_size(w, st.st_size);
    if ((target.st_mode & 0777) != 0)
        jw_ku64(w, "mode", target.st_mode & 0777);
    jw_kstr(w, "permissions", permissions);
    put_owner(w, "owner", passwd_name_of(slice_of(names->passwd, names->passwd_n), st.st_uid),
              st.st_uid);
    put_owner(w, "group", group_name_of(slice_of(names->group, names->group_n), st.st_gid),
              st.st_gid);
    put_time(w, &st.st_mtim);
    if (link)
        put_link_target(w, path);
    jw_end(w);
    return 0;
}
