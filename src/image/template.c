/*
 * Reading templates. Everything below the templates folder is written by root, yet it is read like
 * foreign data: names must have the shape of ids, files are small and typed, and a folder whose
 * template.json does not fit its name is refused rather than trusted.
 */
#include "image/template.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/ref.h"
#include "json/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

enum { TEMPLATE_JSON_MAX_BYTES = 16 * 1024, ALIAS_FILE_MAX_BYTES = 64 };

static void closedirp(DIR **d)
{
    if (*d != NULL)
        (void)closedir(*d); /* opened for reading */
    *d = NULL;
}

static int read_number(const struct json_ref *obj, const char *key, uint32_t *ret, struct err *err)
{
    int64_t v;
    int r = json_get_i64(obj, key, JSON_REQUIRED, 1, UINT32_MAX, &v, err);
    if (r > 0)
        *ret = (uint32_t)v;
    return r < 0 ? r : 0;
}

static int read_string(const struct json_ref *obj, const char *key, enum json_need need, char *dst,
                       size_t cap, struct err *err)
{
    const char *s = "";
    int r = json_get_str(obj, key, need, &s, err);
    if (r < 0)
        return r;
    if (slice_copy(slice_str(s), dst, cap) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "%s is too long", key);
    return 0;
}

static int parse_info(struct slice text, struct template_info *t, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(text, &doc, err);
    if (r < 0)
        return r;
    struct json_ref root = json_root(doc);
    if ((r = read_string(&root, "id", JSON_REQUIRED, t->id, sizeof(t->id), err)) < 0 ||
        (r = read_string(&root, "alias", JSON_OPTIONAL, t->alias, sizeof(t->alias), err)) < 0 ||
        (r = read_string(&root, "buildId", JSON_REQUIRED, t->build_id, sizeof(t->build_id), err)) <
            0 ||
        (r = read_number(&root, "cpuCount", &t->cpu_count, err)) < 0 ||
        (r = read_number(&root, "memoryMB", &t->memory_mb, err)) < 0 ||
        (r = read_number(&root, "diskMB", &t->disk_mb, err)) < 0)
        return r;
    if (t->alias[0] != '\0' && !id_is_alias(t->alias))
        return err_set(err, -EINVAL, ERR_INVALID, "alias is not a template alias");
    if (t->disk_mb < TEMPLATE_DISK_MIN_MB || t->disk_mb > TEMPLATE_DISK_MAX_MB)
        return err_set(err, -EINVAL, ERR_INVALID, "diskMB must be %d to %d, not %u",
                       TEMPLATE_DISK_MIN_MB, TEMPLATE_DISK_MAX_MB, t->disk_mb);
    return 0;
}

/* `id` has been validated. -ENOENT without a message when there is no such folder. */
static int load(int dir_fd, const char *id, struct template_info *ret, struct err *err)
{
    _cleanup_close_ int fd =
        openat(dir_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(err, -errno, "open template '%s'", id);
    _cleanup_buf_ struct buf text = BUF_INIT(TEMPLATE_JSON_MAX_BYTES);
    struct template_info t = {0};
    int r = fs_read_file(fd, "template.json", &text, err);
    if (r == 0)
        r = parse_info(buf_slice(&text), &t, err);
    if (r == 0 && strcmp(t.id, id) != 0)
        r = err_set(err, -EBADMSG, ERR_INTERNAL, "template.json names another template");
    if (r == -ENOENT) /* a folder without its file is damage, not absence */
        r = err_set(err, -EBADMSG, ERR_INTERNAL, "template.json is missing");
    if (r < 0) {
        (void)err_wrap(err, "template '%s'", id);
        return r;
    }
    *ret = t;
    return 0;
}

/* The id behind an alias. -ENOENT without a message when there is none. */
static int read_alias(int dir_fd, const char *alias, char id[static TEMPLATE_ID_LEN + 1],
                      struct err *err)
{
    char path[sizeof("aliases/") + TEMPLATE_ALIAS_MAX];
    if (fs_join(path, sizeof(path), "aliases", alias) < 0)
        return -ENOENT;
    _cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(err, -errno, "open template alias '%s'", alias);
    _cleanup_buf_ struct buf text = BUF_INIT(ALIAS_FILE_MAX_BYTES);
    int r = fs_read_fd(fd, &text);
    if (r < 0)
        return err_sys(err, r, "read template alias '%s'", alias);
    struct slice s = buf_slice(&text);
    if (slice_has_suffix(s, "\n"))
        s = slice_sub(s, 0, s.n - 1);
    char tmp[TEMPLATE_ID_LEN + 1];
    if (slice_copy(s, tmp, sizeof(tmp)) < 0 || !id_is_template(tmp))
        return err_set(err, -EBADMSG, ERR_INTERNAL, "template alias '%s' holds no template id",
                       alias);
    memcpy(id, tmp, sizeof(tmp));
    return 0;
}

static int not_found(struct err *err, struct slice ref)
{
    int shown = ref.n < 128 ? (int)ref.n : 128;
    return err_set(err, -ENOENT, ERR_NOT_FOUND, "template '%.*s' not found", shown, ref.p);
}

/* Aliases win over ids, so that whoever names a template can always reach it by that name. */
static int find_named(int dir_fd, const struct template_ref *ref, struct template_info *ret,
                      struct err *err)
{
    char id[TEMPLATE_ID_LEN + 1];
    int r = read_alias(dir_fd, ref->name, id, err);
    if (r == 0)
        return load(dir_fd, id, ret, err);
    return r == -ENOENT && ref->maybe_id ? load(dir_fd, ref->name, ret, err) : r;
}

int template_find(const char *templates_dir, const char *ref, struct template_info *ret,
                  struct err *err)
{
    struct slice given = slice_str(ref);
    struct template_ref parsed;
    int r = template_ref_parse(given, &parsed);
    if (r == -EINVAL)
        return err_set(err, r, ERR_INVALID,
                       "not a template reference (expected an id or an alias, optionally with "
                       "':default')");
    if (r == -ENOENT)
        return not_found(err, given);
    _cleanup_close_ int dir_fd = open(templates_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return errno == ENOENT ? not_found(err, given)
                               : err_sys(err, -errno, "open the templates folder");
    r = find_named(dir_fd, &parsed, ret, err);
    return r == -ENOENT ? not_found(err, given) : r;
}

int template_each(const char *templates_dir, int (*each)(const struct template_info *t, void *user),
                  void *user, struct err *err)
{
    _cleanup_(closedirp)
    DIR *dir = opendir(templates_dir);
    if (dir == NULL)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "open the templates folder");
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (e == NULL)
            return errno == 0 ? 0 : err_sys(err, -errno, "read the templates folder");
        if (!id_is_template(e->d_name))
            continue;
        struct template_info t;
        int r = load(dirfd(dir), e->d_name, &t, err);
        if (r == -ENOENT)
            continue; /* removed since it was listed */
        if (r < 0)
            return r;
        if ((r = each(&t, user)) != 0)
            return r;
    }
}
