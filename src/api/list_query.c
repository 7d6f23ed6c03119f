/*
 * Reading the query of a list request.
 *
 * Metadata arrives in three layers: clients percent-encode keys and values, form-encode the pairs,
 * and the query encodes that string once more. So: decode the parameter (the query's own layer),
 * decode the whole string, split at '&' and the first '=', and decode each part.
 *
 * The cursor names the last sandbox of a page by (start time, id), not its position: sandboxes may
 * come and go between two pages without one being skipped or shown twice.
 */
#include "api/list.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/num.h"

static int bad(struct err *err, const char *what)
{
    return err_set(err, -EINVAL, ERR_INVALID, "%s", what);
}

/* Decoded value in `out`. 1 present and not empty, 0 absent or empty, negative refused. */
static int get(struct slice query, const char *name, struct buf *out, struct err *err)
{
    int r = url_query_get(query, name, out);
    if (r < 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "%s is given twice or is not a well-formed query value", name);
    return r > 0 && out->n > 0;
}

static int decode_pair(struct slice pair, struct buf *out)
{
    size_t eq = slice_find(pair, '=');
    if (eq == pair.n)
        return -EINVAL;
    struct slice parts[] = {slice_sub(pair, 0, eq), slice_from(pair, eq + 1)};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (url_decode(out, parts[i], URL_PLUS_IS_SPACE | URL_NO_NUL) < 0 ||
            buf_put_char(out, '\0') < 0)
            return -EINVAL;
    return 0;
}

static int read_metadata(struct slice query, struct list_query *q, struct err *err)
{
    _cleanup_buf_ struct buf once = BUF_INIT(API_QUERY_VALUE_MAX_BYTES);
    _cleanup_buf_ struct buf twice = BUF_INIT(API_QUERY_VALUE_MAX_BYTES);
    static const char what[] = "metadata is not a well-formed list of key=value pairs";
    int r = get(query, "metadata", &once, err);
    if (r <= 0)
        return r;
    if (url_decode(&twice, buf_slice(&once), URL_PLUS_IS_SPACE | URL_NO_NUL) < 0)
        return bad(err, what);
    struct slice rest = buf_slice(&twice), pair;
    size_t n = 0;
    while (slice_next(&rest, '&', &pair)) {
        if (pair.n == 0)
            continue;
        if (n++ == LIST_METADATA_MAX)
            return bad(err, "metadata has too many pairs (at most 64)");
        if (decode_pair(pair, &q->metadata) < 0)
            return bad(err, what);
    }
    return 0;
}

static int read_state(struct slice query, struct list_query *q, struct buf *tmp, struct err *err)
{
    int r = get(query, "state", tmp, err);
    if (r <= 0)
        return r;
    struct slice rest = buf_slice(tmp), one;
    q->running = q->paused = false;
    while (slice_next(&rest, ',', &one)) {
        if (slice_eq_str(one, "running"))
            q->running = true;
        else if (slice_eq_str(one, "paused"))
            q->paused = true;
        else
            return bad(err, "state must be a list of running and paused");
    }
    return 0;
}

static int read_template(struct slice query, struct list_query *q, struct buf *tmp, struct err *err)
{
    int r = get(query, "template", tmp, err);
    if (r <= 0)
        return r;
    struct slice name = buf_slice(tmp);
    if (slice_find(name, ':') < name.n)
        return bad(err, "template must be an id or alias without a tag");
    for (size_t slash = slice_find(name, '/'); slash < name.n; slash = slice_find(name, '/'))
        name = slice_from(name, slash + 1);
    if (slice_copy(name, q->template, sizeof(q->template)) < 0)
        return bad(err, "template is too long");
    return 0;
}

static int read_order(struct slice query, struct list_query *q, struct buf *tmp, struct err *err)
{
    int r = get(query, "order", tmp, err);
    if (r <= 0)
        return r;
    q->ascending = slice_eq_str(buf_slice(tmp), "asc");
    if (!q->ascending && !slice_eq_str(buf_slice(tmp), "desc"))
        return bad(err, "order must be asc or desc");
    return 0;
}

static int read_paging(struct slice query, struct list_query *q, struct buf *tmp, struct err *err)
{
    int r = get(query, "startedAfter", tmp, err);
    if (r > 0 && rfc3339_parse(buf_slice(tmp), &q->started_after_ns) < 0)
        return bad(err, "startedAfter must be an RFC 3339 time");
    if (r >= 0)
        r = get(query, "limit", tmp, err);
    if (r > 0 && (parse_u32(buf_slice(tmp), LIST_LIMIT_MAX, &q->limit) < 0 || q->limit == 0))
        return bad(err, "limit must be between 1 and 100");
    if (r >= 0)
        r = get(query, "nextToken", tmp, err);
    q->has_cursor = r > 0;
    if (r > 0 && list_cursor_parse(buf_slice(tmp), q->ascending, &q->cursor_ns, q->cursor_id) < 0)
        return bad(err, "Invalid next token: nextToken is not one of this list and order");
    return r;
}

int list_query_parse(struct slice query, bool v1, struct list_query *ret, struct err *err)
{
    _cleanup_buf_ struct buf tmp = BUF_INIT(API_QUERY_VALUE_MAX_BYTES);
    *ret = (struct list_query){.running = true,
                               .paused = !v1,
                               .limit = v1 ? UINT32_MAX : LIST_LIMIT_MAX,
                               .started_after_ns = INT64_MIN};
    buf_init(&ret->metadata, API_QUERY_VALUE_MAX_BYTES);
    int r = read_metadata(query, ret, err);
    if (r >= 0 && !v1)
        r = read_state(query, ret, &tmp, err);
    if (r >= 0 && !v1)
        r = read_template(query, ret, &tmp, err);
    if (r >= 0 && !v1)
        r = read_order(query, ret, &tmp, err);
    if (r >= 0 && !v1)
        r = read_paging(query, ret, &tmp, err);
    return r < 0 ? r : 0;
}

void list_query_done(struct list_query *q)
{
    buf_done(&q->metadata);
}

static bool has_metadata(const struct sandbox_info *info, const char *key, const char *value)
{
    for (size_t i = 0; i < info->n_metadata; i++)
        if (slice_eq(slice_str(info->metadata[i].key), slice_str(key)))
            return slice_eq(slice_str(info->metadata[i].value), slice_str(value));
    return false;
}

bool list_query_matches(const struct list_query *q, const struct sandbox_info *info)
{
    if (!q->running || info->started_wall_ns < q->started_after_ns)
        return false;
    struct slice template = slice_str(q->template);
    if (template.n > 0 && !slice_eq_str(template, info->template_id) &&
        !slice_eq(template, slice_str(info->alias)))
        return false;
    const char *p = q->metadata.p, *end = p == NULL ? NULL : p + q->metadata.n;
    while (p != end) {
        const char *value = p + strlen(p) + 1;
        if (!has_metadata(info, p, value))
            return false;
        p = value + strlen(value) + 1;
    }
    return true;
}

int list_cursor_put(struct buf *out, int64_t started_ns, const char *id, bool ascending)
{
    _cleanup_buf_ struct buf text = BUF_INIT(LIST_CURSOR_MAX_BYTES);
    size_t from = out->n;
    (void)buf_printf(&text, "%lld__%s__%s", (long long)started_ns, id, ascending ? "asc" : "desc");
    if (text.error != 0 || base64_put(out, buf_slice(&text)) < 0)
        return -ENOBUFS;
    while (out->n > from && out->p[out->n - 1] == '=')
        out->p[--out->n] = '\0';
    for (size_t i = from; i < out->n; i++) {
        if (out->p[i] == '+')
            out->p[i] = '-';
        else if (out->p[i] == '/')
            out->p[i] = '_';
    }
    return 0;
}

/* The part before the next "__"; the rest stays in *rest. False when there is none. */
static bool next_part(struct slice *rest, struct slice *ret)
{
    for (size_t i = 0; i + 1 < rest->n; i++) {
        if (rest->p[i] != '_' || rest->p[i + 1] != '_')
            continue;
        *ret = slice_sub(*rest, 0, i);
        *rest = slice_from(*rest, i + 2);
        return true;
    }
    return false;
}

int list_cursor_parse(struct slice token, bool ascending, int64_t *ret_ns,
                      char ret_id[static API_ID_MAX_BYTES])
{
    _cleanup_buf_ struct buf text = BUF_INIT(LIST_CURSOR_MAX_BYTES);
    struct slice rest, ns, id;
    int64_t value;
    char checked[API_ID_MAX_BYTES], given[API_ID_MAX_BYTES];
    if (base64_get(&text, token) < 0)
        return -EINVAL;
    rest = buf_slice(&text);
    if (!next_part(&rest, &ns) || !next_part(&rest, &id) ||
        !slice_eq_str(rest, ascending ? "asc" : "desc") ||
        parse_i64(ns, INT64_MIN + 1, INT64_MAX, &value) < 0 ||
        slice_copy(id, given, sizeof(given)) < 0 || api_sandbox_id(given, checked, NULL) < 0)
        return -EINVAL;
    *ret_ns = value;
    return slice_copy(slice_str(checked), ret_id, API_ID_MAX_BYTES);
}

int list_compare(int64_t a_ns, const char *a_id, int64_t b_ns, const char *b_id)
{
    if (a_ns != b_ns)
        return a_ns < b_ns ? -1 : 1;
    return strcmp(a_id, b_id);
}
