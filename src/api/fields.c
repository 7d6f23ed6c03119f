/*
 * Bodies and their members. Fields that nobody knows are accepted, as clients of other versions
 * rely on it, but never silently: they are named in a response header (or refused when strict).
 */
#include "api/api_internal.h"
#include "base/log.h"

enum { PATH_MAX_BYTES = 200, REFUSE_PATH_BYTES = 100 };

/* Field names come from outside: only printable ASCII may enter a header or a log line. */
static void note_ignored(struct buf *ignored, const char *path)
{
    char clean[PATH_MAX_BYTES];
    size_t n = 0;
    for (; path[n] != '\0' && n + 1 < sizeof(clean); n++)
        clean[n] = path[n] > ' ' && path[n] < 0x7f && path[n] != ',' ? path[n] : '?';
    if (n == 0)
        clean[n++] = '?'; /* a name that is empty */
    if (ignored->n + n + 2 > ignored->max)
        return;
    if (ignored->n > 0)
        buf_put_str(ignored, ", ");
    buf_put(ignored, clean, n);
}

static bool is_known(const char *key, const char *const *known, size_t n_known)
{
    for (size_t i = 0; i < n_known; i++)
        if (slice_eq(slice_str(key), slice_str(known[i])))
            return true;
    return false;
}

int api_fields_check(const struct api_fields *f, const struct json_ref *obj,
                     const char *const *known, size_t n_known, struct err *err)
{
    static struct log_rate rate;
    for (void *it = json_object_iter(obj->v); it != NULL; it = json_object_iter_next(obj->v, it)) {
        const char *key = json_object_iter_key(it);
        if (is_known(key, known, n_known))
            continue;
        char path[PATH_MAX_BYTES], quoted[PATH_MAX_BYTES];
        struct json_ref ref = {json_object_iter_value(it), obj, key, 0};
        if (f->strict) {
            err_set(err, -EINVAL, ERR_INVALID, "%s is not a known field",
                    json_path(&ref, path, REFUSE_PATH_BYTES));
            err_code(err, API_CODE_UNKNOWN_FIELD);
            return -EINVAL;
        }
        note_ignored(f->ignored, json_path(&ref, path, sizeof(path)));
        if (log_allow(&rate, 2))
            log_info("ignored the unknown request field %s",
                     log_quote(slice_str(path), quoted, sizeof(quoted)));
    }
    return 0;
}

int api_body_parse(struct slice body, bool optional, json_t **ret, struct err *err)
{
    if (slice_trim(body).n == 0) {
        if (!optional)
            return err_set(err, -EINVAL, ERR_INVALID, "the request body is missing");
        *ret = json_object();
        return *ret != NULL ? 0 : err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    }
    _cleanup_json_ json_t *root = NULL;
    int r = json_parse(body, &root, err);
    if (r < 0)
        return r;
    if (!json_is_object(root))
        return err_set(err, -EINVAL, ERR_INVALID, "the request body must be a JSON object");
    *ret = take_ptr(&root);
    return 0;
}

int api_timeout_get(const struct json_ref *obj, const char *key, enum json_need need, int64_t min,
                    int64_t max, int64_t *ret, struct err *err)
{
    int64_t v = 0;
    int r = json_get_i64(obj, key, need, INT64_MIN, INT64_MAX, &v, err);
    if (r <= 0)
        return r;
    struct json_ref ref = {.up = obj, .key = key};
    if (v < min && min == 1)
        return json_refuse(&ref, err, "must be greater than 0");
    if (v < min)
        return json_refuse(&ref, err, "must be at least %lld", (long long)min);
    if (v > max && max % 3600 == 0)
        return json_refuse(&ref, err, "cannot be greater than %lld hour%s", (long long)max / 3600,
                           max == 3600 ? "" : "s");
    if (v > max)
        return json_refuse(&ref, err, "cannot be greater than %lld seconds", (long long)max);
    *ret = v;
    return 1;
}

int api_sandbox_id(const char *given, char dst[static API_ID_MAX_BYTES], struct err *err)
{
    struct slice id = slice_str(given);
    id.n = slice_find(id, '-');
    bool ok = id.n > 0 && id.n < API_ID_MAX_BYTES;
    for (size_t i = 0; ok && i < id.n; i++)
        ok = (id.p[i] >= 'a' && id.p[i] <= 'z') || (id.p[i] >= '0' && id.p[i] <= '9');
    if (!ok || slice_copy(id, dst, API_ID_MAX_BYTES) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "Invalid sandbox ID");
    return 0;
}
