/* Requests as structs: Start, selectors, /init, the launch object. */
// deps: envd
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "envd/child_env.h"
#include "envd/config.h"
#include "envd/process_rpc.h"
#include "envd/settings.h"

static json_t *doc_of(const char *text)
{
    json_t *doc = NULL;
    struct err err;
    if (json_parse(slice_str(text), &doc, &err) < 0)
        fail_msg("'%s': %s", text, err.msg);
    return doc;
}

static void test_start_refused(void **state)
{
    static const struct {
        const char *body, *code, *says;
    } cases[] = {
        {"{}", "invalid_argument", "process is required"},
        {"{\"process\":5}", "invalid_argument", "process must be an object"},
        {"{\"process\":{\"cmd\":5}}", "invalid_argument", "process.cmd"},
        {"{\"process\":{\"args\":\"x\"}}", "invalid_argument", "process.args"},
        {"{\"process\":{\"args\":[1]}}", "invalid_argument", "process.args[0]"},
        {"{\"process\":{\"envs\":{\"A\":1}}}", "invalid_argument", "process.envs.A"},
        {"{\"process\":{\"envs\":{\"\":\"x\"}}}", "invalid_argument", "process.envs"},
        {"{\"process\":{\"envs\":{\"A=B\":\"x\"}}}", "invalid_argument", "A=B"},
        {"{\"process\":{},\"stdin\":\"yes\"}", "invalid_argument", "stdin"},
        {"{\"process\":{},\"tag\":7}", "invalid_argument", "tag"},
        {"{\"process\":{\"cmd\":\"x\"},\"pty\":{}}", "unimplemented", "pty"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_json_ json_t *doc = doc_of(cases[i].body);
        struct json_ref root = json_root(doc);
        struct start_request q;
        struct err err;
        assert_true(process_parse_start(&root, &q, &err) < 0);
        assert_string_equal(err.code, cases[i].code);
        if (strstr(err.msg, cases[i].says) == NULL)
            fail_msg("'%s' says '%s'", cases[i].body, err.msg);
    }
}

static void test_start(void **state)
{
    _cleanup_json_ json_t *doc = doc_of("{\"process\":{\"cmd\":\"c\",\"args\":[\"a\",\"\"],"
                                        "\"envs\":{\"K\":\"v\",\"HOME\":\"/h\"},\"cwd\":\"/w\","
                                        "\"other\":1},\"stdin\":false,\"tag\":\"t\",\"pty\":null}");
    struct json_ref root = json_root(doc);
    struct start_request q;
    (void)state;
    assert_int_equal(process_parse_start(&root, &q, NULL), 0);
    assert_string_equal(q.cmd, "c");
    assert_string_equal(q.cwd, "/w");
    assert_string_equal(q.tag, "t");
    assert_false(q.with_stdin);
    char *config = json_dumps(q.config, JSON_COMPACT);
    assert_string_equal(config, "{\"cmd\":\"c\",\"args\":[\"a\",\"\"],"
                                "\"envs\":{\"K\":\"v\",\"HOME\":\"/h\"},\"cwd\":\"/w\"}");
    free(config);

    struct settings s;
    struct user u = {.name = "user", .home = "/home/user"};
    struct child_env e = {0};
    assert_int_equal(settings_init(&s, true, "i1", "base"), 0);
    assert_int_equal(child_env_make(&s, "/bin", &u, &q, &e), 0);
    const char *const argv[] = {"c", "a", ""};
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        assert_string_equal(e.argv[i], argv[i]);
    assert_null(e.argv[3]);
    const char *const envp[] = {"PATH=/bin",
                                "HOME=/h",
                                "USER=user",
                                "LOGNAME=user",
                                "E2B_SANDBOX=true",
                                "E2B_SANDBOX_ID=i1",
                                "E2B_TEMPLATE_ID=base",
                                "K=v"};
    for (size_t i = 0; i < ARRAY_LEN(envp); i++)
        assert_string_equal(e.envp[i], envp[i]);
    assert_null(e.envp[ARRAY_LEN(envp)]);
    child_env_done(&e);
    settings_done(&s);
    json_decref(q.config);
}

static void test_selectors(void **state)
{
    static const struct {
        const char *body;
        int pid;
        const char *tag, *code; /* code NULL: accepted */
    } cases[] = {
        {"{\"process\":{\"pid\":7}}", 7, NULL, NULL},
        {"{\"process\":{\"pid\":\"7\"}}", 7, NULL, NULL},
        {"{\"process\":{\"pid\":0}}", 0, NULL, NULL},
        {"{\"process\":{\"pid\":4294967295}}", -1, NULL, NULL},
        {"{\"process\":{\"tag\":\"x\"}}", 0, "x", NULL},
        {"{\"process\":{\"tag\":\"\"}}", 0, "", NULL},
        {"{\"process\":{\"pid\":1,\"tag\":\"x\"}}", 0, NULL, "invalid_argument"},
        {"{\"process\":{\"pid\":-1}}", 0, NULL, "invalid_argument"},
        {"{\"process\":{\"pid\":4294967296}}", 0, NULL, "invalid_argument"},
        {"{\"process\":{\"pid\":\"7x\"}}", 0, NULL, "invalid_argument"},
        {"{\"process\":{\"pid\":1.5}}", 0, NULL, "invalid_argument"},
        {"{\"process\":{}}", 0, NULL, "unimplemented"},
        {"{}", 0, NULL, "unimplemented"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_json_ json_t *doc = doc_of(cases[i].body);
        struct json_ref root = json_root(doc);
        struct selector s;
        struct err err;
        int r = process_read_selector(&root, &s, &err);
        assert_int_equal(r < 0, cases[i].code != NULL);
        if (r < 0) {
            assert_string_equal(err.code, cases[i].code);
            continue;
        }
        assert_int_equal(s.tag != NULL, cases[i].tag != NULL);
        if (s.tag != NULL)
            assert_string_equal(s.tag, cases[i].tag);
        else
            assert_int_equal(s.pid, cases[i].pid);
    }
}

static int apply(struct settings *s, const char *text, struct err *err)
{
    _cleanup_json_ json_t *doc = doc_of(text);
    struct json_ref root = json_root(doc);
    return settings_apply(s, &root, err);
}

static void test_settings(void **state)
{
    struct settings s;
    struct err err;
    (void)state;
    assert_int_equal(settings_init(&s, true, "i1", ""), 0);
    assert_int_equal(apply(&s,
                           "{\"accessToken\":\"t1\",\"timestamp\":\"2026-01-02T00:00:00Z\","
                           "\"envVars\":{\"A\":\"1\",\"E2B_SANDBOX\":\"no\"},"
                           "\"defaultUser\":\"user\",\"defaultWorkdir\":\"/w\"}",
                           &err),
                     0);
    assert_string_equal(s.token, "t1");
    assert_string_equal(s.default_user, "user");
    assert_string_equal(s.default_workdir, "/w");

    /* older and equal: nothing is applied; empty user and folder are ignored */
    assert_int_equal(
        apply(&s, "{\"accessToken\":\"t2\",\"timestamp\":\"2026-01-01T00:00:00Z\"}", &err), 0);
    assert_string_equal(s.token, "t1");
    assert_int_equal(
        apply(&s, "{\"accessToken\":\"t2\",\"timestamp\":\"2026-01-02T00:00:00Z\"}", &err), 0);
    assert_string_equal(s.token, "t1");
    assert_int_equal(
        apply(&s, "{\"defaultUser\":\"\",\"defaultWorkdir\":\"\",\"unknown\":1}", &err), 0);
    assert_string_equal(s.token, ""); /* absent: cleared */
    assert_string_equal(s.default_user, "user");
    assert_string_equal(s.default_workdir, "/w");

    /* variables are replaced as a whole, the daemon's own survive */
    _cleanup_json_ json_t *before = settings_globals(&s);
    assert_string_equal(json_string_value(json_object_get(before, "A")), "1");
    assert_int_equal(apply(&s, "{\"envVars\":{\"B\":\"2\"}}", &err), 0);
    _cleanup_json_ json_t *after = settings_globals(&s);
    assert_null(json_object_get(after, "A"));
    assert_string_equal(json_string_value(json_object_get(after, "E2B_SANDBOX")), "true");
    assert_string_equal(json_string_value(json_object_get(after, "E2B_SANDBOX_ID")), "i1");
    settings_done(&s);
}

static void test_settings_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"accessToken\":\"\"}", "accessToken"},
        {"{\"accessToken\":5}", "accessToken"},
        {"{\"timestamp\":\"yesterday\"}", "timestamp"},
        {"{\"envVars\":[]}", "envVars"},
        {"{\"envVars\":{\"A\":1}}", "envVars.A"},
        {"{\"envVars\":{\"A=\":\"1\"}}", "envVars"},
        {"{\"caBundle\":\"x\"}", "caBundle"},
        {"{\"volumeMounts\":[{}]}", "volumeMounts"},
        {"{\"hyperloopIP\":\"1.2.3.4\"}", "hyperloopIP"},
    };
    struct settings s;
    (void)state;
    assert_int_equal(settings_init(&s, true, "", ""), 0);
    assert_int_equal(apply(&s, "{\"accessToken\":\"keep\"}", NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err;
        assert_int_equal(apply(&s, cases[i][0], &err), -EINVAL);
        if (strstr(err.msg, cases[i][1]) == NULL)
            fail_msg("'%s' says '%s'", cases[i][0], err.msg);
        assert_string_equal(s.token, "keep");
    }
    settings_done(&s);
}

static void test_config(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"controlSecret\":\"\"}",
        "{\"controlSecret\":\"s\",\"listenFd\":3}",
        "{\"controlSecret\":\"s\",\"cgroupFds\":[5,3]}",
        "{\"controlSecret\":\"s\",\"cgroupFds\":[\"5\"]}",
        "{\"controlSecret\":\"s\",\"port\":0}",
        "{\"controlSecret\":\"s\",\"port\":65536}",
        "{\"controlSecret\":\"s\"",
    };
    struct envd_config c;
    (void)state;
    assert_int_equal(config_parse(SLICE_LIT("{\"sandboxId\":\"i1\",\"templateId\":\"base\","
                                            "\"controlSecret\":\"s\",\"listenFd\":4,"
                                            "\"cgroupFds\":[5,6,7],\"port\":49983,\"more\":1}"),
                                  &c, NULL),
                     0);
    assert_string_equal(c.sandbox_id, "i1");
    assert_string_equal(c.control_secret, "s");
    assert_int_equal(c.listen_fd, 4);
    assert_int_equal(c.n_cgroup_fds, 3);
    assert_int_equal(c.cgroup_fds[2], 7);
    assert_false(c.standalone);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(config_parse(slice_str(bad[i]), &c, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_refused),    cmocka_unit_test(test_start),
        cmocka_unit_test(test_selectors),        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_refused), cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
