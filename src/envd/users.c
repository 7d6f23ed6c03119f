/*
 * The files belong to the sandbox and are read as hostile text: bounded, opened without waiting,
 * refused unless regular. An entry counts only if its numbers are plain decimal below 2^32 - 1
 * (the all-ones id means "leave unchanged" to the kernel, so it may never reach setresuid).
 */
#include "envd/users.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { PASSWD_FIELDS = 7, GROUP_FIELDS = 4 };

/* Splits a line at colons into exactly `want` fields. */
static bool split_fields(struct slice line, struct slice *field, size_t want)
{
    struct slice part;
    size_t n = 0;
    if (line.n == 0 || line.p[0] == '#')
        return false;
    while (slice_next(&line, ':', &part)) {
        if (n == want)
            return false;
        field[n++] = part;
    }
    return n == want;
}

static bool parse_id(struct slice s, uint32_t *ret)
{
    return parse_u32(s, UINT32_MAX - 1, ret) == 0;
}

static bool parse_passwd_line(struct slice line, struct user *ret)
{
    struct slice f[PASSWD_FIELDS];
    if (!split_fields(line, f, PASSWD_FIELDS) || f[0].n == 0)
        return false;
    if (!parse_id(f[2], &ret->uid) || !parse_id(f[3], &ret->gid))
        return false;
    struct slice home = f[5].n != 0 ? f[5] : SLICE_LIT("/");
    return slice_copy(f[0], ret->name, sizeof(ret->name)) == 0 &&
           slice_copy(home, ret->home, sizeof(ret->home)) == 0;
}

bool passwd_find_name(struct slice passwd, struct slice name, struct user *ret)
{
    struct slice line;
    while (slice_next(&passwd, '\n', &line)) {
        struct user u;
        if (slice_eq(slice_sub(line, 0, slice_find(line, ':')), name) &&
            parse_passwd_line(line, &u)) {
            *ret = u;
            return true;
        }
    }
    return false;
}

/* First field of the first well-formed line whose third field is `id`. */
static struct slice name_by_id(struct slice text, size_t fields, uint32_t id)
{
    struct slice line, f[PASSWD_FIELDS];
    while (slice_next(&text, '\n', &line)) {
        uint32_t got, group;
        if (split_fields(line, f, fields) && f[0].n != 0 && parse_id(f[2], &got) && got == id &&
            (fields != PASSWD_FIELDS || parse_id(f[3], &group)))
            return f[0];
    }
    return (struct slice){NULL, 0};
}

struct slice passwd_name_of(struct slice passwd, uint32_t uid)
{
    return name_by_id(passwd, PASSWD_FIELDS, uid);
}

struct slice group_name_of(struct slice group, uint32_t gid)
{
    return name_by_id(group, GROUP_FIELDS, gid);
}

static bool has_member(struct slice members, const char *name)
{
    struct slice one;
    while (slice_next(&members, ',', &one))
        if (slice_eq_str(one, name))
            return true;
    return false;
}

static bool groups_has(const struct user_groups *g, uint32_t gid)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->gid[i] == gid)
            return true;
    return false;
}

int group_list_of(struct slice group, const struct user *user, struct user_groups *ret)
{
    struct slice line, f[GROUP_FIELDS];
    uint32_t gid;
    ret->gid[0] = user->gid;
    ret->n = 1;
    while (slice_next(&group, '\n', &line)) {
        if (!split_fields(line, f, GROUP_FIELDS) || !parse_id(f[2], &gid) ||
            !has_member(f[3], user->name) || groups_has(ret, gid))
            continue;
        if (ret->n == USER_GROUPS_MAX)
            return -E2BIG;
        ret->gid[ret->n++] = gid;
    }
    return 0;
}

static int read_db(const char *path, struct buf *out)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return fs_read_fd(fd, out);
}

int users_find(const char *name, struct user *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT(USER_DB_MAX_BYTES);
    int r = read_db("/etc/passwd", &text);
    if (r < 0)
        return r;
    return passwd_find_name(buf_slice(&text), slice_str(name), ret) ? 0 : -ENOENT;
}

int users_groups(const struct user *user, struct user_groups *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT(USER_DB_MAX_BYTES);
    int r = read_db("/etc/group", &text);
    if (r < 0 && r != -ENOENT)
        return r;
    return group_list_of(buf_slice(&text), user, ret);
}

static void load_one(const char *path, char **ret, size_t *ret_n)
{
    _cleanup_buf_ struct buf text = BUF_INIT(USER_DB_MAX_BYTES);
    *ret = NULL;
    *ret_n = 0;
    if (read_db(path, &text) == 0)
        *ret = buf_take(&text, ret_n);
}

void user_names_load(struct user_names *n)
{
    load_one("/etc/passwd", &n->passwd, &n->passwd_n);
    load_one("/etc/group", &n->group, &n->group_n);
}

void user_names_done(struct user_names *n)
{
    cleanup_freep(&n->passwd);
    cleanup_freep(&n->group);
    n->passwd_n = n->group_n = 0;
}
