/* Log lines: one line each whatever the text, valid JSON when asked for, levels, rate, quoting. */
// deps: base json
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "json/json.h"

#include <fcntl.h>
#include <sys/mman.h>

static int saved_stderr = -EBADF;
static int capture = -EBADF;

static int start_capture(void **state)
{
    (void)state;
    saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    capture = memfd_create("log", MFD_CLOEXEC);
    /* no cloexec: standard error is meant to be inherited */
    return dup2(capture, STDERR_FILENO) < 0 ? -1 : 0;
}

static int stop_capture(void **state)
{
    (void)state;
    log_context(NULL);
    int r = dup2(saved_stderr, STDERR_FILENO) < 0 ? -1 : 0;
    saved_stderr = fd_close(saved_stderr);
    capture = fd_close(capture);
    return r;
}

/* What was logged since the last call. */
static void take_lines(struct buf *out)
{
    buf_clear(out);
    assert_true(lseek(capture, 0, SEEK_SET) == 0);
    assert_int_equal(fs_read_fd(capture, out), 0);
    assert_int_equal(ftruncate(capture, 0), 0);
    assert_true(lseek(capture, 0, SEEK_SET) == 0);
}

static size_t count_newlines(const struct buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += b->p[i] == '\n';
    return n;
}

static const char *const texts[] = {
    "plain",
    "two\nlines",
    "cr\rlf\n",
    "quote \" and \\ back",
    "\x1b[31mred\x1b[0m",
    "\xff\xfe",
    "\xe2\x82\xac \xe2\x82",
    "",
    "\x7f\x01\t",
    "tab\tnewline\\n",
};

static void test_text_lines(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(10000);
    log_setup("prog", LOG_INFO, false);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        log_info("%s", texts[i]);
        take_lines(&out);
        assert_int_equal(count_newlines(&out), 1);
        assert_true(slice_is_utf8(buf_slice(&out)));
        assert_int_equal(slice_find(buf_slice(&out), '\x1b'), out.n);
        assert_non_null(strstr(buf_str(&out), " prog info: "));
        if (strpbrk(texts[i], "\n\r\t\x1b\x7f\xff\xe2") == NULL)
            assert_non_null(strstr(buf_str(&out), texts[i]));
    }
}

static void test_json_lines(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(10000);
    log_setup("prog", LOG_INFO, true);
    log_context("ibox\"\n");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        log_warning("%s", texts[i]);
        take_lines(&out);
        assert_int_equal(count_newlines(&out), 1);
        _cleanup_json_ json_t *root = NULL;
        struct err err = {0};
        if (json_parse(buf_slice(&out), &root, &err) < 0)
            fail_msg("text %zu: %s", i, err.msg);
        struct json_ref ref = json_root(root);
        const char *level = NULL, *msg = NULL, *box = NULL;
        assert_int_equal(json_get_str(&ref, "level", JSON_REQUIRED, &level, &err), 1);
        assert_int_equal(json_get_str(&ref, "message", JSON_REQUIRED, &msg, &err), 1);
        assert_int_equal(json_get_str(&ref, "sandbox", JSON_REQUIRED, &box, &err), 1);
        assert_string_equal(level, "warning");
        assert_string_equal(box, "ibox\"\n");
        if (slice_is_utf8(slice_str(texts[i])))
            assert_string_equal(msg, texts[i]);
    }
}

static void test_long_lines(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(10000), text = BUF_INIT(5000);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(buf_put_char(&text, i % 3 == 0 ? '\n' : '"'), 0);
    for (int json = 0; json < 2; json++) {
        log_setup("prog", LOG_INFO, json == 1);
        log_error("%s", buf_str(&text));
        take_lines(&out);
        assert_true(out.n > 200);
        assert_int_equal(count_newlines(&out), 1);
        assert_int_equal(buf_str(&out)[out.n - 1], '\n');
        _cleanup_json_ json_t *root = NULL;
        assert_int_equal(json == 1 ? json_parse(buf_slice(&out), &root, NULL) : 0, 0);
    }
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warning", "info", "debug"};
    _cleanup_buf_ struct buf out = BUF_INIT(10000);
    for (unsigned max = 0; max < LOG_LEVEL_MAX_; max++) {
        enum log_level parsed = LOG_LEVEL_MAX_;
        assert_int_equal(log_level_parse(slice_str(names[max]), &parsed), 0);
        assert_int_equal(parsed, max);
        log_setup("prog", parsed, false);
        for (unsigned level = 0; level < LOG_LEVEL_MAX_; level++)
            log_write((enum log_level)level, "x");
        take_lines(&out);
        assert_int_equal(count_newlines(&out), max + 1);
    }
    enum log_level untouched = LOG_DEBUG;
    assert_int_equal(log_level_parse(SLICE_LIT("Info"), &untouched), -EINVAL);
    assert_int_equal(log_level_parse(SLICE_LIT(""), &untouched), -EINVAL);
    assert_int_equal(log_level_parse(SLICE_LIT("infos"), &untouched), -EINVAL);
    assert_int_equal(untouched, LOG_DEBUG);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    log_setup("prog", LOG_INFO, false);
    _cleanup_close_ int unwritable = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(dup2(unwritable, STDERR_FILENO) >= 0); /* the write fails and sets errno */
    errno = ENOTTY;
    log_info("x");
    assert_int_equal(errno, ENOTTY);
}

static void test_rate(void **state)
{
    (void)state;
    struct log_rate rate = {0};
    unsigned allowed = 0;
    for (int i = 0; i < 1000; i++)
        allowed += log_allow(&rate, 5);
    /* five a second, however many seconds this took */
    assert_true(allowed >= 5 && allowed < 1000 && allowed % 5 == 0);
    assert_false(log_allow(&(struct log_rate){0}, 0));
}

static const struct {
    const char *text;
    size_t cap;
    const char *quoted;
} quote_cases[] = {
    {"abc", 100, "abc"},    {"", 100, ""},  {"a\nb", 100, "a\\x0ab"}, {"\"\\", 100, "\\x22\\x5c"},
    {"\xff", 100, "\\xff"}, {"abc", 1, ""}, {"abcdef", 8, "abc"},     {"\n\n\n", 10, "\\x0a\\x0a"},
    {"\x7f", 100, "\\x7f"},
};

static void test_quote(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(quote_cases); i++) {
        char dst[100];
        assert_ptr_equal(log_quote(slice_str(quote_cases[i].text), dst, quote_cases[i].cap), dst);
        assert_string_equal(dst, quote_cases[i].quoted);
    }
    char none = 'z';
    (void)log_quote(SLICE_LIT("abc"), &none, 0);
    assert_int_equal(none, 'z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_lines, start_capture, stop_capture),
        cmocka_unit_test_setup_teardown(test_json_lines, start_capture, stop_capture),
        cmocka_unit_test_setup_teardown(test_long_lines, start_capture, stop_capture),
        cmocka_unit_test_setup_teardown(test_levels, start_capture, stop_capture),
        cmocka_unit_test_setup_teardown(test_errno_is_kept, start_capture, stop_capture),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
