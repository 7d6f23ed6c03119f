/* Events of sandboxes: what goes in comes out in order, and what is old or too many goes. */
// deps: store base sqlite
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "store/events.h"
#include "store/keys.h"
#include "store/sandboxes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEAM  "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"

static char dir[64], path[96];
static struct store *store;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/silica-events-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/silica.db", dir);
    assert_int_equal(store_open(path, &store, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    assert_int_equal(fs_remove_tree(AT_FDCWD, dir, NULL), 0);
    return 0;
}

static struct event event_of(const char *sandbox, enum event_type type, unsigned n)
{
    struct event e = {.team = TEAM,
                      .build_id = "00000000-0000-4000-8000-000000000000",
                      .template_id = "abcdefghij0123456789",
                      .lifecycle = 7,
                      .type = type,
                      .time_ns = clock_wall_ns()};
    (void)snprintf(e.sandbox, sizeof(e.sandbox), "%s", sandbox);
    (void)snprintf(e.data, sizeof(e.data), "{\"n\":%u}", n);
    return e;
}

static void add(const char *sandbox, enum event_type type, unsigned n)
{
    struct event e = event_of(sandbox, type, n);
    assert_int_equal(store_event_add(store, &e, 1, NULL), 0);
}

/* Numbers of the found events, as "3 2 1". */
static char found[4096];
static struct event last;

static int note(const struct event *e, void *user)
{
    (void)user;
    size_t n = strlen(found);
    unsigned number = 0;
    for (const char *p = e->data; *p != '\0'; p++)
        if (*p >= '0' && *p <= '9')
            number = number * 10 + (unsigned)(*p - '0');
    (void)snprintf(found + n, sizeof(found) - n, "%s%u", n > 0 ? " " : "", number);
    last = *e;
    return 0;
}

static const char *ask(struct event_query q)
{
    found[0] = '\0';
    q.team = q.team != NULL ? q.team : TEAM;
    q.limit = q.limit != 0 ? q.limit : 100;
    assert_int_equal(store_event_each(store, &q, note, NULL, NULL), 0);
    return found;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct event in = event_of("ione", EVENT_OUT_OF_MEMORY, 5), out;
    assert_int_equal(store_event_add(store, &in, 1, NULL), 0);
    assert_int_equal(store_event_last(store, TEAM, "ione", EVENT_OUT_OF_MEMORY, &out, NULL), 1);
    assert_int_equal(strlen(out.id), 36);
    assert_string_equal(out.sandbox, "ione");
    assert_string_equal(out.team, TEAM);
    assert_string_equal(out.template_id, in.template_id);
    assert_string_equal(out.build_id, in.build_id);
    assert_string_equal(out.data, "{\"n\":5}");
    assert_int_equal(out.lifecycle, 7);
    assert_int_equal(out.type, EVENT_OUT_OF_MEMORY);
    assert_true(out.time_ns == in.time_ns);
    assert_int_equal(store_event_last(store, TEAM, "ione", EVENT_KILLED, &out, NULL), 0);
    assert_int_equal(store_event_last(store, OTHER, "ione", EVENT_OUT_OF_MEMORY, &out, NULL), 0);
    assert_int_equal(store_event_last(store, TEAM, "itwo", EVENT_OUT_OF_MEMORY, &out, NULL), 0);
}

static void test_questions(void **state)
{
    (void)state;
    add("ione", EVENT_CREATED, 1);
    add("itwo", EVENT_CREATED, 2);
    add("ione", EVENT_UPDATED, 3);
    add("ione", EVENT_KILLED, 4);
    struct event foreign = event_of("ithree", EVENT_CREATED, 5);
    (void)snprintf(foreign.team, sizeof(foreign.team), OTHER);
    assert_int_equal(store_event_add(store, &foreign, 1, NULL), 0);
    static const struct {
        struct event_query q;
        const char *want;
    } cases[] = {
        {{0}, "4 3 2 1"},
        {{.ascending = true}, "1 2 3 4"},
        {{.limit = 2}, "4 3"},
        {{.limit = 2, .offset = 1}, "3 2"},
        {{.limit = 2, .offset = 1, .ascending = true}, "2 3"},
        {{.offset = 4}, ""},
        {{.offset = UINT32_MAX}, ""},
        {{.types = 1u << EVENT_CREATED}, "2 1"},
        {{.types = 1u << EVENT_CREATED | 1u << EVENT_KILLED}, "4 2 1"},
        {{.types = 1u << EVENT_CREATED, .offset = 1}, "1"},
        {{.types = 1u << EVENT_DISK_FULL}, ""},
        {{.sandbox = "ione"}, "4 3 1"},
        {{.sandbox = "ione", .ascending = true, .limit = 1}, "1"},
        {{.sandbox = "ione", .types = 1u << EVENT_KILLED}, "4"},
        {{.sandbox = "inone"}, ""},
        {{.sandbox = "ithree"}, ""},
        {{.team = OTHER}, "5"},
        {{.team = OTHER, .sandbox = "ione"}, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(ask(cases[i].q), cases[i].want);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 1; i < EVENT_TYPE_MAX_; i++)
        assert_int_equal(event_type_parse(event_type_name((enum event_type)i)), i);
    assert_int_equal(event_type_parse("sandbox.lifecycle.paused"), 0);
    assert_int_equal(event_type_parse(""), 0);
    assert_string_equal(event_type_name(EVENT_KILLED), "sandbox.lifecycle.killed");
}

static void test_pruned_by_number(void **state)
{
    (void)state;
    store_event_keep(store, &(struct event_keep){.all = 5, .each = 3, .ns = INT64_MAX / 4});
    for (unsigned i = 1; i <= 6; i++)
        add("ione", EVENT_UPDATED, i);
    assert_string_equal(ask((struct event_query){0}), "6 5 4");
    add("itwo", EVENT_UPDATED, 7);
    add("itwo", EVENT_UPDATED, 8);
    assert_string_equal(ask((struct event_query){0}), "8 7 6 5 4");
    add("ithree", EVENT_UPDATED, 9); /* one more than all may have */
    assert_string_equal(ask((struct event_query){0}), "9 8 7 6 5");
    struct event two[] = {event_of("ione", EVENT_UPDATED, 10),
                          event_of("ifour", EVENT_UPDATED, 11)};
    assert_int_equal(store_event_add(store, two, ARRAY_LEN(two), NULL), 0);
    assert_string_equal(ask((struct event_query){0}), "11 10 9 8 7");
}

static void test_pruned_by_age(void **state)
{
    (void)state;
    store_event_keep(store, &(struct event_keep){.all = 100, .each = 100, .ns = 3600 * NS_PER_S});
    struct event old = event_of("ione", EVENT_CREATED, 1);
    old.time_ns -= 3599 * (int64_t)NS_PER_S;
    assert_int_equal(store_event_add(store, &old, 1, NULL), 0);
    assert_string_equal(ask((struct event_query){0}), "1");
    store_event_keep(store, &(struct event_keep){.all = 100, .each = 100, .ns = 3500 * NS_PER_S});
    add("itwo", EVENT_CREATED, 2);
    assert_string_equal(ask((struct event_query){0}), "2");
}

/* An event and the change that it tells of are kept together or not at all. */
static void test_transaction(void **state)
{
    (void)state;
    struct event e = event_of("ione", EVENT_KILLED, 1), bad = event_of("ione", EVENT_KILLED, 2);
    struct err err = {0};
    bad.type = EVENT_TYPE_MAX_ + 40; /* the schema refuses it */
    assert_int_equal(store_begin(store, NULL), 0);
    assert_int_equal(store_event_add(store, &e, 1, NULL), 0);
    assert_int_equal(store_finish(store, -EIO, NULL), -EIO);
    assert_string_equal(ask((struct event_query){0}), "");
    assert_int_equal(store_begin(store, NULL), 0);
    assert_int_equal(store_event_add(store, &e, 1, NULL), 0);
    assert_true(store_event_add(store, &bad, 1, &err) < 0);
    assert_true(store_finish(store, err.num, NULL) < 0);
    assert_string_equal(ask((struct event_query){0}), "");
    struct event both[] = {e, bad};
    assert_true(store_event_add(store, both, 2, NULL) < 0);
    assert_string_equal(ask((struct event_query){0}), "");
    assert_int_equal(store_event_add(store, both, 1, NULL), 0); /* nothing stayed open */
    assert_string_equal(ask((struct event_query){0}), "1");
}

/* A database of the version before has its rows and gets what is new. */
static void test_migration(void **state)
{
    (void)state;
    sqlite3 *db = NULL;
    store_close(store);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "DROP TABLE events; PRAGMA user_version = 1;"
                     "ALTER TABLE sandboxes DROP COLUMN build_id;"
                     "ALTER TABLE sandboxes DROP COLUMN hits_memory;"
                     "ALTER TABLE sandboxes DROP COLUMN hits_pids;"
                     "ALTER TABLE sandboxes DROP COLUMN hits_disk;"
                     "ALTER TABLE sandboxes DROP COLUMN hits_inodes;"
                     "ALTER TABLE sandboxes DROP COLUMN end_cause;"
                     "ALTER TABLE sandboxes DROP COLUMN end_text;"
                     "ALTER TABLE sandboxes DROP COLUMN ended_ns;"
                     "INSERT INTO sandboxes SELECT 'iold', id, 't', '', 'd', 'running', 1, 1, 1, 1,"
                     " 1, 1, 1, 1, 1, '', NULL, '', NULL, NULL, '{}', 1, 1, 1 FROM teams",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(store_open(path, &store, NULL), 0);
    const uint32_t hits[SANDBOX_HITS] = {1};
    assert_int_equal(store_sandbox_set_hits(store, "iold", hits, NULL), 0);
    add("iold", EVENT_CREATED, 1);
    assert_string_equal(ask((struct event_query){0}), "1");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_round_trip),    T(test_questions),   T(test_names),     T(test_pruned_by_number),
        T(test_pruned_by_age), T(test_transaction), T(test_migration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
