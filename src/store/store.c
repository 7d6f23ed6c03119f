/*
 * Opening and closing the database.
 *
 * The file is made with mode 0600 before SQLite sees it, and SQLite gives its -wal and -shm files
 * the same mode and owner. When root makes it (the first `silica serve`), it gets the owner of its
 * folder, which is the daemon's. The folder belongs to the daemon, so nothing in it is followed
 * as a symbolic link.
 */
#include "store/store.h"

#include "base/slice.h"
#include "store/store_internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_NS (INT64_C(86400) * 1000000000)

/* Makes the file with the folder's owner, if it is not there. */
static int make_file(const char *dir, const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : err_sys(err, -errno, "make the database '%s'", path);
    struct stat st;
    if (geteuid() == 0 && (stat(dir, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0))
        return err_sys(err, -errno, "give the database '%s' the owner of its folder", path);
    return 0;
}

/* path = realpath(folder) "/" name: SQLITE_OPEN_NOFOLLOW would refuse links above the folder too.
 */
static int resolve(const char *path, char ret_dir[static PATH_MAX], char ret[static STORE_PATH_MAX],
                   struct err *err)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    if (slash == NULL || slash[1] == '\0' ||
        slice_copy(slice_of(path, slash == path ? 1 : (size_t)(slash - path)), dir, sizeof(dir)) <
            0)
        return err_set(err, -EINVAL, ERR_INVALID, "'%s' is no absolute database path", path);
    if (realpath(dir, ret_dir) == NULL)
        return err_sys(err, -errno, "find the folder '%s' of the database", dir);
    int n = snprintf(ret, STORE_PATH_MAX, "%s%s", ret_dir, slash);
    if (n < 0 || n >= STORE_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "database path '%s' is too long", path);
    return 0;
}

static int conn_open(struct store_conn *c, const char *path, struct err *err)
{
    c->path = path;
    int rc = sqlite3_open_v2(
        path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (rc != SQLITE_OK)
        return store_error(c, rc, "open the database", err);
    (void)sqlite3_extended_result_codes(c->db, 1);
    (void)sqlite3_busy_timeout(c->db, STORE_BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return store_exec(c,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
                      err);
}

static void conn_close(struct store_conn *c)
{
    for (unsigned i = 0; i < c->n_statements; i++)
        (void)sqlite3_finalize(c->statements[i].st); /* repeats an error that was reported */
    (void)sqlite3_close(c->db);
    (void)pthread_mutex_destroy(&c->lock);
}

/* The write lock is recursive: a transaction holds it around its queries. */
static void locks_init(struct store *s)
{
    pthread_mutexattr_t recursive;
    (void)pthread_mutexattr_init(&recursive); /* these calls cannot fail on Linux */
    (void)pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&s->wr.lock, &recursive);
    (void)pthread_mutexattr_destroy(&recursive);
    (void)pthread_mutex_init(&s->rd.lock, NULL);
}

int store_open(const char *path, struct store **ret, struct err *err)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return err_sys(err, -ENOMEM, "open the database");
    locks_init(s);
    s->keep = (struct event_keep){
        .all = EVENTS_ALL_MAX, .each = EVENTS_EACH_MAX, .ns = EVENTS_KEEP_DAYS * DAY_NS};
    char dir[PATH_MAX];
    int r = resolve(path, dir, s->path, err);
    if (r == 0)
        r = make_file(dir, s->path, err);
    if (r == 0)
        r = conn_open(&s->wr, s->path, err);
    if (r == 0)
        r = store_migrate(&s->wr, err);
    if (r == 0)
        r = conn_open(&s->rd, s->path, err);
    if (r == 0)
        r = store_exec(&s->rd, "PRAGMA query_only = ON;", err);
    if (r == 0)
        (void)sqlite3_busy_timeout(s->rd.db, STORE_READ_TIMEOUT_MS);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    conn_close(&s->rd);
    conn_close(&s->wr); /* last: the last connection checkpoints the log */
    free(s);
}

/* One statement by itself, such as BEGIN. */
static int run_alone(struct store *s, const char *sql, struct err *err)
{
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->wr, sql, &q, err);
    if (r == 0)
        r = query_step(&q, err);
    return r < 0 ? r : 0;
}

int store_begin(struct store *s, struct err *err)
{
    static const char begin[] = "BEGIN IMMEDIATE";
    (void)pthread_mutex_lock(&s->wr.lock); /* recursive; cannot fail */
    int r = s->begun == 0 ? run_alone(s, begin, err) : 0;
    if (r < 0) {
        (void)pthread_mutex_unlock(&s->wr.lock);
        return r;
    }
    s->begun++;
    return 0;
}

int store_finish(struct store *s, int result, struct err *err)
{
    static const char commit[] = "COMMIT", rollback[] = "ROLLBACK";
    int r = result;
    if (--s->begun == 0) {
        int kept = r >= 0 ? run_alone(s, commit, err) : 0;
        r = kept < 0 ? kept : r;
        if (r < 0)
            (void)run_alone(s, rollback, NULL); /* may have been rolled back already; r says why */
    }
    (void)pthread_mutex_unlock(&s->wr.lock);
    return r;
}
