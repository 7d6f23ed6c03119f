/* The launch object between silica-priv and silica-envd: what is read of it, what is added to it. */
// deps: guest base
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "guest/guest.h"

#include <string.h>

#define HEAD "{\"sandboxId\":\"iabc\",\"templateId\":\"t\""

struct launch_case {
    const char *text;
    int result;
    uint32_t pids;
};

static const struct launch_case launch_cases[] = {
    {HEAD "}", 0, 0},
    {HEAD ",\"pids\":500}", 0, 500},
    {HEAD ",\"pids\":4294967295,\"x\":1}\n\n\n", 0, 4294967295u},
    {HEAD ",\"pids\":4294967296}", -EINVAL, 0},
    {HEAD ",\"pids\":-1}", -EINVAL, 0},
    {HEAD ",\"pids\":\"5\"}", -EINVAL, 0},
    {HEAD ",\"pids\":}", -EINVAL, 0},
    {HEAD ",\"pids\":5", -EINVAL, 0},
    {HEAD "} ", -EINVAL, 0},
    {"", -EINVAL, 0},
    {"\n\n", -EINVAL, 0},
    {"{}", -EINVAL, 0},
    {"}", -EINVAL, 0},
    {"{\"pids\":5}", -EINVAL, 0},
    {"{\"sandboxId\":\"\"}", -EINVAL, 0},
    {"{\"sandboxId\":}", -EINVAL, 0},
    {"{\"sandboxId\":\"}", -EINVAL, 0},
    {"{\"sandboxId\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
     -EINVAL, 0}, /* one too long */
};

static void guest_make(struct guest *g, const char *text)
{
    *g = (struct guest){.envd_fd = -EBADF};
    buf_init(&g->launch, GUEST_LAUNCH_MAX_BYTES);
    assert_int_equal(buf_put_str(&g->launch, text), 0);
}

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(launch_cases); i++) {
        const struct launch_case *c = &launch_cases[i];
        struct guest g;
        guest_make(&g, c->text);
        int r = guest_parse_launch(&g, NULL);
        if (r != c->result)
            fail_msg("'%s' gives %d", c->text, r);
        if (r == 0) {
            assert_string_equal(g.sandbox_id, "iabc");
            assert_int_equal(g.pids, c->pids);
        }
        buf_done(&g.launch);
    }
}

static void test_complete(void **state)
{
    (void)state;
    struct guest g;
    _cleanup_buf_ struct buf text = BUF_INIT(GUEST_LAUNCH_MAX_BYTES);
    guest_make(&g, HEAD ",\"pids\":7}\n\n\n\n");
    assert_int_equal(guest_parse_launch(&g, NULL), 0);
    assert_int_equal(guest_complete_launch(&g, &text), 0);
    assert_string_equal(buf_str(&text),
                        HEAD ",\"pids\":7,\"cgroupFds\":[4],\"memoryUsageFd\":5,\"cpuUsageFd\":6,"
                             "\"memoryEventsFd\":7,\"pidsEventsFd\":8,\"ownMemoryFd\":9}\n");
    buf_done(&g.launch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
