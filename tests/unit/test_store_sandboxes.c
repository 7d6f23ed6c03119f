/* Rows of sandboxes: what goes in comes out, moves hit one row, and what was acknowledged is there. */
// deps: store base
#include "base/cleanup.h"
#include "base/fs.h"
#include "store/keys.h"
#include "store/sandboxes.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static char dir[64], path[96], team[UUID_BYTES];
static struct store *store;

static struct sandbox_row row_of(const char *id)
{
    return (struct sandbox_row){
        .id = id,
        .team = team,
        .template_id = "abcdefghij0123456789",
        .alias = "base",
        .driver = "container",
        .state = "creating",
        .created_ns = 1,
        .started_ns = 2,
        .end_ns = 3,
        .memory_bytes = 1ull << 40,
        .disk_bytes = 5,
        .cpu_millis = 1500,
        .pids = 6,
        .internet = -1,
        .envd_token = "token",
        .control_secret = "secret",
        .mask_host = "",
        .metadata = "{\"a\":\"\xc3\xa4'\\\"\"}",
        .slot = 7,
        .pid = 8,
        .pid_start = 9,
        .build_id = "00000000-0000-4000-8000-000000000000",
    };
}

static int setup(void **state)
{
    (void)state;
    char key[API_KEY_BYTES];
    struct key_info k;
    (void)snprintf(dir, sizeof(dir), "/tmp/silica-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/silica.db", dir);
    assert_int_equal(store_open(path, &store, NULL), 0);
    assert_int_equal(store_key_create(store, "k", key, &k, NULL), 0);
    memcpy(team, k.team, sizeof(team));
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

static struct {
    unsigned n;
    char ids[4][32], state[16], metadata[64];
    struct sandbox_row row;
    char build_id[40], end_cause[16], end_text[64];
    bool traffic_null, mask_empty, no_end;
} seen;

static int see(const struct sandbox_row *row, void *user)
{
    (void)user;
    (void)snprintf(seen.ids[seen.n++ % 4], 32, "%s", row->id);
    (void)snprintf(seen.state, sizeof(seen.state), "%s", row->state);
    (void)snprintf(seen.metadata, sizeof(seen.metadata), "%s", row->metadata);
    seen.row = *row; /* its numbers; the strings are borrowed */
    (void)snprintf(seen.build_id, sizeof(seen.build_id), "%s", row->build_id);
    seen.no_end = row->end_cause == NULL && row->end_text == NULL;
    if (row->end_cause != NULL)
        (void)snprintf(seen.end_cause, sizeof(seen.end_cause), "%s", row->end_cause);
    if (row->end_text != NULL)
        (void)snprintf(seen.end_text, sizeof(seen.end_text), "%s", row->end_text);
    seen.traffic_null = row->traffic_token == NULL;
    seen.mask_empty = row->mask_host != NULL && row->mask_host[0] == '\0';
    return 0;
}

static void look(void)
{
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(store_sandbox_each(store, see, NULL, NULL), 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct sandbox_row row = row_of("ione");
    uint64_t lifecycle = 0;
    assert_int_equal(store_sandbox_insert(store, &row, &lifecycle, NULL), 0);
    look();
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.metadata, row.metadata);
    assert_int_equal(seen.row.lifecycle, lifecycle);
    assert_int_equal(seen.row.created_ns, 1);
    assert_int_equal(seen.row.started_ns, 2);
    assert_int_equal(seen.row.end_ns, 3);
    assert_true(seen.row.memory_bytes == 1ull << 40);
    assert_int_equal(seen.row.disk_bytes, 5);
    assert_int_equal(seen.row.cpu_millis, 1500);
    assert_int_equal(seen.row.pids, 6);
    assert_int_equal(seen.row.internet, -1);
    assert_int_equal(seen.row.slot, 7);
    assert_int_equal(seen.row.pid, 8);
    assert_int_equal(seen.row.pid_start, 9);
    assert_string_equal(seen.build_id, row.build_id);
    assert_true(seen.traffic_null);
    assert_true(seen.mask_empty);
}

static void test_moves(void **state)
{
    (void)state;
    struct sandbox_row row = row_of("ione"), two = row_of("itwo");
    uint64_t a = 0, b = 0;
    assert_int_equal(store_sandbox_insert(store, &row, &a, NULL), 0);
    assert_int_equal(store_sandbox_insert(store, &row, &b, NULL), -EEXIST);
    two.created_ns = 0;
    assert_int_equal(store_sandbox_insert(store, &two, &b, NULL), 0);
    assert_true(b > a);
    row.state = "running";
    row.started_ns = 20;
    row.end_ns = 30;
    row.pid = 80;
    row.pid_start = 90;
    assert_int_equal(store_sandbox_set_started(store, &row, NULL), 0);
    look();
    assert_string_equal(seen.ids[0], "itwo"); /* oldest first */
    assert_string_equal(seen.ids[1], "ione");
    assert_string_equal(seen.state, "running");
    assert_int_equal(seen.row.started_ns, 20);
    assert_int_equal(seen.row.pid, 80);
    assert_int_equal(seen.row.pid_start, 90);
    assert_int_equal(store_sandbox_set_end(store, "ione", 40, NULL), 0);
    assert_int_equal(store_sandbox_set_state(store, "ione", "killing", NULL), 0);
    look();
    assert_string_equal(seen.state, "killing");
    assert_int_equal(seen.row.end_ns, 40);
    const uint32_t hits[SANDBOX_HITS] = {1, 2, 3, UINT32_MAX};
    assert_int_equal(store_sandbox_set_hits(store, "ione", hits, NULL), 0);
    assert_int_equal(store_sandbox_set_hits(store, "inone", hits, NULL), -ENOENT);
    look();
    assert_memory_equal(seen.row.hits, hits, sizeof(hits));
    assert_true(seen.no_end);
    row.state = "killing";
    row.end_cause = "exit";
    row.end_text = "its init was killed (signal 9)";
    row.ended_ns = 50;
    assert_int_equal(store_sandbox_set_ending(store, &row, NULL), 0);
    look();
    assert_string_equal(seen.end_cause, "exit");
    assert_string_equal(seen.end_text, row.end_text);
    assert_int_equal(seen.row.ended_ns, 50);
    assert_int_equal(store_sandbox_delete(store, "itwo", NULL), 1);
    assert_int_equal(store_sandbox_delete(store, "itwo", NULL), 0);
    look();
    assert_int_equal(seen.n, 1);
}

static void test_refusals(void **state)
{
    (void)state;
    struct sandbox_row row = row_of("ione");
    uint64_t n = 0;
    assert_int_equal(store_sandbox_set_state(store, "inone", "running", NULL), -ENOENT);
    assert_int_equal(store_sandbox_set_end(store, "inone", 1, NULL), -ENOENT);
    assert_int_equal(store_sandbox_set_started(store, &row, NULL), -ENOENT);
    row.team = "no team";
    assert_true(store_sandbox_insert(store, &row, &n, NULL) < 0); /* foreign key */
    row = row_of("ione");
    row.state = "sleeping";
    assert_true(store_sandbox_insert(store, &row, &n, NULL) < 0);
    row.state = "creating";
    assert_int_equal(store_sandbox_insert(store, &row, &n, NULL),
                     0); /* no transaction stayed open */
    assert_true(store_sandbox_set_state(store, "ione", "sleeping", NULL) < 0);
}

/* What was acknowledged survives a process that ends without warning. */
static void test_killed_writer(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store *s = NULL;
        struct sandbox_row row = row_of("ione");
        uint64_t n = 0;
        if (store_open(path, &s, NULL) < 0 || store_sandbox_insert(s, &row, &n, NULL) < 0)
            _exit(1);
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(store_open(path, &store, NULL), 0);
    look();
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.ids[0], "ione");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_writer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
