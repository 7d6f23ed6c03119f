/*
 * What the table files of the store share: two connections, and queries on them.
 *
 * The write connection commits, and so waits for the disk; the read connection never does, because
 * in WAL mode a reader does not wait for a writer. Each has its own lock, so that a lookup on the
 * loop's thread is not held up by a commit on a worker's. A query locks its connection from
 * query_open() to query_done(): no store function may be called in between on the same connection.
 */
#pragma once

#include "base/cleanup.h"
#include "base/err.h"
#include "store/events.h"
#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    STORE_BUSY_TIMEOUT_MS = 5000, /* a write waits so long for another process: `silica key` */
    STORE_READ_TIMEOUT_MS = 500,  /* a read waits for recovery only, and may be the loop's */
    STORE_STATEMENTS_MAX = 64,    /* distinct statements of one connection */
    STORE_PATH_MAX = 4096,
};

struct store_conn {
    sqlite3 *db;
    pthread_mutex_t lock;
    /* Prepared once and kept; found by the address of their text, which is static. */
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } statements[STORE_STATEMENTS_MAX];
    unsigned n_statements;
    const char *path; /* borrowed from the store, for messages */
};

struct store {
    char path[STORE_PATH_MAX];
    struct store_conn rd, wr;
    unsigned begun; /* depth of store_begin(); under wr.lock */
    struct event_keep keep;
};

struct query {
    struct store_conn *c; /* locked; NULL when there is nothing to undo */
    sqlite3_stmt *st;
    int bind_rc; /* first failure of binding */
};

/* Locks the connection and prepares `sql` (a string constant). Ended by query_done(). */
int query_open(struct store_conn *c, const char *sql, struct query *ret, struct err *err);
void query_done(struct query *q);
#define _cleanup_query_ _cleanup_(query_done)

/* Parameters, counted from 1. Text is borrowed until query_done(); NULL binds NULL. */
void query_text(struct query *q, int at, const char *s);
void query_blob(struct query *q, int at, const void *p, size_t n);
void query_i64(struct query *q, int at, int64_t v);

/* 1: a row is there; 0: no more; negative errno with err. */
int query_step(struct query *q, struct err *err);
/* Runs a statement without rows; returns the number of changed rows. */
int query_run(struct query *q, struct err *err);
/* Column as text, "" for NULL; borrowed until the next step. */
const char *query_col_text(struct query *q, int at);
/* NULL stays NULL. */
const char *query_col_text_or_null(struct query *q, int at);
int64_t query_col_i64(struct query *q, int at);

/* Runs constant statements without parameters; the connection is locked by the caller or unshared.
 */
int store_exec(struct store_conn *c, const char *sql, struct err *err);
/* The error of a result code, in words that say what to do. */
int store_error(const struct store_conn *c, int rc, const char *doing, struct err *err);

/* migrate.c: brings the schema up to date, in one transaction. */
int store_migrate(struct store_conn *wr, struct err *err);
