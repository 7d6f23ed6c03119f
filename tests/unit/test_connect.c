/* Connect envelopes: frames out of pieces of any size, limits, and what is refused. */
// deps: http
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "http/connect.h"

#include <errno.h>

static void test_round_trip_at_every_cut(void **state)
{
    (void)state;
    static const struct {
        unsigned flags;
        const char *payload;
    } frames[] = {{0, "hello"}, {0, ""}, {1, "x"}, {2, "{}"}, {3, ""}};
    _cleanup_buf_ struct buf wire = BUF_INIT(256);
    for (size_t i = 0; i < ARRAY_LEN(frames); i++)
        assert_int_equal(connect_put_frame(&wire, frames[i].flags, slice_str(frames[i].payload)),
                         0);
    for (size_t step = 1; step <= wire.n; step++) {
        struct connect_reader r;
        size_t got = 0;
        connect_reader_init(&r, 5);
        for (size_t at = 0; at < wire.n; at += step) {
            unsigned flags;
            struct slice payload;
            assert_int_equal(connect_reader_feed(&r, slice_sub(buf_slice(&wire), at, step)), 0);
            while (connect_reader_next(&r, &flags, &payload) > 0) {
                assert_int_equal(flags, frames[got].flags);
                assert_true(slice_eq_str(payload, frames[got].payload));
                got++;
            }
        }
        assert_int_equal(got, ARRAY_LEN(frames));
        assert_true(connect_reader_at_border(&r));
        connect_reader_done(&r);
    }
}

static void test_put_bytes(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf out = BUF_INIT(10), small = BUF_INIT(6);
    assert_int_equal(connect_put_frame(&out, 2, SLICE_LIT("ab")), 0);
    assert_memory_equal(out.p,
                        "\x02\0\0\0\x02"
                        "ab",
                        7);
    assert_int_equal(connect_put_frame(&out, 4, SLICE_LIT("")), -EINVAL);
    assert_int_equal(connect_put_frame(&small, 0, SLICE_LIT("ab")), -ENOBUFS);
    assert_int_equal(small.n, 0); /* no half frame */
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct slice wire;
        int result;
    } cases[] = {
        {{"\4", 1}, -EBADMSG},
        {{"\x80", 1}, -EBADMSG},
        {{"\xff\0\0\0\0", 5}, -EBADMSG},
        {{"\0\0\0\0\x09", 5}, -EMSGSIZE},
        {{"\0\xff\xff\xff\xff", 5}, -EMSGSIZE},
        {{"\0\x80\0\0\0", 5}, -EMSGSIZE},
        {{"\0\0\0\0\x08", 5}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct connect_reader r;
        unsigned flags;
        struct slice payload;
        connect_reader_init(&r, 8);
        assert_int_equal(connect_reader_feed(&r, cases[i].wire), cases[i].result);
        assert_int_equal(connect_reader_next(&r, &flags, &payload), cases[i].result);
        assert_false(connect_reader_at_border(&r));
        connect_reader_done(&r);
        connect_reader_done(&r);
    }
}

/* Good frames in front of a bad one can still be taken. */
static void test_good_before_bad(void **state)
{
    (void)state;
    struct connect_reader r;
    unsigned flags;
    struct slice payload;
    connect_reader_init(&r, 8);
    assert_int_equal(connect_reader_feed(&r, slice_of("\0\0\0\0\1a\x08", 7)), -EBADMSG);
    assert_int_equal(connect_reader_next(&r, &flags, &payload), 1);
    assert_true(slice_eq_str(payload, "a"));
    assert_int_equal(connect_reader_next(&r, &flags, &payload), -EBADMSG);
    connect_reader_done(&r);
}

/* A long stream in small pieces does not gather. */
static void test_bounded(void **state)
{
    (void)state;
    struct connect_reader r;
    _cleanup_buf_ struct buf frame = BUF_INIT(4096);
    char payload[1000] = {0};
    assert_int_equal(connect_put_frame(&frame, 0, slice_of(payload, sizeof(payload))), 0);
    connect_reader_init(&r, sizeof(payload));
    for (int i = 0; i < 2000; i++) {
        unsigned flags;
        struct slice got;
        assert_int_equal(connect_reader_feed(&r, buf_slice(&frame)), 0);
        while (connect_reader_next(&r, &flags, &got) > 0)
            ;
        assert_true(r.pending.cap <= 4096);
    }
    connect_reader_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_at_every_cut),
        cmocka_unit_test(test_put_bytes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_good_before_bad),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
