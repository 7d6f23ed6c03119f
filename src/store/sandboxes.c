#include "store/sandboxes.h"

#include "store/store_internal.h"

static int lifecycle_next(struct store *s, uint64_t *ret, struct err *err)
{
    static const char sql[] =
        "UPDATE counters SET value = value + 1 WHERE name = 'lifecycle' RETURNING value";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r == 0)
        r = query_step(&q, err);
    if (r == 0)
        return err_set(err, -ENOENT, ERR_INTERNAL, "the database '%s' has no lifecycle counter",
                       s->path);
    if (r < 0)
        return r;
    *ret = (uint64_t)query_col_i64(&q, 0);
    r = query_step(&q, err); /* to the end, so that the change is complete */
    return r < 0 ? r : 0;
}

static void bind_row(struct query *q, const struct sandbox_row *row, uint64_t lifecycle)
{
    int at = 1;
    query_text(q, at++, row->id);
    query_text(q, at++, row->team);
    query_text(q, at++, row->template_id);
    query_text(q, at++, row->alias);
    query_text(q, at++, row->driver);
    query_text(q, at++, row->state);
    query_i64(q, at++, (int64_t)lifecycle);
    query_i64(q, at++, row->created_ns);
    query_i64(q, at++, row->started_ns);
    query_i64(q, at++, row->end_ns);
    query_i64(q, at++, (int64_t)row->memory_bytes);
    query_i64(q, at++, row->cpu_millis);
    query_i64(q, at++, row->pids);
    query_i64(q, at++, (int64_t)row->disk_bytes);
    query_i64(q, at++, row->internet);
    query_text(q, at++, row->envd_token);
    query_text(q, at++, row->traffic_token);
    query_text(q, at++, row->control_secret);
    query_text(q, at++, row->mask_host);
    query_text(q, at++, row->network_json);
    query_text(q, at++, row->metadata);
    query_i64(q, at++, row->slot);
    query_i64(q, at++, row->pid);
    query_i64(q, at++, (int64_t)row->pid_start);
    query_text(q, at++, row->build_id != NULL ? row->build_id : "");
}

/* Column order of bind_row() and read_row(). */
#define COLUMNS                                                                                    \
    "id, team, template_id, alias, driver, state, lifecycle, created_ns, started_ns, end_ns,"      \
    " memory_bytes, cpu_millis, pids, disk_bytes, internet, envd_token, traffic_token,"            \
    " control_secret, mask_host, network_json, metadata, slot, pid, pid_start, build_id"

/* What a row gets only later in its life. */
#define LATER_COLUMNS                                                                              \
    "hits_memory, hits_pids, hits_disk, hits_inodes, end_cause, end_text, ended_ns"

static int row_insert(struct store *s, const struct sandbox_row *row, uint64_t lifecycle,
                      struct err *err)
{
    static const char sql[] = "INSERT INTO sandboxes (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
                              " ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
                              " ?21, ?22, ?23, ?24, ?25)";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    bind_row(&q, row, lifecycle);
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

static int insert_begun(struct store *s, const struct sandbox_row *row, uint64_t *ret_lifecycle,
                        struct err *err)
{
    uint64_t lifecycle = 0;
    int r = lifecycle_next(s, &lifecycle, err);
    if (r == 0)
        r = row_insert(s, row, lifecycle, err);
    if (r == 0)
        *ret_lifecycle = lifecycle;
    return r;
}

int store_sandbox_insert(struct store *s, const struct sandbox_row *row, uint64_t *ret_lifecycle,
                         struct err *err)
{
    uint64_t lifecycle = 0;
    int r = store_begin(s, err);
    if (r < 0)
        return r;
    r = store_finish(s, insert_begun(s, row, &lifecycle, err), err);
    if (r == 0)
        *ret_lifecycle = lifecycle;
    return r;
}

/* Runs an UPDATE that must hit one row. */
static int run_on_row(struct query *q, const char *id, struct err *err)
{
    int n = query_run(q, err);
    if (n == 0)
        return err_set(err, -ENOENT, ERR_INTERNAL, "no row for sandbox '%s'", id);
    return n < 0 ? n : 0;
}

int store_sandbox_set_state(struct store *s, const char *id, const char *state, struct err *err)
{
    static const char sql[] = "UPDATE sandboxes SET state = ?2 WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    query_text(&q, 2, state);
    return run_on_row(&q, id, err);
}

int store_sandbox_set_ending(struct store *s, const struct sandbox_row *row, struct err *err)
{
    static const char sql[] = "UPDATE sandboxes SET state = ?2, end_cause = ?3, end_text = ?4,"
                              " ended_ns = ?5 WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, row->id);
    query_text(&q, 2, row->state);
    query_text(&q, 3, row->end_cause);
    query_text(&q, 4, row->end_text);
    query_i64(&q, 5, row->ended_ns);
    return run_on_row(&q, row->id, err);
}

int store_sandbox_set_hits(struct store *s, const char *id,
                           const uint32_t hits[static SANDBOX_HITS], struct err *err)
{
    static const char sql[] = "UPDATE sandboxes SET hits_memory = ?2, hits_pids = ?3,"
                              " hits_disk = ?4, hits_inodes = ?5 WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    for (int i = 0; i < SANDBOX_HITS; i++)
        query_i64(&q, 2 + i, hits[i]);
    return run_on_row(&q, id, err);
}

int store_sandbox_set_started(struct store *s, const struct sandbox_row *row, struct err *err)
{
    static const char sql[] = "UPDATE sandboxes SET state = ?2, started_ns = ?3, end_ns = ?4,"
                              " slot = ?5, pid = ?6, pid_start = ?7 WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, row->id);
    query_text(&q, 2, row->state);
    query_i64(&q, 3, row->started_ns);
    query_i64(&q, 4, row->end_ns);
    query_i64(&q, 5, row->slot);
    query_i64(&q, 6, row->pid);
    query_i64(&q, 7, (int64_t)row->pid_start);
    return run_on_row(&q, row->id, err);
}

int store_sandbox_set_end(struct store *s, const char *id, int64_t end_ns, struct err *err)
{
    static const char sql[] = "UPDATE sandboxes SET end_ns = ?2 WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    query_i64(&q, 2, end_ns);
    return run_on_row(&q, id, err);
}

int store_sandbox_delete(struct store *s, const char *id, struct err *err)
{
    static const char sql[] = "DELETE FROM sandboxes WHERE id = ?1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    return query_run(&q, err);
}

static struct sandbox_row read_row(struct query *q)
{
    return (struct sandbox_row){
        .id = query_col_text(q, 0),
        .team = query_col_text(q, 1),
        .template_id = query_col_text(q, 2),
        .alias = query_col_text(q, 3),
        .driver = query_col_text(q, 4),
        .state = query_col_text(q, 5),
        .lifecycle = (uint64_t)query_col_i64(q, 6),
        .created_ns = query_col_i64(q, 7),
        .started_ns = query_col_i64(q, 8),
        .end_ns = query_col_i64(q, 9),
        .memory_bytes = (uint64_t)query_col_i64(q, 10),
        .cpu_millis = (uint32_t)query_col_i64(q, 11),
        .pids = (uint32_t)query_col_i64(q, 12),
        .disk_bytes = (uint64_t)query_col_i64(q, 13),
        .internet = (int)query_col_i64(q, 14),
        .envd_token = query_col_text(q, 15),
        .traffic_token = query_col_text_or_null(q, 16),
        .control_secret = query_col_text(q, 17),
        .mask_host = query_col_text_or_null(q, 18),
        .network_json = query_col_text_or_null(q, 19),
        .metadata = query_col_text(q, 20),
        .slot = (uint32_t)query_col_i64(q, 21),
        .pid = (int32_t)query_col_i64(q, 22),
        .pid_start = (uint64_t)query_col_i64(q, 23),
        .build_id = query_col_text(q, 24),
        .hits = {(uint32_t)query_col_i64(q, 25), (uint32_t)query_col_i64(q, 26),
                 (uint32_t)query_col_i64(q, 27), (uint32_t)query_col_i64(q, 28)},
        .end_cause = query_col_text_or_null(q, 29),
        .end_text = query_col_text_or_null(q, 30),
        .ended_ns = query_col_i64(q, 31),
    };
}

int store_sandbox_each(struct store *s, int (*each)(const struct sandbox_row *row, void *user),
                       void *user, struct err *err)
{
    static const char sql[] =
        "SELECT " COLUMNS ", " LATER_COLUMNS " FROM sandboxes ORDER BY created_ns, id";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->rd, sql, &q, err);
    while (r == 0 && (r = query_step(&q, err)) > 0) {
        struct sandbox_row row = read_row(&q);
        r = each(&row, user);
    }
    return r;
}
