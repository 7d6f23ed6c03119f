/* What a stop, a restart and what is found then make of sandboxes; the rig is sandbox_rig.h. */
// deps: sandbox store image json base uv sqlite
#include "sandbox_rig.h"

static void test_adoption(void **state)
{
    (void)state;
    struct answer a = create(300), b = create(300), c = create(300);
    struct sandbox_info before, after;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &before, NULL), 0);
    char token[SANDBOX_SECRET_BYTES];
    (void)snprintf(token, sizeof(token), "%s", before.envd_token);
    int64_t end_ns = before.end_wall_ns;
    manager_close(false);
    assert_int_equal(w.n_live, 3);
    assert_int_equal(w.stops, 0);
    w.live[live_find(b.id)].pid_start++; /* another process has its number now */
    w.live[live_find(c.id)] = w.live[2];
    (void)snprintf(w.live[2].id, sizeof(w.live[2].id), "istray00000000000000x");
    manager_open();
    assert_int_equal(w.ready_err.num, 0);
    assert_int_equal(sandbox_get(w.m, w.team, a.id, &after, NULL), 0);
    assert_string_equal(after.envd_token, token);
    assert_true(after.end_wall_ns == end_ns);
    assert_int_equal(sandbox_get(w.m, w.team, b.id, &after, NULL), -ENOENT);
    assert_int_equal(sandbox_get(w.m, w.team, c.id, &after, NULL), -ENOENT);
    assert_int_equal(w.n_live, 1); /* the stray and the impostor are gone */
    assert_int_equal(rows().n, 1);
    assert_true(kill_and_wait(a.id).ok);
    assert_true(nothing_left());
}

static void test_adoption_of_the_expired(void **state)
{
    (void)state;
    struct answer a = create(1);
    (void)a;
    manager_close(false);
    struct timespec s = {1, 100000000};
    (void)nanosleep(&s, NULL);
    manager_open();
    until(nothing_left());
}

static void test_adoption_of_the_dead(void **state)
{
    (void)state;
    struct answer a = create(300);
    manager_close(false);
    w.status[w.fetches] = 500;
    manager_open();
    struct sandbox_info info;
    assert_int_equal(sandbox_get(w.m, NULL, a.id, &info, NULL), -ENOENT);
    assert_true(nothing_left());
}

static void test_half_made_rows(void **state)
{
    (void)state;
    manager_close(false);
    struct sandbox_row row = {
        .id = "icreating00000000000x",
        .team = w.team,
        .template_id = TEMPLATE,
        .alias = "base",
        .driver = "fake",
        .state = "creating",
        .envd_token = "",
        .control_secret = "",
        .metadata = "{}",
    };
    uint64_t one = 0, two = 0;
    assert_int_equal(store_sandbox_insert(w.store, &row, &one, NULL), 0);
    assert_int_equal(store_sandbox_insert(w.store, &row, &two, NULL), -EEXIST);
    row.id = "ikilling000000000000x";
    row.state = "killing";
    assert_int_equal(store_sandbox_insert(w.store, &row, &two, NULL), 0);
    assert_true(two > one);
    (void)snprintf(w.live[0].id, sizeof(w.live[0].id), "%s", row.id);
    w.n_live = 1;
    manager_open();
    assert_true(nothing_left());
    assert_int_equal(w.stops, 2);
}

static void test_list_fails(void **state)
{
    (void)state;
    struct answer a = create(300);
    (void)a;
    manager_close(false);
    w.fail_list = true;
    manager_open();
    assert_string_equal(w.ready_err.msg, "no list today");
    manager_close(false);
    assert_int_equal(w.n_live, 1); /* nothing is touched when we do not know what lives */
    assert_int_equal(rows().n, 1);
    w.fail_list = false;
    manager_open();
}

static void test_close_ends_all(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    assert_true(create(300).ok);
    sandbox_create(w.m, &spec, on_info, &a);
    turn();
    manager_close(true);
    assert_int_equal(a.calls, 1);
    assert_false(a.ok);
    assert_int_equal(w.n_live, 0);
    assert_int_equal(rows().n, 0);
}

static void test_close_undoes_starts(void **state)
{
    (void)state;
    struct answer a = {0};
    struct sandbox_spec spec = spec_of(300);
    assert_true(create(300).ok);
    w.status[1] = 503;
    sandbox_create(w.m, &spec, on_info, &a);
    until(w.fetches == 2); /* now it waits for its next attempt */
    manager_close(false);
    assert_false(a.ok);
    assert_int_equal(w.n_live, 1);
    assert_int_equal(rows().n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_adoption),
        T(test_adoption_of_the_expired),
        T(test_adoption_of_the_dead),
        T(test_half_made_rows),
        T(test_list_fails),
        T(test_close_ends_all),
        T(test_close_undoes_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
