/* Events, totals and reasons as clients of the API see them; the rig is api_rig.h. */
// deps: api http json base jansson uv
#include "api_rig.h"

static void test_shape(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("GET /events/sandboxes", AUTH, "", &body), 200);
    assert_string_equal(body,
                        "[{\"id\":\"33333333-3333-4333-8333-333333333333\",\"version\":\"v1\","
                        "\"type\":\"silica.sandbox.out_of_memory\",\"eventCategory\":\"sandbox\","
                        "\"eventLabel\":\"out_of_memory\",\"timestamp\":\"1970-01-01T00:00:01Z\","
                        "\"sandboxId\":\"iended\","
                        "\"sandboxExecutionId\":\"00000000-0000-4000-8000-0000000000ff\","
                        "\"sandboxTemplateId\":\"tttttttttttttttttttt\","
                        "\"sandboxBuildId\":\"44444444-4444-4444-8444-444444444444\","
                        "\"sandboxTeamId\":\"" TEAM "\",\"eventData\":{\"total\":3}}]");
    assert_string_equal(fake.team, TEAM);
    assert_int_equal(ask("GET /events/sandboxes", "", "", &body), 401);
}

static void test_questions(void **state)
{
    enum { MEMORY = 1 << EVENT_OUT_OF_MEMORY, KILLED = 1 << EVENT_KILLED };
    static const struct {
        const char *query;
        uint32_t offset, limit, types;
        bool ascending;
    } cases[] = {
        {"", 0, 10, 0, false},
        {"?offset=7&limit=100&orderAsc=true", 7, 100, 0, true},
        {"?orderAsc=false&offset=4294967295", 4294967295, 10, 0, false},
        {"?offset=&limit=&orderAsc=&types=", 0, 10, 0, false},
        {"?types=silica.sandbox.out_of_memory", 0, 10, MEMORY | 1, false},
        {"?types=silica.sandbox.out%5fof%5Fmemory", 0, 10, MEMORY | 1, false},
        {"?types=silica.sandbox.out_of_memory&limit=1&types=sandbox.lifecycle.killed", 0, 1,
         MEMORY | KILLED | 1, false},
        {"?types=sandbox.lifecycle.paused", 0, 10, 1, false}, /* never written: matches nothing */
        {"?other=1", 0, 10, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char line[256];
        const char *body;
        (void)snprintf(line, sizeof(line), "GET /events/sandboxes%s", cases[i].query);
        assert_int_equal(ask(line, AUTH, "", &body), 200);
        assert_int_equal(fake.asked.offset, cases[i].offset);
        assert_int_equal(fake.asked.limit, cases[i].limit);
        assert_int_equal(fake.asked.types, cases[i].types);
        assert_int_equal(fake.asked.ascending, cases[i].ascending);
        assert_string_equal(fake.asked_sandbox, "");
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *message;
    } cases[] = {
        {"GET /events/sandboxes?limit=0", 400, "limit must be between 1 and 100"},
        {"GET /events/sandboxes?limit=101", 400, "limit must be between 1 and 100"},
        {"GET /events/sandboxes?limit=x", 400, "limit must be between 1 and 100"},
        {"GET /events/sandboxes?offset=-1", 400, "offset must be a whole number, at least 0"},
        {"GET /events/sandboxes?offset=4294967296", 400,
         "offset must be a whole number, at least 0"},
        {"GET /events/sandboxes?orderAsc=yes", 400, "orderAsc must be true or false"},
        {"GET /events/sandboxes?offset=1&offset=2", 400,
         "offset is given twice or is not a well-formed query value"},
        {"GET /events/sandboxes?types=%zz", 400,
         "types must be names of events, each in a parameter of its own"},
        {"GET /events/sandboxes/I0", 400, "Invalid sandbox ID"},
        {"GET /events/sandboxes/inone", 404,
         "Sandbox \"inone\" doesn't exist or you don't have access to it"},
        {"GET /events/sandboxes/iended?limit=0", 400, "limit must be between 1 and 100"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *body;
        int status = ask(cases[i].line, AUTH, "", &body);
        if (status != cases[i].status)
            fail_msg("%d instead of %d: %s", status, cases[i].status, cases[i].line);
        check_error(body, status, cases[i].message);
    }
}

/* One that lives and has no events yet is known; one that is gone is known by its events. */
static void test_of_one(void **state)
{
    (void)state;
    const char *body;
    assert_int_equal(ask("GET /events/sandboxes/i0", AUTH, "", &body), 200);
    assert_string_equal(body, "[]");
    assert_string_equal(fake.asked_sandbox, "i0");
    assert_int_equal(ask("GET /events/sandboxes/iended?limit=5&orderAsc=true", AUTH, "", &body),
                     200);
    assert_non_null(strstr(body, "out_of_memory"));
    assert_int_equal(fake.asked.limit, 5);
    assert_true(fake.asked.ascending);
}

/* Whoever asks for a sandbox that has ended learns when and why, behind the words that clients know. */
static void test_reason_of_the_end(void **state)
{
    static const char *const lines[][2] = {
        {"GET /sandboxes/iended", ""},
        {"DELETE /sandboxes/iended", ""},
        {"POST /sandboxes/iended/timeout", "{\"timeout\":1}"},
        {"POST /sandboxes/iended/refreshes", ""},
        {"POST /sandboxes/iended/connect", "{\"timeout\":1}"},
        {"POST /v2/sandboxes/iended/connect", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        const char *body;
        assert_int_equal(ask(lines[i][0], AUTH, lines[i][1], &body), 404);
        check_error(body, 404,
                    "Sandbox \"iended\" doesn't exist or you don't have access to it: it ended at "
                    "1970-01-01T00:00:01Z: its init was killed (signal 9)");
    }
}

static void test_totals(void **state)
{
    (void)state;
    const char *body;
    fake.box[0].limit_hits[DRIVER_EVENT_MEMORY] = 3;
    fake.box[0].limit_hits[DRIVER_EVENT_PIDS] = 4294967295;
    assert_int_equal(ask("GET /sandboxes/i0", AUTH, "", &body), 200);
    assert_non_null(strstr(body, "\"silica\":{\"outOfMemory\":3,\"processLimit\":4294967295,"
                                 "\"diskFull\":0,\"inodesFull\":0}"));
    assert_int_equal(ask("GET /sandboxes", AUTH, "", &body), 200);
    assert_null(strstr(body, "silica"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shape),  TEST(test_questions),         TEST(test_refusals),
        TEST(test_of_one), TEST(test_reason_of_the_end), TEST(test_totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
