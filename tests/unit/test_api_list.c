/* List queries: filters, the three layers of metadata, and cursors. */
// deps: api http json base jansson uv
#include "api/list.h"
#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *query, *message;
} refusals[] = {
    {"limit=0", "limit must be between 1 and 100"},
    {"limit=101", "limit must be between 1 and 100"},
    {"limit=x", "limit must be between 1 and 100"},
    {"limit=-1", "limit must be between 1 and 100"},
    {"limit=1&limit=2", "limit is given twice or is not a well-formed query value"},
    {"state=dead", "state must be a list of running and paused"},
    {"state=running,", "state must be a list of running and paused"},
    {"order=up", "order must be asc or desc"},
    {"startedAfter=yesterday", "startedAfter must be an RFC 3339 time"},
    {"template=base:v1", "template must be an id or alias without a tag"},
    {"metadata=abc", "metadata is not a well-formed list of key=value pairs"},
    {"metadata=a%3D%2525zz", "metadata is not a well-formed list of key=value pairs"},
    {"nextToken=x", "Invalid next token: nextToken is not one of this list and order"},
    {"nextToken=%zz", "nextToken is given twice or is not a well-formed query value"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct err err = {0};
        struct list_query q;
        if (list_query_parse(slice_str(refusals[i].query), false, &q, &err) >= 0)
            fail_msg("taken: %s", refusals[i].query);
        assert_string_equal(err.msg, refusals[i].message);
        list_query_done(&q);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    static const char *const queries[] = {"", "metadata=", "state=&limit=", "unknown=1"};
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct list_query q;
        assert_int_equal(list_query_parse(slice_str(queries[i]), false, &q, NULL), 0);
        assert_true(q.running && q.paused && !q.ascending && !q.has_cursor);
        assert_int_equal(q.limit, 100);
        assert_int_equal(q.metadata.n, 0);
        list_query_done(&q);
    }
}

static char key_1[] = "user id", value_1[] = "a/b", key_2[] = "env", value_2[] = "prod";
static struct kv metadata[] = {{key_1, value_1}, {key_2, value_2}};
static const struct sandbox_info sandbox = {
    .id = "iabc",
    .template_id = "tttttttttttttttttttt",
    .alias = "base",
    .started_wall_ns = 1000000000,
    .metadata = metadata,
    .n_metadata = 2,
};

static const struct {
    const char *query;
    bool matches;
} filters[] = {
    {"", true},
    {"state=running", true},
    {"state=paused", false},
    {"state=paused,running", true},
    {"metadata=user%252520id%3Da%25252Fb", true}, /* as the JavaScript SDK sends it */
    {"metadata=user%252520id%3Da%25252Fc", false},
    {"metadata=env%3Dprod", true}, /* encoded once, by hand */
    {"metadata=env%3Dprod%26user%252520id%3Da%25252Fb", true},
    {"metadata=env%3Dprod%26nope%3D1", false},
    {"metadata=env%3Dpro", false},
    {"metadata=en%3Dprod", false},
    {"template=base", true},
    {"template=team%2Fbase", true},
    {"template=tttttttttttttttttttt", true},
    {"template=other", false},
    {"startedAfter=1970-01-01T00:00:01Z", true}, /* inclusive */
    {"startedAfter=1970-01-01T00:00:01.000000001Z", false},
    {"startedAfter=1969-12-31T23:59:59Z", true},
};

static void test_filters(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        struct list_query q;
        assert_int_equal(list_query_parse(slice_str(filters[i].query), false, &q, NULL), 0);
        if (list_query_matches(&q, &sandbox) != filters[i].matches)
            fail_msg("%s", filters[i].query);
        list_query_done(&q);
    }
}

static void test_cursor_round_trip(void **state)
{
    (void)state;
    static const int64_t times[] = {0, -1, 1, INT64_MAX, 1790000000123456789};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        _cleanup_buf_ struct buf out = BUF_INIT(LIST_CURSOR_MAX_BYTES);
        int64_t ns = 5;
        char id[API_ID_MAX_BYTES];
        assert_int_equal(list_cursor_put(&out, times[i], "i0123456789abcdefghij", false), 0);
        assert_true(slice_find(buf_slice(&out), '=') == out.n);
        assert_int_equal(list_cursor_parse(buf_slice(&out), true, &ns, id), -EINVAL);
        assert_int_equal(list_cursor_parse(buf_slice(&out), false, &ns, id), 0);
        assert_true(ns == times[i]);
        assert_string_equal(id, "i0123456789abcdefghij");
    }
}

static void test_v1_looks_at_metadata_only(void **state)
{
    (void)state;
    struct list_query q;
    assert_int_equal(list_query_parse(SLICE_LIT("limit=x&metadata=a%3Db"), true, &q, NULL), 0);
    assert_true(q.running && !q.paused);
    assert_int_equal(q.limit, UINT32_MAX);
    assert_int_equal(q.metadata.n, 4);
    list_query_done(&q);
}

static void test_order(void **state)
{
    (void)state;
    assert_true(list_compare(1, "b", 2, "a") < 0);
    assert_true(list_compare(2, "a", 1, "b") > 0);
    assert_true(list_compare(1, "a", 1, "b") < 0);
    assert_int_equal(list_compare(1, "a", 1, "a"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_cursor_round_trip),
        cmocka_unit_test(test_v1_looks_at_metadata_only),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
