/* The multipart parser: every body is fed whole, byte by byte, and cut in two at every place. */
// deps: envd
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "envd/multipart.h"

#define TYPE "multipart/form-data; boundary=XX"

/* What came out is written as "[name|filename]data." for each part. */
static int on_part(void *user, const struct multipart_part *part, struct err *err)
{
    (void)err;
    return buf_printf(user, "[%s|%s]", part->name, part->filename != NULL ? part->filename : "-");
}

static int on_data(void *user, struct slice data, struct err *err)
{
    (void)err;
    return buf_put_slice(user, data);
}

static int on_part_end(void *user, struct err *err)
{
    (void)err;
    return buf_put_char(user, '.');
}

static const struct multipart_ops ops = {on_part, on_data, on_part_end};

static int feed_pieces(struct multipart *m, struct slice body, size_t first, size_t then,
                       struct err *err)
{
    int r = multipart_feed(m, slice_sub(body, 0, first), err);
    for (size_t i = first; i < body.n && r == 0; i += then)
        r = multipart_feed(m, slice_sub(body, i, then), err);
    return r == 0 ? multipart_end(m, err) : r;
}

static int parse(const char *type, struct slice body, size_t first, size_t then, struct buf *out)
{
    struct multipart m;
    struct err err;
    int r = multipart_init(&m, slice_str(type), &ops, out, &err);
    if (r == 0)
        r = feed_pieces(&m, body, first, then, &err);
    multipart_done(&m);
    return r;
}

struct body_case {
    const char *body, *out;
    int result;
};

#define HEAD(params) "Content-Disposition: form-data; " params "\r\n\r\n"
#define FILE_A       HEAD("name=\"file\"; filename=\"a\"")

static const struct body_case body_cases[] = {
    {"--XX\r\n" FILE_A "hello\r\n--XX--\r\n", "[file|a]hello.", 0},
    {"--XX\r\n" FILE_A "hello\r\n--XX--", "[file|a]hello.", 0},
    {"--XX\r\n" FILE_A "\r\n--XX--\r\n", "[file|a].", 0},
    {"--XX\r\n" FILE_A "--XX--\r\n", "[file|a].", 0},
    {"--XX\r\n" FILE_A "\r\n\r\n--XX--\r\n", "[file|a]\r\n.", 0},
    {"--XX\r\n" FILE_A "a\rb\nc\r\nd\r\n-e\r\n--X\r\n--Xy\r\n--XX--\r\n",
     "[file|a]a\rb\nc\r\nd\r\n-e\r\n--X\r\n--Xy.", 0},
    {"--XX\r\n" FILE_A "-\r\n--XX--\r\n", "[file|a]-.", 0},
    {"--XX\r\n" FILE_A "--X\r\n--XX--\r\n", "[file|a]--X.", 0},
    {"--XX\r\n" FILE_A "\r\r\n--XX--\r\n", "[file|a]\r.", 0},
    {"--XX\r\n" FILE_A "\r\n\r\r\n--XX--\r\n", "[file|a]\r\n\r.", 0},
    {"--XX\r\n" FILE_A "1\r\n--XX\r\n" HEAD("name=x") "2\r\n--XX--\r\n", "[file|a]1.[x|-]2.", 0},
    {"--XX \t\r\n" FILE_A "1\r\n--XX--\r\n", "[file|a]1.", 0},
    {"preamble\r\n--XX\r\n" FILE_A "1\r\n--XX--\r\nepilogue\r\n--XX\r\n", "[file|a]1.", 0},
    {"\r\n--XX\r\n" FILE_A "1\r\n--XX--", "[file|a]1.", 0},
    {"--XX--\r\n", "", 0},
    {"--XX\r\n\r\nbody\r\n--XX--\r\n", "[|-]body.", 0},
    {"--XX\r\ncontent-type: a/b\r\nCONTENT-DISPOSITION: form-data; NAME=file\r\n\r\nb\r\n--XX--",
     "[file|-]b.", 0},
    {"--XX\r\n" HEAD("name=\"a\\\"b\"; filename=\"c:\\\\d\\e\"") "1\r\n--XX--", "[a\"b|c:\\d\\e]1.",
     0},
    {"--XX\r\n" HEAD("filename*=utf-8''%e2%82%ac; name=file; filename=x") "1\r\n--XX--",
     "[file|\xe2\x82\xac]1.", 0},
    {"--XX\r\n" HEAD("name=file; filename=\"a;b=c\"") "1\r\n--XX--", "[file|a;b=c]1.", 0},
    {"", "", -EBADMSG},
    {"--XX", "", -EBADMSG},
    {"--XX\r\n", "", -EBADMSG},
    {"--XX\r\n" FILE_A, "[file|a]", -EBADMSG},
    {"--XX\r\n" FILE_A "hello", "[file|a]hello", -EBADMSG},
    {"--XX\r\n" FILE_A "hello\r\n--XX", "[file|a]hello.", -EBADMSG},
    {"--XX\r\n" FILE_A "hello\r\n--XX-", "[file|a]hello.", -EBADMSG},
    {"--XXy\r\n" FILE_A "hello\r\n--XX--", "", -EBADMSG},
    {"--XX-y\r\n", "", -EBADMSG},
    {"--XX\r\nno colon\r\n\r\n1\r\n--XX--", "", -EBADMSG},
    {"--XX\r\nContent-Disposition: form-data; name=\"x\r\n\r\n1\r\n--XX--", "", -EBADMSG},
    {"--XX\r\nContent-Disposition: form-data; filename*=latin1''a\r\n\r\n1\r\n--XX--", "",
     -EBADMSG},
    {"--XX\r\nContent-Disposition: form-data; filename*=utf-8''%00\r\n\r\n1\r\n--XX--", "",
     -EBADMSG},
};

static void check_body(const struct body_case *c, size_t first, size_t then)
{
    _cleanup_buf_ struct buf out = BUF_INIT(65536);
    int r = parse(TYPE, slice_str(c->body), first, then, &out);
    if (r != c->result || !slice_eq_str(buf_slice(&out), c->out))
        fail_msg("'%s' cut at %zu by %zu: %d '%s', wanted %d '%s'", c->body, first, then, r,
                 buf_str(&out), c->result, c->out);
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(body_cases); i++) {
        size_t n = strlen(body_cases[i].body);
        check_body(&body_cases[i], n, 1);
        check_body(&body_cases[i], 0, 1);
        for (size_t cut = 1; cut < n; cut++)
            check_body(&body_cases[i], cut, n);
    }
}

static void test_types(void **state)
{
    static const struct {
        const char *type;
        int result;
    } cases[] = {
        {"multipart/form-data; boundary=XX", 0},
        {"Multipart/Form-Data; charset=utf-8; Boundary=\"XX\"", 0},
        {"multipart/mixed;boundary=XX", 0},
        {"multipart/form-data", -EINVAL},
        {"multipart/form-data; boundary=", -EINVAL},
        {"multipart/form-data; boundary=\"a\rb\"", -EINVAL},
        {"multipart/form-data; boundary=\"a \"", -EINVAL},
        {"text/plain; boundary=XX", -EINVAL},
        {"", -EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct multipart m;
        int r = multipart_init(&m, slice_str(cases[i].type), &ops, NULL, NULL);
        multipart_done(&m);
        if (r != cases[i].result)
            fail_msg("'%s': %d, wanted %d", cases[i].type, r, cases[i].result);
    }
}

/* At the limits and one above. */
static void test_limits(void **state)
{
    (void)state;
    for (size_t n = MULTIPART_BOUNDARY_MAX; n <= MULTIPART_BOUNDARY_MAX + 1; n++) {
        _cleanup_buf_ struct buf type = BUF_INIT(1024);
        struct multipart m;
        buf_put_str(&type, "multipart/form-data; boundary=");
        for (size_t i = 0; i < n; i++)
            buf_put_char(&type, 'b');
        int r = multipart_init(&m, buf_slice(&type), &ops, NULL, NULL);
        multipart_done(&m);
        assert_int_equal(r, n <= MULTIPART_BOUNDARY_MAX ? 0 : -EINVAL);
    }
    for (int over = 0; over <= 1; over++) {
        _cleanup_buf_ struct buf body = BUF_INIT(65536), out = BUF_INIT(65536);
        size_t frame = strlen("X: \r\n\r\n");
        buf_put_str(&body, "--XX\r\nX: ");
        for (size_t i = 0; i + frame < MULTIPART_HEAD_MAX_BYTES + (size_t)over; i++)
            buf_put_char(&body, 'v');
        buf_put_str(&body, "\r\n\r\n1\r\n--XX--");
        assert_int_equal(parse(TYPE, buf_slice(&body), body.n, 1, &out), over ? -EMSGSIZE : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
