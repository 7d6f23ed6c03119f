/* What the manager writes down of a life: each event once, with its reason; the rig is sandbox_rig.h. */
// deps: sandbox store image json base uv sqlite
#include "sandbox_rig.h"
#include "store/events.h"

/* The events so far, oldest first, as "created killed:request". */
static char story[4096];
static struct event latest;

static int tell(const struct event *e, void *user)
{
    const char *name = strrchr(event_type_name(e->type), '.') + 1;
    const char *at = strstr(e->data, "\"reason\":\"");
    size_t n = strlen(story);
    (void)user;
    (void)snprintf(story + n, sizeof(story) - n, "%s%s", n > 0 ? " " : "", name);
    n = strlen(story);
    if (at != NULL)
        (void)snprintf(story + n, sizeof(story) - n, ":%.*s", (int)strcspn(at + 10, "\""), at + 10);
    at = strstr(e->data, "\"total\":");
    if (at != NULL)
        (void)snprintf(story + n, sizeof(story) - n, ":%.*s", (int)strspn(at + 8, "0123456789"),
                       at + 8);
    latest = *e;
    return 0;
}

static const char *events_of(const char *id)
{
    struct event_query q = {.team = w.team, .sandbox = id, .ascending = true, .limit = 1000};
    story[0] = '\0';
    assert_int_equal(store_event_each(w.store, &q, tell, NULL, NULL), 0);
    return story;
}

static void exit_of(const char *id, enum driver_exit_cause cause, int status)
{
    struct driver_exit why = {.cause = cause, .status = status, .reason = "as the driver has it"};
    w.driver.on_exit(w.driver.on_exit_user, id, &why);
}

static void hit(const char *id, enum driver_event kind, uint32_t total)
{
    w.driver.on_event(w.driver.on_exit_user, id, kind, total);
}

static bool is_gone(const char *id)
{
    return registry_find(w.m, id) == NULL;
}

static void test_story_of_a_life(void **state)
{
    (void)state;
    struct answer a = create(300);
    assert_string_equal(events_of(a.id), "created");
    assert_string_equal(latest.sandbox, a.id);
    assert_string_equal(latest.template_id, TEMPLATE);
    assert_string_equal(latest.build_id, "00000000-0000-4000-8000-000000000000");
    assert_true(latest.time_ns == a.start_ns);
    assert_true(set_timeout(a.id, 600, false).ok);
    assert_string_equal(events_of(a.id), "created updated");
    assert_true(set_timeout(a.id, 1, true).ok); /* nothing moves */
    assert_string_equal(events_of(a.id), "created updated");
    assert_true(kill_and_wait(a.id).ok);
    assert_string_equal(events_of(a.id), "created updated killed:request");
    assert_int_equal(kill_and_wait(a.id).err.num, -ENOENT);
    assert_string_equal(events_of(a.id), "created updated killed:request");
}

static void test_reasons(void **state)
{
    static const struct {
        enum driver_exit_cause cause;
        int status;
        const char *text;
    } cases[] = {
        {DRIVER_EXIT_SIGNAL, 9, "its init was killed (signal 9)"},
        {DRIVER_EXIT_CODE, 3, "its init ended with status 3"},
        {DRIVER_EXIT_MEMORY, 9, "its init was killed for want of memory"},
        {DRIVER_EXIT_UNKNOWN, 0, "its init ended, and nobody saw how"},
        {DRIVER_EXIT_MACHINE, 0, "as the driver has it"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a = create(300);
        exit_of(a.id, cases[i].cause, cases[i].status);
        until(is_gone(a.id));
        assert_string_equal(events_of(a.id), "created killed:exit");
        assert_non_null(strstr(latest.data, cases[i].text));
        struct sandbox_ended ended = {0};
        assert_int_equal(sandbox_ended(w.m, w.team, a.id, &ended), 1);
        assert_string_equal(ended.text, cases[i].text);
        assert_true(ended.wall_ns == latest.time_ns);
        assert_int_equal(sandbox_ended(w.m, "another team", a.id, &ended), 0);
    }
    struct answer a = create(1);
    until(is_gone(a.id));
    assert_string_equal(events_of(a.id), "created killed:timeout");
    struct sandbox_ended ended;
    assert_int_equal(sandbox_ended(w.m, w.team, "inothing", &ended), 0);
}

/* The reason is known from the moment when it begins to end, and to its team only. */
static void test_reason_while_it_ends(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct sandbox_ended ended = {0};
    assert_int_equal(sandbox_ended(w.m, w.team, a.id, &ended), 0);
    w.hold = true;
    exit_of(a.id, DRIVER_EXIT_SIGNAL, 11);
    until(w.stops == 1);
    assert_int_equal(sandbox_ended(w.m, w.team, a.id, &ended), 1);
    assert_string_equal(ended.text, "its init was killed (signal 11)");
    assert_int_equal(sandbox_ended(w.m, "another team", a.id, &ended), 0);
    w.hold = false;
    until(is_gone(a.id));
}

/* A start that failed is nobody's event: no client ever saw that sandbox. */
static void test_failed_starts(void **state)
{
    (void)state;
    w.fail_start = true;
    assert_false(create(300).ok);
    w.fail_start = false;
    w.status[w.fetches] = 400;
    assert_false(create(300).ok);
    assert_string_equal(events_of(NULL), "");
}

static void test_ends_with_the_server(void **state)
{
    (void)state;
    struct answer a = create(300);
    manager_close(true);
    assert_string_equal(events_of(a.id), "created killed:shutdown");
    manager_open();
}

static void test_lost_while_away(void **state)
{
    (void)state;
    struct answer a = create(300), b = create(300);
    manager_close(false);
    w.live[live_find(a.id)] = w.live[--w.n_live];
    w.status[w.fetches] = 500; /* of b's probe */
    manager_open();
    until(is_gone(a.id) && is_gone(b.id));
    assert_string_equal(events_of(b.id), "created killed:lost");
    assert_string_equal(events_of(a.id), "created killed:lost");
    assert_non_null(strstr(latest.data, "while the server was away"));
}

/* A daemon that dies between the decision and the removal leaves the reason to the next. */
static void test_reason_survives_a_restart(void **state)
{
    (void)state;
    struct answer a = create(300);
    w.fail_stops = 1;
    exit_of(a.id, DRIVER_EXIT_MEMORY, 9);
    until(w.fail_stops == 0);
    manager_close(false);
    assert_string_equal(events_of(a.id), "created"); /* something of it may still be there */
    assert_string_equal(rows().last_state, "killing");
    manager_open();
    until(nothing_left());
    assert_string_equal(events_of(a.id), "created killed:exit");
    assert_non_null(strstr(latest.data, "for want of memory"));
}

/* A database that cannot be written delays the end; it is told once all the same. */
static void test_one_killed_event(void **state)
{
    (void)state;
    struct answer a = create(300);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_false(kill_and_wait(a.id).ok);
    assert_string_equal(events_of(a.id), "created");
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    until(nothing_left());
    assert_string_equal(events_of(a.id), "created killed:request");
}

static void test_limits(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct sandbox_info info;
    w.m->event_interval_ms = 0;
    hit(a.id, DRIVER_EVENT_MEMORY, 1);
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_MEMORY], 1); /* at once */
    until(strcmp(events_of(a.id), "created out_of_memory:1") == 0);
    assert_non_null(strstr(latest.data, "\"limit\":536870912"));
    hit(a.id, DRIVER_EVENT_MEMORY, 1);
    hit(a.id, DRIVER_EVENT_MEMORY, 0);
    hit(a.id, DRIVER_EVENT_MAX_, 9);
    hit("inothing", DRIVER_EVENT_MEMORY, 9);
    hit(a.id, DRIVER_EVENT_PIDS, 7);
    hit(a.id, DRIVER_EVENT_DISK, 1);
    hit(a.id, DRIVER_EVENT_INODES, 2);
    until(strcmp(events_of(a.id),
                 "created out_of_memory:1 process_limit:7 disk_full:1 inodes_full:2") == 0);
    hit(a.id, DRIVER_EVENT_PIDS, 3); /* a total does not fall */
    hit(a.id, DRIVER_EVENT_MEMORY, 4);
    until(strstr(events_of(a.id), "out_of_memory:4") != NULL);
    assert_non_null(strstr(latest.data, "\"new\":3"));
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_MEMORY], 4);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_PIDS], 7);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_DISK], 1);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_INODES], 2);
    assert_true(kill_and_wait(a.id).ok);
    (void)events_of(a.id);
    assert_non_null(strstr(latest.data, "\"outOfMemory\":4,\"processLimit\":7,\"diskFull\":1,"
                                        "\"inodesFull\":2"));
}

/* A guest at its limits all the time costs a row in a while, and no total is lost. */
static void test_many_hits(void **state)
{
    (void)state;
    struct answer a = create(300);
    hit(a.id, DRIVER_EVENT_PIDS, 1);
    until(strcmp(events_of(a.id), "created process_limit:1") == 0);
    w.m->told_ms = 0; /* as if a second had passed: it is this sandbox's own turn that is awaited */
    for (uint32_t i = 2; i <= 500; i++) {
        hit(a.id, DRIVER_EVENT_PIDS, i);
        if (i % 50 == 0)
            turn();
    }
    assert_string_equal(events_of(a.id), "created process_limit:1");
    assert_true(kill_and_wait(a.id).ok);
    assert_string_equal(events_of(a.id),
                        "created process_limit:1 process_limit:500 killed:request");
}

/* After a restart the same totals are heard again. */
static void test_totals_after_a_restart(void **state)
{
    (void)state;
    struct answer a = create(300);
    hit(a.id, DRIVER_EVENT_MEMORY, 3);
    until(strcmp(events_of(a.id), "created out_of_memory:3") == 0);
    manager_close(false);
    manager_open();
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
    assert_int_equal(info.limit_hits[DRIVER_EVENT_MEMORY], 3);
    w.m->event_interval_ms = 0;
    hit(a.id, DRIVER_EVENT_MEMORY, 3);
    hit(a.id, DRIVER_EVENT_DISK, 1); /* what is written after it */
    until(strstr(events_of(a.id), "disk_full:1") != NULL);
    assert_string_equal(story, "created out_of_memory:3 disk_full:1");
    hit(a.id, DRIVER_EVENT_MEMORY, 4);
    until(strstr(events_of(a.id), "out_of_memory:4") != NULL);
    assert_string_equal(story, "created out_of_memory:3 disk_full:1 out_of_memory:4");
    assert_non_null(strstr(latest.data, "\"new\":1"));
}

/* Totals that are heard while a sandbox starts, or is being adopted, wait until it runs. */
static void test_hits_before_it_runs(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    w.status[0] = 503;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.fetches == 1);
    hit(w.live[0].id, DRIVER_EVENT_PIDS, 2);
    until(a.calls > 0);
    assert_true(a.ok);
    until(strcmp(events_of(a.id), "created process_limit:2") == 0);
}

/* A write that failed is made again. */
static void test_hits_without_a_database(void **state)
{
    (void)state;
    struct answer a = create(300);
    sqlite3 *db = NULL;
    w.m->event_interval_ms = 0;
    assert_int_equal(sqlite3_open(w.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    hit(a.id, DRIVER_EVENT_DISK, 1);
    until(w.m->telling);
    until(!w.m->telling); /* it waited for the lock, and gave up */
    assert_int_equal(registry_find(w.m, a.id)->told[DRIVER_EVENT_DISK], 0);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    until(strcmp(events_of(a.id), "created disk_full:1") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_story_of_a_life),
        T(test_reasons),
        T(test_reason_while_it_ends),
        T(test_failed_starts),
        T(test_ends_with_the_server),
        T(test_lost_while_away),
        T(test_reason_survives_a_restart),
        T(test_one_killed_event),
        T(test_limits),
        T(test_many_hits),
        T(test_totals_after_a_restart),
        T(test_hits_before_it_runs),
        T(test_hits_without_a_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
