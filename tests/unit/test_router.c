/* Routes: method and path in, entry and parameters out. */
// deps: http
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "http/router.h"

static const struct route routes[] = {
    {"GET", "/health", NULL, 0},
    {"GET", "/boxes", NULL, 1},
    {"POST", "/boxes", NULL, 2},
    {"GET", "/boxes/{id}", NULL, 3},
    {"DELETE", "/boxes/{id}", NULL, 4},
    {"GET", "/boxes/special", NULL, 5}, /* behind {id}: never reached */
    {"PUT", "/boxes/{id}/files/{name}", NULL, 6},
    {"PUT", "/{a}/{b}/{c}/{d}/{e}", NULL, 7}, /* one parameter too many: never matches */
};

static const struct {
    const char *method, *path;
    int route; /* -1: none */
    const char *allow, *p0, *p1;
} cases[] = {
    {"GET", "/health", 0, "", NULL, NULL},
    {"GET", "/boxes", 1, "", NULL, NULL},
    {"POST", "/boxes", 2, "", NULL, NULL},
    {"GET", "/boxes/abc", 3, "", "abc", NULL},
    {"GET", "/boxes/special", 3, "", "special", NULL},
    {"DELETE", "/boxes/a%2Fb", 4, "", "a/b", NULL},
    {"GET", "/boxes/a%20b", 3, "", "a b", NULL},
    {"GET", "/boxes/a+b", 3, "", "a+b", NULL},
    {"GET", "/boxes/..", 3, "", "..", NULL},
    {"PUT", "/boxes/x/files/y", 6, "", "x", "y"},
    {"PATCH", "/boxes", -1, "GET, POST", NULL, NULL},
    {"POST", "/boxes/x", -1, "GET, DELETE", NULL, NULL},
    {"get", "/health", -1, "GET", NULL, NULL},
    {"GET", "/", -1, "", NULL, NULL},
    {"GET", "/Health", -1, "", NULL, NULL},
    {"GET", "/health/", -1, "", NULL, NULL},
    {"GET", "//health", -1, "", NULL, NULL},
    {"GET", "/healthy", -1, "", NULL, NULL},
    {"GET", "/%68ealth", -1, "", NULL, NULL},
    {"GET", "/boxes/", -1, "", NULL, NULL},
    {"GET", "/boxes/x/", -1, "", NULL, NULL},
    {"PUT", "/boxes//files/y", -1, "", NULL, NULL},
    {"PUT", "/1/2/3/4/5", -1, "", NULL, NULL},
    {"GET", "/boxes/%", -1, "!", NULL, NULL},
    {"GET", "/boxes/%zz", -1, "!", NULL, NULL},
    {"GET", "/boxes/%00", -1, "!", NULL, NULL},
    {"PUT", "/boxes/x/files/%4", -1, "!", NULL, NULL},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct route_params params = {0};
        char allow[64] = "old";
        const struct route *r = route_find(routes, ARRAY_LEN(routes), slice_str(cases[i].method),
                                           slice_str(cases[i].path), &params, allow, sizeof(allow));
        if ((r == NULL ? -1 : (int)r->flags) != cases[i].route)
            fail_msg("%s %s went wrong", cases[i].method, cases[i].path);
        if (r == NULL) {
            assert_string_equal(allow, cases[i].allow);
            continue;
        }
        assert_int_equal(params.n, (cases[i].p0 != NULL) + (cases[i].p1 != NULL));
        if (cases[i].p0 != NULL)
            assert_string_equal(params.value[0], cases[i].p0);
        if (cases[i].p1 != NULL)
            assert_string_equal(params.value[1], cases[i].p1);
    }
}

static void test_parameter_length(void **state)
{
    (void)state;
    for (size_t n = ROUTE_PARAM_MAX_BYTES - 1; n <= ROUTE_PARAM_MAX_BYTES; n++) {
        struct route_params params;
        char path[ROUTE_PARAM_MAX_BYTES + 16] = "/boxes/", allow[8];
        memset(path + 7, 'a', n);
        const struct route *r = route_find(routes, ARRAY_LEN(routes), SLICE_LIT("GET"),
                                           slice_str(path), &params, allow, sizeof(allow));
        assert_true((r != NULL) == (n < ROUTE_PARAM_MAX_BYTES));
        assert_string_equal(allow, r != NULL ? "" : "!");
    }
}

/* What does not fit is left out whole. */
static void test_small_allow(void **state)
{
    (void)state;
    struct route_params params;
    char allow[8];
    assert_null(route_find(routes, ARRAY_LEN(routes), SLICE_LIT("PATCH"), SLICE_LIT("/boxes"),
                           &params, allow, sizeof(allow)));
    assert_string_equal(allow, "GET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_parameter_length),
        cmocka_unit_test(test_small_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
