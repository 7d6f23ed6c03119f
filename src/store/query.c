/*
 * Queries: prepared once per connection, bound, stepped, reset. See store_internal.h.
 */
#include "store/store_internal.h"

#include <assert.h>
#include <string.h>

int store_error(const struct store_conn *c, int rc, const char *doing, struct err *err)
{
    const char *why = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, -EBUSY, ERR_UNAVAILABLE,
                       "%s: the database '%s' is held by another process; try again", doing,
                       c->path);
    case SQLITE_FULL:
        return err_set(err, -ENOSPC, ERR_UNAVAILABLE,
                       "%s: no space left for '%s'; free some on its file system", doing, c->path);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return err_set(err, -EACCES, ERR_DENIED,
                       "%s: '%s' cannot be opened for writing (%s); check its owner and folder",
                       doing, c->path, why);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, -EUCLEAN, ERR_INTERNAL,
                       "%s: '%s' is damaged (%s); restore it from a backup or move it away", doing,
                       c->path, why);
    case SQLITE_NOMEM:
        return err_set(err, -ENOMEM, ERR_UNAVAILABLE, "%s: out of memory", doing);
    case SQLITE_CONSTRAINT:
        return err_set(err, -EEXIST, ERR_CONFLICT, "%s: %s", doing, why);
    default:
        return err_set(err, -EIO, ERR_INTERNAL, "%s: database '%s': %s", doing, c->path, why);
    }
}

int store_exec(struct store_conn *c, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc != SQLITE_OK ? store_error(c, rc, "change the database", err) : 0;
}

static int statement_get(struct store_conn *c, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    for (unsigned i = 0; i < c->n_statements; i++)
        if (c->statements[i].sql == sql) {
            *ret = c->statements[i].st;
            return 0;
        }
    assert(c->n_statements < STORE_STATEMENTS_MAX);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
    if (rc != SQLITE_OK)
        return store_error(c, rc, "prepare a query", err);
    c->statements[c->n_statements].sql = sql;
    c->statements[c->n_statements++].st = st;
    *ret = st;
    return 0;
}

int query_open(struct store_conn *c, const char *sql, struct query *ret, struct err *err)
{
    (void)pthread_mutex_lock(&c->lock); /* a plain mutex that we initialised: cannot fail */
    sqlite3_stmt *st = NULL;
    int r = statement_get(c, sql, &st, err);
    if (r < 0) {
        (void)pthread_mutex_unlock(&c->lock);
        return r;
    }
    *ret = (struct query){.c = c, .st = st};
    return 0;
}

void query_done(struct query *q)
{
    if (q->c == NULL)
        return;
    (void)sqlite3_reset(q->st); /* repeats the error that query_step() has reported */
    (void)sqlite3_clear_bindings(q->st);
    (void)pthread_mutex_unlock(&q->c->lock);
    *q = (struct query){0};
}

static void note_bind(struct query *q, int rc)
{
    if (q->bind_rc == SQLITE_OK)
        q->bind_rc = rc;
}

void query_text(struct query *q, int at, const char *s)
{
    note_bind(q, s != NULL ? sqlite3_bind_text(q->st, at, s, -1, SQLITE_STATIC)
                           : sqlite3_bind_null(q->st, at));
}

void query_blob(struct query *q, int at, const void *p, size_t n)
{
    note_bind(q, sqlite3_bind_blob64(q->st, at, p, n, SQLITE_STATIC));
}

void query_i64(struct query *q, int at, int64_t v)
{
    note_bind(q, sqlite3_bind_int64(q->st, at, v));
}

int query_step(struct query *q, struct err *err)
{
    if (q->bind_rc != SQLITE_OK)
        return store_error(q->c, q->bind_rc, "bind a query", err);
    int rc = sqlite3_step(q->st);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : store_error(q->c, rc, "use the database", err);
}

int query_run(struct query *q, struct err *err)
{
    int r = query_step(q, err);
    if (r < 0)
        return r;
    return sqlite3_changes(q->c->db);
}

const char *query_col_text(struct query *q, int at)
{
    const char *s = query_col_text_or_null(q, at);
    return s != NULL ? s : "";
}

const char *query_col_text_or_null(struct query *q, int at)
{
    return (const char *)sqlite3_column_text(q->st, at);
}

int64_t query_col_i64(struct query *q, int at)
{
    return sqlite3_column_int64(q->st, at);
}
