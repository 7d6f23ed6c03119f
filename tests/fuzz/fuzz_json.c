/*
 * Fuzzes json_parse, the typed readers and the writer: what parses must be written back as JSON
 * that parses again to an equal value, and every path and message must fit its buffer.
 */
// deps: json base
#include "json/json.h"
#include "json/writer.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX_BYTES = 8 << 20 };

static void write_value(struct json_writer *w, json_t *v);

static void write_object(struct json_writer *w, json_t *v)
{
    jw_obj(w);
    for (void *it = json_object_iter(v); it != NULL; it = json_object_iter_next(v, it)) {
        jw_key(w, json_object_iter_key(it));
        write_value(w, json_object_iter_value(it));
    }
    jw_end(w);
}

static void write_array(struct json_writer *w, json_t *v)
{
    jw_arr(w);
    for (size_t i = 0; i < json_array_size(v); i++)
        write_value(w, json_array_get(v, i));
    jw_end(w);
}

static void write_value(struct json_writer *w, json_t *v)
{
    if (json_is_object(v))
        write_object(w, v);
    else if (json_is_array(v))
        write_array(w, v);
    else if (json_is_string(v))
        jw_strn(w, slice_of(json_string_value(v), json_string_length(v)));
    else if (json_is_integer(v))
        jw_i64(w, json_integer_value(v));
    else if (json_is_real(v))
        jw_null(w); /* jw_double chooses its digits, so equality would not hold */
    else if (json_is_null(v))
        jw_null(w);
    else
        jw_bool(w, json_is_true(v));
}

static size_t depth_of(json_t *v)
{
    size_t deepest = 0;
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        size_t d = depth_of(json_array_get(v, i));
        deepest = d > deepest ? d : deepest;
    }
    for (void *it = json_object_iter(v); it != NULL; it = json_object_iter_next(v, it)) {
        size_t d = depth_of(json_object_iter_value(it));
        deepest = d > deepest ? d : deepest;
    }
    return deepest + (json_is_object(v) || json_is_array(v));
}

static bool has_real(json_t *v)
{
    bool found = json_is_real(v);
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
        found = found || has_real(json_array_get(v, i));
    for (void *it = json_object_iter(v); it != NULL; it = json_object_iter_next(v, it))
        found = found || has_real(json_object_iter_value(it));
    return found;
}

static void check_round_trip(json_t *root)
{
    _cleanup_buf_ struct buf out = BUF_INIT(OUT_MAX_BYTES);
    struct json_writer w;
    jw_init(&w, &out);
    write_value(&w, root);
    if (out.error != 0)
        return;
    _cleanup_json_ json_t *again = NULL;
    struct err err;
    int r = json_parse(buf_slice(&out), &again, &err);
    assert(r == 0);
    assert(has_real(root) || json_equal(root, again));
}

static int count_member(const char *key, const char *value, void *user, struct err *err)
{
    (void)err;
    *(size_t *)user += strlen(key) + strlen(value);
    return 0;
}

static void read_members(json_t *root)
{
    struct json_ref ref = json_root(root), sub;
    struct err err = {0};
    const char *s = NULL;
    bool b = false;
    int64_t i = 0;
    size_t sum = 0;
    (void)json_get_str(&ref, "a", JSON_REQUIRED, &s, &err);
    (void)json_get_bool(&ref, "a", JSON_OPTIONAL, &b, &err);
    (void)json_get_i64(&ref, "a", JSON_OPTIONAL, -5, 5, &i, &err);
    (void)json_each_str(&ref, count_member, &sum, &err);
    if (json_get_arr(&ref, "a", JSON_OPTIONAL, &sub, &err) == 1 && json_arr_len(&sub) > 0) {
        struct json_ref at = json_arr_at(&sub, 0);
        (void)json_get_str(&at, "b", JSON_REQUIRED, &s, &err);
    }
    assert(strlen(err.msg) < ERR_MSG_BYTES && slice_is_utf8(slice_str(err.msg)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *root = NULL;
    struct err err = {0};
    if (json_parse(slice_of((const char *)data, size), &root, &err) < 0) {
        assert(err.num < 0 && err.msg[0] != '\0' && slice_is_utf8(slice_str(err.msg)));
        return 0;
    }
    assert(depth_of(root) <= JSON_DEPTH_MAX);
    read_members(root);
    if (depth_of(root) <= JSON_WRITER_DEPTH)
        check_round_trip(root);
    return 0;
}
