/*
 * Names in the sandbox's file system: filesystem.Filesystem over unary Connect calls. An entry's
 * strings live in the parsed answer that its priv member holds.
 */
#include "base/clock.h"
#include "base/num.h"
#include "sdk/sdk_internal.h"
#include "json/writer.h"

void silica_entry_free(silica_entry *entry)
{
    if (entry == NULL)
        return;
    json_decref(entry->priv);
    *entry = (silica_entry){0};
}

/* A 64-bit number comes as a string, or, from lenient servers, as a number. */
static int get_size(const struct json_ref *obj, uint64_t *ret, struct err *e)
{
    const char *text = NULL;
    int64_t v = 0;
    if (json_is_integer(json_object_get(obj->v, "size"))) {
        int r = json_get_i64(obj, "size", JSON_OPTIONAL, 0, INT64_MAX, &v, e);
        *ret = (uint64_t)v;
        return r;
    }
    int r = json_get_str(obj, "size", JSON_OPTIONAL, &text, e);
    if (r == 1 && parse_u64(slice_str(text), INT64_MAX, ret) != 0)
        return err_set(e, -EBADMSG, ERR_INVALID, "size is not a number");
    return r;
}

static silica_file_type type_of(const char *name)
{
    if (strcmp(name, "FILE_TYPE_FILE") == 0)
        return SILICA_FILE_REGULAR;
    if (strcmp(name, "FILE_TYPE_DIRECTORY") == 0)
        return SILICA_FILE_DIRECTORY;
    return strcmp(name, "FILE_TYPE_SYMLINK") == 0 ? SILICA_FILE_SYMLINK : SILICA_FILE_OTHER;
}

static int fill(silica_entry *n, const struct json_ref *obj, struct err *e)
{
    const char *type = "", *mtime = NULL;
    int64_t mode = 0;
    n->name = n->path = n->owner = n->group = n->permissions = n->symlink_target = "";
    if (json_get_str(obj, "name", JSON_REQUIRED, &n->name, e) < 0 ||
        json_get_str(obj, "path", JSON_OPTIONAL, &n->path, e) < 0 ||
        json_get_str(obj, "owner", JSON_OPTIONAL, &n->owner, e) < 0 ||
        json_get_str(obj, "group", JSON_OPTIONAL, &n->group, e) < 0 ||
        json_get_str(obj, "permissions", JSON_OPTIONAL, &n->permissions, e) < 0 ||
        json_get_str(obj, "symlinkTarget", JSON_OPTIONAL, &n->symlink_target, e) < 0 ||
        json_get_str(obj, "type", JSON_OPTIONAL, &type, e) < 0 ||
        json_get_i64(obj, "mode", JSON_OPTIONAL, 0, UINT32_MAX, &mode, e) < 0 ||
        json_get_str(obj, "modifiedTime", JSON_OPTIONAL, &mtime, e) < 0 ||
        get_size(obj, &n->size, e) < 0)
        return -EBADMSG;
    n->type = type_of(type);
    n->mode = (uint32_t)mode;
    if (mtime != NULL && rfc3339_parse(slice_str(mtime), &n->mtime_ns) != 0)
        return err_set(e, -EBADMSG, ERR_INVALID, "modifiedTime is not a time");
    return 0;
}

/* One call with up to two paths and a depth; *ret_root may be NULL. */
static silica_rc call(silica_sandbox *sbx, const char *method, const char *const names[2],
                      const char *const paths[2], uint32_t depth, const silica_file_opts *opts,
                      json_t **ret_root, silica_error *err)
{
    _cleanup_buf_ struct buf body = BUF_INIT(SDK_REQUEST_MAX);
    struct json_writer w;
    silica_file_opts o;
    silica_rc rc = sdk_opts_copy(&o, sizeof(o), opts, "silica_file_opts", err);
    if (rc == SILICA_OK && o.max_bytes != 0)
        rc = sdk_fail(err, SILICA_E_INVALID, "max_bytes is for silica_read");
    jw_init(&w, &body);
    jw_obj(&w);
    for (int i = 0; rc == SILICA_OK && i < 2 && names[i] != NULL; i++) {
        _cleanup_buf_ struct buf full = BUF_INIT(SDK_PATH_MAX);
        rc = sdk_resolve(sbx, paths[i], &full, err);
        if (rc == SILICA_OK)
            jw_kstr(&w, names[i], buf_str(&full));
    }
    if (rc != SILICA_OK)
        return rc;
    if (depth > 0)
        jw_ku64(&w, "depth", depth);
    jw_end(&w);
    rc = sdk_body_check(&body, err);
    return rc == SILICA_OK ? sdk_rpc(sbx, method, o.user, buf_slice(&body), ret_root, err) : rc;
}

static const char *const only_path[2] = {"path", NULL};

silica_rc silica_stat(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                      silica_entry *ret, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    silica_rc rc = call(sbx, "filesystem.Filesystem/Stat", only_path,
                        (const char *const[2]){path, NULL}, 0, opts, &root, err);
    if (rc != SILICA_OK)
        return rc;
    struct json_ref obj = json_root(root), entry;
    struct err e = {0};
    silica_entry n = {0};
    if (json_get_obj(&obj, "entry", JSON_REQUIRED, &entry, &e) < 0 || fill(&n, &entry, &e) < 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    n.priv = take_ptr(&root);
    *ret = n;
    return SILICA_OK;
}

silica_rc silica_exists(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                        int *ret, silica_error *err)
{
    silica_entry n = {0};
    silica_error e = {SILICA_OK};
    silica_rc rc = silica_stat(sbx, path, opts, &n, &e);
    silica_entry_free(&n);
    if (rc != SILICA_OK && rc != SILICA_E_NOT_FOUND) {
        if (err != NULL)
            *err = e;
        return rc;
    }
    *ret = rc == SILICA_OK;
    return SILICA_OK;
}

silica_rc silica_list(silica_sandbox *sbx, const char *path, uint32_t depth,
                      const silica_file_opts *opts,
                      int (*each)(void *user, const silica_entry *entry), void *user,
                      silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    silica_rc rc =
        call(sbx, "filesystem.Filesystem/ListDir", only_path, (const char *const[2]){path, NULL},
             depth > 0 ? depth : 1, opts, &root, err);
    if (rc != SILICA_OK)
        return rc;
    struct json_ref obj = json_root(root), list;
    struct err e = {0};
    int there = json_get_arr(&obj, "entries", JSON_OPTIONAL, &list, &e);
    if (there < 0)
        return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
    for (size_t i = 0; there == 1 && i < json_arr_len(&list); i++) {
        struct json_ref item = json_arr_at(&list, i);
        silica_entry n = {0};
        if (json_as_obj(&item, &e) < 0 || fill(&n, &item, &e) < 0)
            return sdk_fail_base(err, &e, SILICA_E_PROTOCOL);
        if (each(user, &n) != 0)
            break;
    }
    return SILICA_OK;
}

silica_rc silica_mkdir(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                       int *ret_created, silica_error *err)
{
    silica_error e = {SILICA_OK};
    silica_rc rc = call(sbx, "filesystem.Filesystem/MakeDir", only_path,
                        (const char *const[2]){path, NULL}, 0, opts, NULL, &e);
    bool existed = rc == SILICA_E_CONFLICT && strcmp(e.code, "already_exists") == 0;
    if (rc != SILICA_OK && !existed) {
        if (err != NULL)
            *err = e;
        return rc;
    }
    if (ret_created != NULL)
        *ret_created = !existed;
    return SILICA_OK;
}

silica_rc silica_remove(silica_sandbox *sbx, const char *path, const silica_file_opts *opts,
                        silica_error *err)
{
    return call(sbx, "filesystem.Filesystem/Remove", only_path, (const char *const[2]){path, NULL},
                0, opts, NULL, err);
}

silica_rc silica_rename(silica_sandbox *sbx, const char *from, const char *to,
                        const silica_file_opts *opts, silica_error *err)
{
    return call(sbx, "filesystem.Filesystem/Move", (const char *const[2]){"source", "destination"},
                (const char *const[2]){from, to}, 0, opts, NULL, err);
}
