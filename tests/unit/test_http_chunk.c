/* The chunked coding: each case is decoded whole and cut at every byte, with the same result. */
// deps: http
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "http/chunk.h"

#include <errno.h>

#define N "\r\n"

enum { MORE = 1 }; /* the body is not at its end yet */

static const struct {
    const char *wire;
    int result; /* 0: ended, MORE, or the error */
    const char *data;
    const char *rest; /* not consumed */
    size_t n_trailers;
} cases[] = {
    {"0" N N, 0, "", "", 0},
    {"0" N N "GET /", 0, "", "GET /", 0},
    {"3" N "abc" N "0" N N, 0, "abc", "", 0},
    {"3" N "abc" N "2" N "de" N "0" N N "x", 0, "abcde", "x", 0},
    {"a" N "0123456789" N "0" N N, 0, "0123456789", "", 0},
    {"A" N "0123456789" N "0" N N, 0, "0123456789", "", 0},
    {"0a" N "0123456789" N "0" N N, 0, "0123456789", "", 0},
    {"000000000000000a" N "0123456789" N "0" N N, 0, "0123456789", "", 0},
    {"0000000000000000a" N, -EBADMSG, "", "", 0},
    {"00" N N, 0, "", "", 0},
    {"0000000000000000" N N, 0, "", "", 0},
    {"00000000000000000" N N, -EBADMSG, "", "", 0},
    {"2" N "\r\n" N "0" N N, 0, "\r\n", "", 0},
    {"5" N "0\r\n\r\n" N "0" N N, 0, "0\r\n\r\n", "", 0},
    /* Not at its end. */
    {"", MORE, "", "", 0},
    {"3", MORE, "", "", 0},
    {"3\r", MORE, "", "", 0},
    {"3" N, MORE, "", "", 0},
    {"3" N "ab", MORE, "ab", "", 0},
    {"3" N "abc", MORE, "abc", "", 0},
    {"3" N "abc\r", MORE, "abc", "", 0},
    {"3" N "abc" N, MORE, "abc", "", 0},
    {"0" N, MORE, "", "", 0},
    {"0" N "\r", MORE, "", "", 0},
    {"0" N "A: b" N, MORE, "", "", 0},
    {"7fffffffffffffff" N "a", MORE, "a", "", 0},
    /* Sizes. */
    {"8000000000000000" N, -EBADMSG, "", "", 0},
    {"ffffffffffffffff" N, -EBADMSG, "", "", 0},
    {"10000000000000000" N, -EBADMSG, "", "", 0},
    {N, -EBADMSG, "", "", 0},
    {" 3" N, -EBADMSG, "", "", 0},
    {"3 " N, -EBADMSG, "", "", 0},
    {"\t3" N, -EBADMSG, "", "", 0},
    {"3\t" N, -EBADMSG, "", "", 0},
    {"+3" N, -EBADMSG, "", "", 0},
    {"-3" N, -EBADMSG, "", "", 0},
    {"0x3" N, -EBADMSG, "", "", 0},
    {"3h" N, -EBADMSG, "", "", 0},
    {"g" N, -EBADMSG, "", "", 0},
    {"3.0" N, -EBADMSG, "", "", 0},
    {"3 abc" N, -EBADMSG, "", "", 0},
    {"3,3" N, -EBADMSG, "", "", 0},
    {"\"3\"" N, -EBADMSG, "", "", 0},
    /* Line ends. */
    {"3\nabc" N "0" N N, -EBADMSG, "", "", 0},
    {"3\r\rabc", -EBADMSG, "", "", 0},
    {"3\rabc", -EBADMSG, "", "", 0},
    {"\n3" N, -EBADMSG, "", "", 0},
    {"3" N "abc\n0" N N, -EBADMSG, "abc", "", 0},
    {"3" N "abc\r0" N N, -EBADMSG, "abc", "", 0},
    {"3" N "abcd" N "0" N N, -EBADMSG, "abc", "", 0},
    {"3" N "abc0" N N, -EBADMSG, "abc", "", 0},
    {"3" N "abc" N N "0" N N, -EBADMSG, "abc", "", 0},
    {"3" N "abc " N "0" N N, -EBADMSG, "abc", "", 0},
    {"0\n\n", -EBADMSG, "", "", 0},
    {"0" N "\n", -EBADMSG, "", "", 0},
    {"0" N "\r\r", -EBADMSG, "", "", 0},
    /* Extensions. */
    {"3;a" N "abc" N "0" N N, 0, "abc", "", 0},
    {"3;a=b" N "abc" N "0;last" N N, 0, "abc", "", 0},
    {"3;a=b;c=\"d e\";f" N "abc" N "0" N N, 0, "abc", "", 0},
    {"3;a=\"b\\\"c\"" N "abc" N "0" N N, 0, "abc", "", 0},
    {"3;a=\"b;c\"" N "abc" N "0" N N, 0, "abc", "", 0},
    {"3;" N, -EBADMSG, "", "", 0},
    {"3;;" N, -EBADMSG, "", "", 0},
    {"3; a" N, -EBADMSG, "", "", 0},
    {"3 ;a" N, -EBADMSG, "", "", 0},
    {"3;a " N, -EBADMSG, "", "", 0},
    {"3;a=" N, -EBADMSG, "", "", 0},
    {"3;a =b" N, -EBADMSG, "", "", 0},
    {"3;a= b" N, -EBADMSG, "", "", 0},
    {"3;=b" N, -EBADMSG, "", "", 0},
    {"3;a=\"b" N, -EBADMSG, "", "", 0},
    {"3;a=\"b\"c" N, -EBADMSG, "", "", 0},
    {"3;a=\"b\\" N, -EBADMSG, "", "", 0},
    {"3;a=\"\x01\"" N, -EBADMSG, "", "", 0},
    {"3;\x01" N, -EBADMSG, "", "", 0},
    {"3;a\nabc" N "0" N N, -EBADMSG, "", "", 0},
    {"3;a\rb" N, -EBADMSG, "", "", 0},
    {";a" N, -EBADMSG, "", "", 0},
    /* Trailers. */
    {"0" N "A: b" N N "x", 0, "", "x", 1},
    {"0" N "A: b" N "C:" N N, 0, "", "", 2},
    {"0" N "A : b" N N, -EBADMSG, "", "", 0},
    {"0" N "A" N N, -EBADMSG, "", "", 0},
    {"0" N " A: b" N N, -EBADMSG, "", "", 0},
    {"0" N "A: b" N " c" N N, -EBADMSG, "", "", 0},
    {"0" N "A: \x01" N N, -EBADMSG, "", "", 0},
    {"0" N "A: b\n\r\n", -EBADMSG, "", "", 0},
    {"0" N "A: b\rC: d" N N, -EBADMSG, "", "", 0},
    {"0" N "Content-Length: 3" N N, -EBADMSG, "", "", 0},
    {"0" N "transfer-encoding: chunked" N N, -EBADMSG, "", "", 0},
    {"0" N "HOST: h" N N, -EBADMSG, "", "", 0},
    {"0" N "Connection: close" N N, -EBADMSG, "", "", 0},
    {"0" N "Upgrade: x" N N, -EBADMSG, "", "", 0},
    {"0" N "Trailer: x" N N, -EBADMSG, "", "", 0},
    {"0" N "Authorization: x" N N, -EBADMSG, "", "", 0},
};

/* Decode `wire`, cut into two at `cut`. */
static void check(size_t i, size_t cut)
{
    struct chunk_decoder d;
    _cleanup_buf_ struct buf data = BUF_INIT(4096);
    const struct slice wire = slice_str(cases[i].wire);
    const struct slice parts[2] = {slice_sub(wire, 0, cut), slice_from(wire, cut)};
    size_t used_total = 0;
    int r = 0;
    chunk_decoder_init(&d);
    for (int p = 0; p < 2 && r >= 0 && d.state != CHUNK_DONE; p++) {
        struct slice rest = parts[p], piece;
        size_t used;
        while ((r = chunk_decode(&d, rest, &used, &piece)) >= 0) {
            assert_int_equal(buf_put_slice(&data, piece), 0);
            rest = slice_from(rest, used);
            used_total += used;
            if (r == 0)
                break;
        }
    }
    int result = r < 0 ? r : d.state == CHUNK_DONE ? 0 : MORE;
    if (result != cases[i].result)
        fail_msg("case %zu cut at %zu gives %d: %s", i, cut, result, cases[i].wire);
    assert_string_equal(buf_str(&data), cases[i].data);
    if (r < 0) { /* broken stays broken */
        size_t used;
        struct slice piece;
        assert_int_equal(chunk_decode(&d, SLICE_LIT("0\r\n\r\n"), &used, &piece), r);
    } else {
        assert_string_equal(cases[i].wire + used_total, cases[i].rest);
        assert_int_equal(result == 0 ? d.n_fields : 0, cases[i].n_trailers);
    }
    chunk_decoder_done(&d);
    chunk_decoder_done(&d);
}

static void test_cases_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t cut = 0; cut <= strlen(cases[i].wire); cut++)
            check(i, cut);
}

/* Wrong bytes are refused when they come, not when the line ends. */
static void test_early_refusal(void **state)
{
    (void)state;
    static const char *const texts[] = {"x", "3x", "3 ", "3\rx", "00000000000000000", "\r\r"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct chunk_decoder d;
        size_t used;
        struct slice piece;
        chunk_decoder_init(&d);
        assert_int_equal(chunk_decode(&d, slice_str(texts[i]), &used, &piece), -EBADMSG);
        chunk_decoder_done(&d);
    }
}

/* Feeds `head`, then n times `unit`, then `tail`; returns the first error, or 0. */
static int decode_repeated(const char *head, size_t n, const char *unit, const char *tail)
{
    struct chunk_decoder d;
    int r = 0;
    chunk_decoder_init(&d);
    for (size_t i = 0; i < n + 2 && r >= 0; i++) {
        struct slice rest = slice_str(i == 0 ? head : i <= n ? unit : tail), piece;
        size_t used;
        while ((r = chunk_decode(&d, rest, &used, &piece)) > 0)
            rest = slice_from(rest, used);
    }
    chunk_decoder_done(&d);
    return r;
}

static void test_limits(void **state)
{
    (void)state;
    /* A size line: "3;" and a name, CR included in the limit. */
    assert_int_equal(decode_repeated("3;", CHUNK_LINE_MAX_BYTES - 3, "a", N), 0);
    assert_int_equal(decode_repeated("3;", CHUNK_LINE_MAX_BYTES - 2, "a", N), -EMSGSIZE);
    /* All extensions together: 9 bytes each. */
    assert_int_equal(decode_repeated("", CHUNK_EXT_MAX_BYTES / 9, "1;abcdefgh" N "x" N, "0" N N),
                     0);
    assert_int_equal(decode_repeated("", CHUNK_EXT_MAX_BYTES / 9 + 1, "1;abcdefgh" N "x" N, ""),
                     -EMSGSIZE);
    /* Trailers: their number, one line, all lines. */
    assert_int_equal(decode_repeated("0" N, CHUNK_TRAILERS_MAX, "A: b" N, N), 0);
    assert_int_equal(decode_repeated("0" N, CHUNK_TRAILERS_MAX + 1, "A: b" N, N), -EMSGSIZE);
    assert_int_equal(decode_repeated("0" N "A: ", CHUNK_TRAILERS_MAX_BYTES, "b", ""), -EMSGSIZE);
    _cleanup_buf_ struct buf line = BUF_INIT(4096);
    buf_put_str(&line, "A: ");
    while (line.n < CHUNK_TRAILERS_MAX_BYTES / 4)
        buf_put_char(&line, 'b');
    buf_put_str(&line, N);
    assert_int_equal(decode_repeated("0" N, 3, buf_str(&line), N), 0);
    assert_int_equal(decode_repeated("0" N, 4, buf_str(&line), N), -EMSGSIZE);
}

static void test_trailer_fields(void **state)
{
    (void)state;
    struct chunk_decoder d;
    size_t used;
    struct slice piece;
    chunk_decoder_init(&d);
    assert_int_equal(chunk_decode(&d, SLICE_LIT("0\r\nA:  b c\r\nX-D:\r\n\r\n"), &used, &piece), 0);
    assert_int_equal(d.state, CHUNK_DONE);
    assert_int_equal(d.n_fields, 2);
    assert_true(slice_eq_str(d.fields[0].name, "A"));
    assert_true(slice_eq_str(d.fields[0].value, "b c"));
    assert_true(slice_eq_str(d.fields[1].name, "X-D"));
    assert_int_equal(d.fields[1].value.n, 0);
    chunk_decoder_done(&d);
}

static void test_prefix(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } prefixes[] = {
        {1, "1\r\n"},
        {15, "f\r\n"},
        {16, "10\r\n"},
        {255, "ff\r\n"},
        {4096, "1000\r\n"},
        {0x123456789abcdef0, "123456789abcdef0\r\n"},
        {INT64_MAX, "7fffffffffffffff\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        char text[CHUNK_PREFIX_BYTES];
        assert_int_equal(chunk_prefix(prefixes[i].n, text), strlen(prefixes[i].text));
        assert_string_equal(text, prefixes[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases_at_every_cut),
        cmocka_unit_test(test_early_refusal),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_trailer_fields),
        cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
