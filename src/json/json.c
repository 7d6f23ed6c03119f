#define JSON_NO_ANALYZER_MACROS
#include "json/json.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Looks at brackets and commas outside of strings; what is not JSON may be miscounted, it is refused
 * either way. A few bytes of text ("{},") cost some hundred bytes of memory when parsed, so values are
 * counted before any of them is made.
 */
static int check_size(struct slice text, size_t max_values, struct err *err)
{
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string)
            i += c == '\\'; /* the escaped byte is no end of the string */
        else if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        values += !in_string && (c == '[' || c == '{' || c == ',');
        if (depth > JSON_DEPTH_MAX)
            return err_set(err, -EBADMSG, ERR_INVALID, "invalid JSON: nested deeper than %d levels",
                           JSON_DEPTH_MAX);
        if (values > max_values)
            return err_set(err, -EBADMSG, ERR_INVALID, "invalid JSON: more than %zu values",
                           max_values);
    }
    return 0;
}

static int parse(struct slice text, size_t max_values, json_t **ret_root, struct err *err)
{
    int r = check_size(text, max_values, err);
    if (r < 0)
        return r;
    json_error_t e;
    json_t *root = json_loadb(text.p != NULL ? text.p : "", text.n,
                              JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (root == NULL)
        return err_set(err, -EBADMSG, ERR_INVALID, "invalid JSON at line %d, column %d: %.150s",
                       e.line, e.column, e.text);
    *ret_root = root;
    return 0;
}

int json_parse(struct slice text, json_t **ret_root, struct err *err)
{
    return parse(text, JSON_VALUES_MAX, ret_root, err);
}

int json_parse_answer(struct slice text, json_t **ret_root, struct err *err)
{
    return parse(text, SIZE_MAX, ret_root, err);
}

static void wipe_and_free(void *p)
{
    if (p != NULL)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

void json_wipe_freed(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}

enum { JSON_PATH_KEY_BYTES = 64 }; /* what a path shows of one member name */

static size_t put_step(const struct json_ref *ref, char *dst, size_t cap)
{
    size_t n = ref->up != NULL ? put_step(ref->up, dst, cap) : 0;
    int k = 0;
    if (ref->up == NULL || n >= cap)
        return n;
    if (ref->key == NULL)
        k = snprintf(dst + n, cap - n, "[%zu]", ref->index);
    else
        k = snprintf(dst + n, cap - n, "%s%.*s", n != 0 ? "." : "",
                     (int)slice_utf8_cut(slice_str(ref->key), JSON_PATH_KEY_BYTES).n, ref->key);
    return k > 0 ? n + (size_t)k : n;
}

const char *json_path(const struct json_ref *ref, char *dst, size_t cap)
{
    dst[0] = '\0';
    (void)put_step(ref, dst, cap);
    struct slice s = slice_str(dst);
    while (s.n > 0 && !slice_is_utf8(s)) /* the last character may be cut in two */
        dst[--s.n] = '\0';
    return dst;
}

int json_refuse(const struct json_ref *ref, struct err *err, const char *fmt, ...)
{
    char path[160], what[ERR_MSG_BYTES];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(what, sizeof(what), fmt, ap) < 0)
        what[0] = '\0';
    va_end(ap);
    json_path(ref, path, sizeof(path));
    return err_set(err, -EINVAL, ERR_INVALID, "%s %s", path[0] != '\0' ? path : "body", what);
}

int json_get_any(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err)
{
    int r = json_as_obj(obj, err);
    if (r < 0)
        return r;
    json_t *v = json_object_get(obj->v, key);
    struct json_ref ref = {.v = v, .up = obj, .key = key};
    if (v == NULL || json_is_null(v))
        return need == JSON_REQUIRED ? json_refuse(&ref, err, "is required") : 0;
    *ret = ref;
    return 1;
}

int json_as_str(const struct json_ref *ref, const char **ret, struct err *err)
{
    if (!json_is_string(ref->v))
        return json_refuse(ref, err, "must be a string");
    *ret = json_string_value(ref->v);
    return 0;
}

int json_as_obj(const struct json_ref *ref, struct err *err)
{
    return json_is_object(ref->v) ? 0 : json_refuse(ref, err, "must be an object");
}

int json_get_str(const struct json_ref *obj, const char *key, enum json_need need, const char **ret,
                 struct err *err)
{
    struct json_ref ref = {0};
    int r = json_get_any(obj, key, need, &ref, err);
    if (r <= 0)
        return r;
    r = json_as_str(&ref, ret, err);
    return r < 0 ? r : 1;
}

int json_get_bool(const struct json_ref *obj, const char *key, enum json_need need, bool *ret,
                  struct err *err)
{
    struct json_ref ref = {0};
    int r = json_get_any(obj, key, need, &ref, err);
    if (r <= 0)
        return r;
    if (!json_is_boolean(ref.v))
        return json_refuse(&ref, err, "must be true or false");
    *ret = json_is_true(ref.v);
    return 1;
}

int json_get_i64(const struct json_ref *obj, const char *key, enum json_need need, int64_t min,
                 int64_t max, int64_t *ret, struct err *err)
{
    struct json_ref ref = {0};
    int r = json_get_any(obj, key, need, &ref, err);
    if (r <= 0)
        return r;
    if (!json_is_integer(ref.v))
        return json_refuse(&ref, err, "must be a whole number");
    int64_t v = json_integer_value(ref.v);
    if (v < min || v > max) {
        (void)json_refuse(&ref, err, "must be between %lld and %lld", (long long)min,
                          (long long)max);
        if (err != NULL)
            err->num = -ERANGE;
        return -ERANGE;
    }
    *ret = v;
    return 1;
}

int json_get_obj(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err)
{
    struct json_ref ref = {0};
    int r = json_get_any(obj, key, need, &ref, err);
    if (r > 0 && json_as_obj(&ref, err) < 0)
        return -EINVAL;
    if (r > 0)
        *ret = ref;
    return r;
}

int json_get_arr(const struct json_ref *obj, const char *key, enum json_need need,
                 struct json_ref *ret, struct err *err)
{
    struct json_ref ref = {0};
    int r = json_get_any(obj, key, need, &ref, err);
    if (r > 0 && !json_is_array(ref.v))
        return json_refuse(&ref, err, "must be an array");
    if (r > 0)
        *ret = ref;
    return r;
}

size_t json_arr_len(const struct json_ref *arr)
{
    return json_array_size(arr->v);
}

struct json_ref json_arr_at(const struct json_ref *arr, size_t i)
{
    return (struct json_ref){.v = json_array_get(arr->v, i), .up = arr, .index = i};
}

int json_each_str(const struct json_ref *map,
                  int (*each)(const char *key, const char *value, void *user, struct err *err),
                  void *user, struct err *err)
{
    int r = json_as_obj(map, err);
    if (r < 0)
        return r;
    for (void *it = json_object_iter(map->v); it != NULL; it = json_object_iter_next(map->v, it)) {
        struct json_ref ref = {json_object_iter_value(it), map, json_object_iter_key(it), 0};
        const char *s = NULL;
        if ((r = json_as_str(&ref, &s, err)) < 0 || (r = each(ref.key, s, user, err)) < 0)
            return r;
    }
    return 0;
}
