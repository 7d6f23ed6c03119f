/*
 * GET /v2/sandboxes (paged) and GET /sandboxes (all). The manager visits oldest first; the matches
 * are collected as borrowed infos, which is sound because nothing returns to the loop in between.
 * Memory: one struct sandbox_info for each running sandbox of the team, and the answer.
 */
#include "api/list.h"
#include "base/cleanup.h"

struct matches {
    const struct list_query *query;
    struct sandbox_info *info; /* owned array, oldest first */
    size_t n, cap;
    bool no_memory;
};

static bool collect(void *user, const struct sandbox_info *info)
{
    struct matches *m = user;
    if (!list_query_matches(m->query, info))
        return true;
    if (m->n == m->cap) {
        size_t cap = m->cap == 0 ? 64 : m->cap * 2;
        struct sandbox_info *grown = reallocarray(m->info, cap, sizeof(*grown));
        m->no_memory = grown == NULL;
        if (grown == NULL)
            return false;
        m->info = grown;
        m->cap = cap;
    }
    m->info[m->n++] = *info;
    return true;
}

static bool behind_cursor(const struct list_query *q, const struct sandbox_info *info)
{
    if (!q->has_cursor)
        return true;
    int c = list_compare(info->started_wall_ns, info->id, q->cursor_ns, q->cursor_id);
    return q->ascending ? c > 0 : c < 0;
}

/* Writes one page and, when there is more, the token of the next into `token`. */
static void put_page(const struct list_query *q, const struct matches *m, struct json_writer *w,
                     struct buf *token)
{
    const struct sandbox_info *last = NULL;
    uint32_t shown = 0;
    jw_arr(w);
    for (size_t i = 0; i < m->n; i++) {
        const struct sandbox_info *info = &m->info[q->ascending ? i : m->n - 1 - i];
        if (!behind_cursor(q, info))
            continue;
        if (last != NULL && shown == q->limit) {
            (void)list_cursor_put(token, last->started_wall_ns, last->id, q->ascending);
            break;
        }
        api_render_listed(info, w);
        last = info;
        shown++;
    }
    jw_end(w);
}

static void answer(struct api_req *req, const struct list_query *q, const struct matches *m)
{
    _cleanup_buf_ struct buf out = BUF_INIT(API_ANSWER_MAX_BYTES);
    _cleanup_buf_ struct buf token = BUF_INIT(LIST_CURSOR_MAX_BYTES);
    _cleanup_buf_ struct buf total = BUF_INIT(24);
    struct http_header h[2];
    size_t n = 0;
    struct json_writer w;
    jw_init(&w, &out);
    put_page(q, m, &w, &token);
    if (q->running) {
        buf_put_u64(&total, m->n);
        h[n++] = (struct http_header){SLICE_LIT("X-Total-Running"), buf_slice(&total)};
    }
    if (token.n > 0)
        h[n++] = (struct http_header){SLICE_LIT("X-Next-Token"), buf_slice(&token)};
    api_reply_json(req, 200, &out, h, n);
}

static void list(struct api_req *req, bool v1)
{
    struct err err = {0};
    _cleanup_list_query_ struct list_query query = {0};
    if (list_query_parse(req->query, v1, &query, &err) < 0) {
        api_reply_err(req, &err);
        return;
    }
    struct matches matches = {.query = &query};
    sandbox_each(req->api->manager, req->team, collect, &matches);
    _cleanup_free_ struct sandbox_info *owned = matches.info;
    if (matches.no_memory) {
        err_set(&err, -ENOMEM, ERR_INTERNAL, "out of memory while listing");
        api_reply_err(req, &err);
        return;
    }
    answer(req, &query, &matches);
    (void)owned;
}

void api_list_v1(struct api_req *req, struct slice body)
{
    (void)body;
    list(req, true);
}

void api_list_v2(struct api_req *req, struct slice body)
{
    (void)body;
    list(req, false);
}
