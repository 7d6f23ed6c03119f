/*
 * The schema, as the list of steps that led to it. Step n brings user_version n to n + 1. A step
 * that was released is never changed; a change of the schema is a new step at the end. All missing
 * steps run in one transaction, under the write lock, so that two programs that start at once do
 * not both migrate.
 *
 * Times are nanoseconds of the wall clock. Environment values are not kept anywhere: they are
 * needed only while a sandbox starts.
 */
#include "base/clock.h"
#include "base/ids.h"
#include "store/store_internal.h"

static const char step_1[] =
    "CREATE TABLE teams ("
    "  id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE api_keys ("
    "  id TEXT NOT NULL PRIMARY KEY, team TEXT NOT NULL REFERENCES teams(id),"
    "  name TEXT NOT NULL, mask TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,"
    "  created_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE sandboxes ("
    "  id TEXT NOT NULL PRIMARY KEY, team TEXT NOT NULL REFERENCES teams(id),"
    "  template_id TEXT NOT NULL, alias TEXT NOT NULL, driver TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK (state IN ('creating', 'running', 'killing')),"
    "  lifecycle INTEGER NOT NULL UNIQUE,"
    "  created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,"
    "  memory_bytes INTEGER NOT NULL, cpu_millis INTEGER NOT NULL, pids INTEGER NOT NULL,"
    "  disk_bytes INTEGER NOT NULL, internet INTEGER NOT NULL CHECK (internet IN (-1, 0, 1)),"
    "  envd_token TEXT NOT NULL, traffic_token TEXT, control_secret TEXT NOT NULL,"
    "  mask_host TEXT, network_json TEXT, metadata TEXT NOT NULL,"
    "  slot INTEGER NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE counters ("
    "  name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO counters (name, value) VALUES ('lifecycle', 0);";

/*
 * Why a sandbox ends and which limits it met are written when they are known, so that its last event
 * can be written by whoever removes the row. The indexes of `events` hold all that a question about
 * events filters by, so that rows that are not asked for are not read.
 */
static const char step_2[] =
    "ALTER TABLE sandboxes ADD COLUMN build_id TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE sandboxes ADD COLUMN hits_memory INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sandboxes ADD COLUMN hits_pids INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sandboxes ADD COLUMN hits_disk INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sandboxes ADD COLUMN hits_inodes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE sandboxes ADD COLUMN end_cause TEXT;"
    "ALTER TABLE sandboxes ADD COLUMN end_text TEXT;"
    "ALTER TABLE sandboxes ADD COLUMN ended_ns INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE events ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,"
    "  sandbox TEXT NOT NULL, team TEXT NOT NULL, template_id TEXT NOT NULL, build_id TEXT NOT "
    "NULL,"
    "  lifecycle INTEGER NOT NULL, type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 31),"
    "  time_ns INTEGER NOT NULL, data TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX events_of_team ON events (team, seq, type);"
    "CREATE INDEX events_of_sandbox ON events (sandbox, team, seq, type);";

static const char *const steps[] = {step_1, step_2};
enum { SCHEMA_VERSION = ARRAY_LEN(steps) };

static int version_get(struct store_conn *wr, unsigned *ret, struct err *err)
{
    _cleanup_query_ struct query q = {0};
    int r = query_open(wr, "PRAGMA user_version", &q, err);
    if (r == 0)
        r = query_step(&q, err);
    if (r < 0)
        return r;
    int64_t v = query_col_i64(&q, 0);
    if (v < 0 || v > SCHEMA_VERSION)
        return err_set(err, -EPROTO, ERR_CONFLICT,
                       "the database '%s' was made by a newer Silica (schema %lld, this one knows "
                       "%d); start that version, or give --data another folder",
                       wr->path, (long long)v, SCHEMA_VERSION);
    *ret = (unsigned)v;
    return 0;
}

static int default_team_insert(struct store_conn *wr, struct err *err)
{
    char id[37];
    id_new_uuid(id);
    _cleanup_query_ struct query q = {0};
    int r = query_open(wr, "INSERT INTO teams (id, name, created_ns) VALUES (?1, 'default', ?2)",
                       &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    query_i64(&q, 2, clock_wall_ns());
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

static int run_steps(struct store_conn *wr, struct err *err)
{
    unsigned have = 0;
    int r = version_get(wr, &have, err);
    for (unsigned i = have; r == 0 && i < SCHEMA_VERSION; i++)
        r = store_exec(wr, steps[i], err);
    if (r == 0 && have == 0)
        r = default_team_insert(wr, err);
    if (r == 0 && have < SCHEMA_VERSION) {
        char set[48];
        (void)snprintf(set, sizeof(set), "PRAGMA user_version = %d", SCHEMA_VERSION);
        r = store_exec(wr, set, err);
    }
    return r;
}

int store_migrate(struct store_conn *wr, struct err *err)
{
    int r = store_exec(wr, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    r = run_steps(wr, err);
    if (r == 0)
        r = store_exec(wr, "COMMIT", err);
    if (r < 0)
        (void)sqlite3_exec(wr->db, "ROLLBACK", NULL, NULL, NULL); /* r says what went wrong */
    return r;
}
