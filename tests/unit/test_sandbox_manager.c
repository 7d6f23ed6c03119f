/* A life from create to its end, against the driver and envd of sandbox_rig.h. */
// deps: sandbox store image json base uv sqlite
#include "sandbox_rig.h"

static void test_create(void **state)
{
    (void)state;
    struct kv metadata[] = {{(char[]){"user"}, (char[]){"a\"b"}}};
    struct kv envs[] = {{(char[]){"KEY"}, (char[]){"secret value"}}};
    struct sandbox_spec spec = spec_of(300);
    spec.metadata = metadata;
    spec.envs = envs;
    spec.n_metadata = spec.n_envs = 1;
    spec.public_traffic = false;
    struct answer a = {0};
    sandbox_create(w.m, &spec, on_info, &a);
    until(a.calls > 0);
    assert_true(a.ok);
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), 0);
    assert_string_equal(info.template_id, TEMPLATE);
    assert_string_equal(info.alias, "base");
    assert_int_equal(info.state, SANDBOX_RUNNING);
    assert_int_equal(info.memory_mb, 512);
    assert_int_equal(info.cpu_count, 2);
    assert_int_equal(info.n_metadata, 1);
    assert_string_equal(info.metadata[0].value, "a\"b");
    assert_int_equal(info.end_wall_ns - info.started_wall_ns, 300 * (int64_t)NS_PER_S);
    assert_non_null(info.traffic_token);
    assert_non_null(strstr(w.body, info.envd_token));
    assert_non_null(strstr(w.body, "\"envVars\":{\"KEY\":\"secret value\"}"));
    assert_non_null(strstr(w.body, "\"defaultUser\":\"user\""));
    assert_int_equal(strlen(w.control), 64);
    assert_int_equal(rows().n, 1);
    assert_string_equal(rows().last_state, "running");
    assert_int_equal(sandbox_get(w.m, "another team", a.id, &info, NULL), -ENOENT);
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
}

static void test_state_is_persisted_first(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    w.hold = true;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.starts == 1);
    assert_string_equal(rows().last_state, "creating"); /* before the driver was asked */
    w.hold = false;
    until(a.calls > 0);
    w.hold = true;
    struct answer k = {0};
    sandbox_kill(w.m, w.team, a.id, on_done, &k);
    until(w.stops == 1);
    assert_string_equal(rows().last_state, "killing");
    assert_int_equal(k.calls, 0); /* not done before it is done */
    w.hold = false;
    until(k.calls > 0);
    assert_true(k.ok && nothing_left());
}

static void test_kill(void **state)
{
    (void)state;
    struct answer a = create(300), first = {0}, second = {0};
    struct sandbox_info info;
    struct sandbox_link link = {.on_gone = on_gone}, other = {.on_gone = on_gone};
    gone_calls = 0;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle + 1, &other), -ENOENT);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &link), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &other), 0);
    sandbox_unlink(&other);
    sandbox_kill(w.m, "another team", a.id, on_done, &second);
    until(second.calls > 0);
    assert_int_equal(second.err.num, -ENOENT);
    second = (struct answer){0};
    sandbox_kill(w.m, w.team, a.id, on_done, &first);
    sandbox_kill(w.m, w.team, a.id, on_done, &second);
    until(first.calls > 0 && second.calls > 0);
    assert_true(first.ok);
    assert_int_equal(second.err.num, -ENOENT);
    assert_int_equal(gone_calls, 1);
    assert_int_equal(w.stops, 1);
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), -ENOENT);
    assert_true(nothing_left());
    sandbox_unlink(&link);
}

/* The request was in order: whatever the host's trouble is, the client hears of no fault of its own. */
static void test_start_fails(void **state)
{
    static const struct {
        enum err_kind failed, told;
    } cases[] = {
        {ERR_INTERNAL, ERR_INTERNAL},       {ERR_INVALID, ERR_INTERNAL},
        {ERR_NOT_FOUND, ERR_INTERNAL},      {ERR_CONFLICT, ERR_INTERNAL},
        {ERR_DENIED, ERR_INTERNAL},         {ERR_LIMIT, ERR_UNAVAILABLE},
        {ERR_UNAVAILABLE, ERR_UNAVAILABLE}, {ERR_TIMEOUT, ERR_TIMEOUT},
    };
    (void)state;
    w.fail_start = true;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        w.start_kind = cases[i].failed;
        struct answer a = create(300);
        assert_false(a.ok);
        assert_string_equal(a.err.msg, "no start today");
        assert_int_equal(a.err.kind, cases[i].told);
        assert_true(nothing_left());
    }
}

static void test_init_is_refused(void **state)
{
    (void)state;
    w.status[0] = 400;
    struct answer a = create(300);
    assert_false(a.ok);
    assert_non_null(strstr(a.err.msg, "400"));
    assert_int_equal(w.fetches, 1);
    assert_true(nothing_left());
}

static void test_init_is_repeated(void **state)
{
    (void)state;
    w.status[0] = w.status[1] = 503;
    struct answer a = create(300);
    assert_true(a.ok);
    assert_int_equal(w.fetches, 3);
}

/* A request that was long on its way set the clock late; a container has no clock of its own. */
static void test_init_is_said_again_for_the_clock(void **state)
{
    (void)state;
    w.slow = 2;
    assert_true(create(300).ok);
    assert_int_equal(w.fetches, 1);
    w.kind = DRIVER_MACHINE_CLONE;
    w.slow = w.fetches + 2;
    assert_true(create(300).ok);
    assert_int_equal(w.fetches, 1 + 3);
    w.slow = 1000; /* but not for ever */
    assert_true(create(300).ok);
    assert_int_equal(w.fetches, 1 + 3 + 4);
}

static void test_refusals(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    spec.template = "nothing";
    sandbox_create(w.m, &spec, on_info, &a);
    assert_int_equal(a.calls, 0);
    until(a.calls > 0);
    assert_int_equal(a.err.kind, ERR_NOT_FOUND);
    for (int i = 0; i < 3; i++)
        assert_true(create(300).ok);
    a = create(300);
    assert_int_equal(a.err.num, -EDQUOT);
    assert_int_equal(a.err.kind, ERR_LIMIT);
    assert_string_equal(a.err.code, "sandbox_limit_reached");
    assert_int_equal(w.starts, 3);
    assert_int_equal(kill_and_wait("inothing").err.num, -ENOENT);
}

static void test_metadata_limit(void **state)
{
    (void)state;
    static char big[METADATA_MAX_BYTES];
    memset(big, 'x', sizeof(big) - 1);
    struct kv metadata[] = {{(char[]){"k"}, big}};
    struct sandbox_spec spec = spec_of(300);
    spec.metadata = metadata;
    spec.n_metadata = 1;
    struct answer a = {0};
    sandbox_create(w.m, &spec, on_info, &a);
    until(a.calls > 0);
    assert_int_equal(a.err.num, -E2BIG);
    assert_non_null(strstr(a.err.msg, "metadata"));
}

static void test_kill_while_creating(void **state)
{
    (void)state;
    struct answer a = {0}, k = {0}, again = {0};
    struct sandbox_spec spec = spec_of(300);
    w.hold = true;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.starts == 1);
    char id[SANDBOX_ID_BYTES];
    memcpy(id, w.ops[0].id, sizeof(id));
    sandbox_kill(w.m, w.team, id, on_done, &k);
    sandbox_kill(w.m, w.team, id, on_done, &again);
    w.hold = false;
    until(a.calls > 0 && k.calls > 0 && again.calls > 0);
    assert_false(a.ok);
    assert_true(k.ok);
    assert_int_equal(again.err.num, -ENOENT);
    assert_int_equal(w.fetches, 0);
    assert_true(nothing_left());
}

static void test_exit(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct sandbox_info info;
    struct sandbox_link link = {.on_gone = on_gone};
    gone_calls = 0;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), 0);
    assert_int_equal(sandbox_link(w.m, a.id, info.lifecycle, &link), 0);
    w.driver.on_exit(
        w.driver.on_exit_user, a.id,
        &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"});
    w.driver.on_exit(
        w.driver.on_exit_user, a.id,
        &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"});
    w.driver.on_exit(w.driver.on_exit_user, "inobody",
                     &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "?"});
    until(nothing_left());
    assert_int_equal(gone_calls, 1);
}

static void test_exit_while_creating(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    w.status[0] = 503;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.fetches == 1);
    w.driver.on_exit(w.driver.on_exit_user, w.live[0].id,
                     &(struct driver_exit){.cause = DRIVER_EXIT_SIGNAL, .reason = "killed"});
    until(a.calls > 0);
    assert_false(a.ok);
    assert_int_equal(w.fetches, 1); /* nobody asks the dead */
    assert_true(nothing_left());
}

static void test_stop_fails(void **state)
{
    (void)state;
    struct answer a = create(300);
    w.fail_stops = 1;
    struct answer k = kill_and_wait(a.id);
    assert_false(k.ok);
    assert_string_equal(k.err.msg, "no stop today");
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &info, NULL), -ENOENT);
    assert_string_equal(rows().last_state, "killing");
    until(nothing_left()); /* it is tried again */
    assert_int_equal(w.stops, 2);
}

/* A database that cannot be written, as on a full disk, makes no sandbox immortal. */
static void test_kill_without_a_database(void **state)
{
    (void)state;
    struct answer a = create(300);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(w.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct answer k = kill_and_wait(a.id);
    assert_false(k.ok); /* not done while the row is there */
    assert_int_equal(k.err.kind, ERR_UNAVAILABLE);
    assert_int_equal(w.n_live, 0); /* but it runs no more */
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    until(nothing_left());
}

static void test_expiry(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_ns();
    struct answer a = create(1), b = create(300);
    struct sandbox_info info;
    until(sandbox_get(w.m, NULL, a.id, &info, NULL) < 0);
    assert_true(clock_monotonic_ns() - before >= NS_PER_S);
    assert_int_equal(sandbox_get(w.m, NULL, b.id, &info, NULL), 0);
    until(w.n_live == 1);
}

static void test_expiry_is_never_early(void **state)
{
    (void)state;
    struct answer a = create(2);
    uint64_t due = registry_find(w.m, a.id)->end.mono_ns;
    until(w.stops == 1);
    assert_true(clock_monotonic_ns() >= due);
    assert_true(clock_wall_ns() >= a.end_ns);
}

static void test_set_timeout(void **state)
{
    (void)state;
    struct answer a = create(300);
    struct answer t = set_timeout(a.id, 10, true); /* never shortens */
    assert_true(t.ok && t.end_ns == a.end_ns);
    t = set_timeout(a.id, 600, true);
    assert_true(t.ok && t.end_ns > a.end_ns);
    t = set_timeout(a.id, 10, false);
    assert_true(t.ok && t.end_ns < a.end_ns);
    t = set_timeout(a.id, 100000, false); /* clamped to the longest life */
    assert_true(t.ok);
    assert_int_equal(t.end_ns - t.start_ns, 3600 * (int64_t)NS_PER_S);
    assert_int_equal(set_timeout("inothing", 5, false).err.num, -ENOENT);
    t = set_timeout(a.id, 0, false);
    assert_true(t.ok);
    until(nothing_left());
}

static void test_extend_behind_a_shortening(void **state)
{
    (void)state;
    struct answer a = create(300), t = {0}, u = {0};
    sandbox_set_timeout(w.m, w.team, a.id, 20, false, on_info, &t);
    sandbox_set_timeout(w.m, w.team, a.id, 10, true, on_info, &u);
    until(t.calls > 0 && u.calls > 0);
    assert_int_equal(u.end_ns, t.end_ns);
}

struct seen {
    unsigned n;
    char ids[4][SANDBOX_ID_BYTES];
};

static bool see(void *user, const struct sandbox_info *info)
{
    struct seen *s = user;
    (void)snprintf(s->ids[s->n++], SANDBOX_ID_BYTES, "%s", info->id);
    return s->n < 2;
}

static void test_each(void **state)
{
    (void)state;
    struct answer a = create(300), b = create(300), c = create(300);
    struct seen s = {0};
    sandbox_each(w.m, w.team, see, &s);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.ids[0], a.id);
    assert_string_equal(s.ids[1], b.id);
    kill_and_wait(a.id);
    s.n = 0;
    sandbox_each(w.m, w.team, see, &s);
    assert_string_equal(s.ids[1], c.id);
    s.n = 0;
    sandbox_each(w.m, "another team", see, &s);
    assert_int_equal(s.n, 0);
}

static void test_moves(void **state)
{
    (void)state;
    static const bool legal[SANDBOX_STATE_MAX_][SANDBOX_STATE_MAX_] = {
        [SANDBOX_CREATING] = {[SANDBOX_RUNNING] = true, [SANDBOX_KILLING] = true},
        [SANDBOX_RUNNING] = {[SANDBOX_KILLING] = true},
    };
    for (unsigned from = 0; from < SANDBOX_STATE_MAX_; from++) {
        assert_int_equal(sandbox_state_parse(sandbox_state_name(from)), from);
        for (unsigned to = 0; to < SANDBOX_STATE_MAX_; to++)
            assert_int_equal(sandbox_move_legal(from, to), legal[from][to]);
    }
    assert_int_equal(sandbox_state_parse("paused"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create),
        T(test_state_is_persisted_first),
        T(test_kill),
        T(test_start_fails),
        T(test_init_is_refused),
        T(test_init_is_repeated),
        T(test_init_is_said_again_for_the_clock),
        T(test_refusals),
        T(test_metadata_limit),
        T(test_kill_while_creating),
        T(test_exit),
        T(test_exit_while_creating),
        T(test_stop_fails),
        T(test_kill_without_a_database),
        T(test_expiry),
        T(test_expiry_is_never_early),
        T(test_set_timeout),
        T(test_extend_behind_a_shortening),
        T(test_each),
        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
