// deps: cli sdk http json base
/* The option parser of the command line, and NAME=VALUE words. */
#include "cli/cli.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { WORDS_MAX = 10 };

struct parsed {
    const char *text;
    bool flag;
    uint64_t number;
    struct cli_list list;
    int first, argc;
    char *argv[WORDS_MAX + 1];
    struct err err;
};

static int parse(struct parsed *p, bool mixed, const char *const *words)
{
    const struct cli_option options[] = {
        {"text", 't', CLI_TEXT, &p->text, 0, "X", ""},
        {"flag", 'f', CLI_FLAG, &p->flag, 0, NULL, ""},
        {"number", 0, CLI_NUM, &p->number, 10, "N", ""},
        {"list", 'l', CLI_LIST, &p->list, 0, "X", ""},
    };
    p->argc = 1;
    p->argv[0] = (char[]){"cmd"};
    for (size_t i = 0; words[i] != NULL; i++)
        p->argv[p->argc++] = (char *)(uintptr_t)words[i];
    return cli_parse(options, ARRAY_LEN(options), mixed, p->argc, p->argv, &p->first, &p->err);
}

static void values(void **state)
{
    (void)state;
    struct parsed p = {.text = NULL};
    const char *const words[] = {"--text=a=b", "-f",     "--number", "10",   "-l",
                                 "one",        "--list", "two",      "word", NULL};
    assert_int_equal(parse(&p, false, words), 0);
    assert_string_equal(p.text, "a=b");
    assert_true(p.flag);
    assert_int_equal(p.number, 10);
    assert_int_equal(p.list.n, 2);
    assert_string_equal(p.list.items[1], "two");
    assert_string_equal(p.argv[p.first], "word");
    assert_int_equal(p.argc - p.first, 1);
}

static void ends_of_options(void **state)
{
    (void)state;
    struct parsed p = {.text = NULL}, q = {.text = NULL}, r = {.text = NULL};
    const char *const dashes[] = {"-f", "--", "--text", "x", NULL};
    assert_int_equal(parse(&p, false, dashes), 0);
    assert_string_equal(p.argv[p.first], "--text");
    const char *const word[] = {"word", "-f", NULL};
    assert_int_equal(parse(&q, false, word), 0);
    assert_false(q.flag);
    assert_int_equal(q.first, 1);
    const char *const dash[] = {"-f", "-", NULL};
    assert_int_equal(parse(&r, false, dash), 0);
    assert_string_equal(r.argv[r.first], "-");
}

static void mixed_words(void **state)
{
    (void)state;
    struct parsed p = {.text = NULL};
    const char *const words[] = {"one", "-f", "two", "--text", "x", "--", "--three", NULL};
    assert_int_equal(parse(&p, true, words), 0);
    assert_true(p.flag);
    assert_int_equal(p.argc - p.first, 3);
    assert_string_equal(p.argv[p.first], "one");
    assert_string_equal(p.argv[p.first + 1], "two");
    assert_string_equal(p.argv[p.first + 2], "--three");
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        const char *named;
    } cases[] = {
        {{"--nosuch", NULL, NULL}, "--nosuch"}, {{"-x", NULL, NULL}, "-x"},
        {{"-ft", NULL, NULL}, "-ft"},           {{"--text", NULL, NULL}, "--text"},
        {{"--flag=1", NULL, NULL}, "--flag"},   {{"--number", "11", NULL}, "--number"},
        {{"--number", "-1", NULL}, "--number"}, {{"--number=", NULL, NULL}, "--number"},
        {{"--tex", "x", NULL}, "--tex"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parsed p = {.text = NULL};
        assert_int_equal(parse(&p, false, cases[i].words), -EINVAL);
        if (strstr(p.err.msg, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].named, p.err.msg);
    }
}

static void names_and_values(void **state)
{
    (void)state;
    struct cli_list good = {{"A=b=c", "B="}, 2};
    struct cli_list bad = {{"=x"}, 1}, worse = {{"x"}, 1};
    silica_kv kv[2];
    struct err err = {0};
    assert_int_equal(cli_split_kv(&good, "env", kv, &err), 0);
    assert_string_equal(kv[0].key, "A");
    assert_string_equal(kv[0].value, "b=c");
    assert_string_equal(kv[1].value, "");
    assert_int_equal(cli_split_kv(&bad, "env", kv, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "--env"));
    assert_int_equal(cli_split_kv(&worse, "env", kv, &err), -EINVAL);
}

/* main.c has the table; the library refers to it. */
const struct cli_command cli_commands[] = {{"none", "", NULL}};
const size_t cli_n_commands = 1;
int cli_fail(const char *command, const struct err *err)
{
    (void)command;
    (void)err;
    return CLI_FAILED;
}
int cli_fail_usage(const char *command, const struct err *err)
{
    return cli_fail(command, err);
}
int cli_fail_sdk(const char *command, const silica_error *err)
{
    (void)command;
    (void)err;
    return CLI_FAILED;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),           cmocka_unit_test(ends_of_options),
        cmocka_unit_test(mixed_words),      cmocka_unit_test(refusals),
        cmocka_unit_test(names_and_values),
    };
    return cmocka_run_group_tests_name("cli options", tests, NULL, NULL);
}
