/* What silica-dns forwards, what it refuses, and which answers it takes. */
// deps: dns base
#include "base/cleanup.h"
#include "dns/message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A literal with NUL bytes and its length. */
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

#define ONE     "\0\1\0\0\0\0\0\0"
#define ONE_OPT "\0\1\0\0\0\0\0\1"
#define NAME    "\3www\4test\0"
#define A_IN    "\0\1\0\1"
#define OPT(sz) "\0\0\51" sz "\0\0\0\0\0\0"
#define L63     "\77aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61     "\75aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L62     "\76aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum { DROP = -EBADMSG };

static const struct {
    const char *what;
    const uint8_t *p;
    size_t n;
    int want;
} queries[] = {
    {"plain", BYTES("\1\2\1\0" ONE NAME A_IN), 0},
    {"no recursion", BYTES("\1\2\0\0" ONE NAME A_IN), 0},
    {"the root's name", BYTES("\1\2\1\0" ONE "\0" A_IN), 0},
    {"AAAA", BYTES("\1\2\1\0" ONE NAME "\0\34\0\1"), 0},
    {"any type", BYTES("\1\2\1\0" ONE NAME "\0\377\0\1"), 0},
    {"type 65535", BYTES("\1\2\1\0" ONE NAME "\377\377\0\1"), 0},
    {"bytes of all values in a label", BYTES("\1\2\1\0" ONE "\4\0.\377 \0" A_IN), 0},
    {"name of 255 bytes", BYTES("\1\2\1\0" ONE L63 L63 L63 L61 "\0" A_IN), 0},
    {"label of 63 bytes", BYTES("\1\2\1\0" ONE L63 "\0" A_IN), 0},
    {"EDNS", BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\4\320")), 0},
    {"EDNS with an option",
     BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0\0\6\0\12\0\2ab"), 0},
    {"unused flag bits", BYTES("\1\2\1\160" ONE NAME A_IN), 0},

    {"nothing", BYTES(""), DROP},
    {"eleven bytes", BYTES("\1\2\1\0\0\1\0\0\0\0\0"), DROP},
    {"an answer", BYTES("\1\2\201\200" ONE NAME A_IN), DROP},
    {"an answer with another opcode", BYTES("\1\2\250\0" ONE NAME A_IN), DROP},

    {"status", BYTES("\1\2\20\0" ONE NAME A_IN), DNS_NOTIMP},
    {"notify", BYTES("\1\2\40\0" ONE NAME A_IN), DNS_NOTIMP},
    {"update", BYTES("\1\2\50\0" ONE NAME A_IN), DNS_NOTIMP},

    {"header alone", BYTES("\1\2\1\0" ONE), DNS_FORMERR},
    {"no question", BYTES("\1\2\1\0\0\0\0\0\0\0\0\0"), DNS_FORMERR},
    {"no question counted", BYTES("\1\2\1\0\0\0\0\0\0\0\0\0" NAME A_IN), DNS_FORMERR},
    {"two questions", BYTES("\1\2\1\0\0\2\0\0\0\0\0\0" NAME A_IN NAME A_IN), DNS_FORMERR},
    {"65535 questions", BYTES("\1\2\1\0\377\377\0\0\0\0\0\0" NAME A_IN), DNS_FORMERR},
    {"an answer counted", BYTES("\1\2\1\0\0\1\0\1\0\0\0\0" NAME A_IN), DNS_FORMERR},
    {"authority counted", BYTES("\1\2\1\0\0\1\0\0\0\1\0\0" NAME A_IN), DNS_FORMERR},
    {"two extra records", BYTES("\1\2\1\0\0\1\0\0\0\0\0\2" NAME A_IN OPT("\4\320") OPT("\4\320")),
     DNS_FORMERR},
    {"truncated flag", BYTES("\1\2\3\0" ONE NAME A_IN), DNS_FORMERR},
    {"bytes behind it", BYTES("\1\2\1\0" ONE NAME A_IN "x"), DNS_FORMERR},
    {"no class", BYTES("\1\2\1\0" ONE NAME "\0\1\0"), DNS_FORMERR},
    {"no type", BYTES("\1\2\1\0" ONE NAME), DNS_FORMERR},
    {"name without an end", BYTES("\1\2\1\0" ONE "\3www\4test"), DNS_FORMERR},
    {"label past the end", BYTES("\1\2\1\0" ONE "\77www\0" A_IN), DNS_FORMERR},
    {"label of 64 bytes", BYTES("\1\2\1\0" ONE "\100" L63 "\0" A_IN), DNS_FORMERR},
    {"compression pointer", BYTES("\1\2\1\0" ONE "\300\14" A_IN), DNS_FORMERR},
    {"pointer behind a label", BYTES("\1\2\1\0" ONE "\3www\300\14" A_IN), DNS_FORMERR},
    {"extended label", BYTES("\1\2\1\0" ONE "\101x\0" A_IN), DNS_FORMERR},
    {"name of 256 bytes", BYTES("\1\2\1\0" ONE L63 L63 L63 L62 "\0" A_IN), DNS_FORMERR},
    {"type 0", BYTES("\1\2\1\0" ONE NAME "\0\0\0\1"), DNS_FORMERR},
    {"type OPT", BYTES("\1\2\1\0" ONE NAME "\0\51\0\1"), DNS_FORMERR},

    {"EDNS announced, not there", BYTES("\1\2\1\0" ONE_OPT NAME A_IN), DNS_FORMERR},
    {"EDNS cut", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0\0"), DNS_FORMERR},
    {"EDNS of a name", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\1x\0\51\4\320\0\0\0\0\0\0"),
     DNS_FORMERR},
    {"another extra record", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\1\0\1\0\0\0\0\0\4abcd"),
     DNS_FORMERR},
    {"a signature", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\372\0\377\0\0\0\0\0\0"), DNS_FORMERR},
    {"EDNS longer than said", BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\4\320") "x"), DNS_FORMERR},
    {"EDNS shorter than said",
     BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0\0\5\0\12\0\2a"), DNS_FORMERR},
    {"option longer than EDNS",
     BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0\0\6\0\12\0\3ab"), DNS_FORMERR},
    {"option cut", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0\0\3\0\12\0"),
     DNS_FORMERR},
    {"EDNS version 1", BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\1\0\0\0\0"),
     DNS_BADVERS},

    {"zone transfer", BYTES("\1\2\1\0" ONE NAME "\0\374\0\1"), DNS_REFUSED},
    {"zone's changes", BYTES("\1\2\1\0" ONE NAME "\0\373\0\1"), DNS_REFUSED},
    {"TKEY", BYTES("\1\2\1\0" ONE NAME "\0\371\0\1"), DNS_REFUSED},
    {"class CHAOS", BYTES("\1\2\1\0" ONE NAME "\0\20\0\3"), DNS_REFUSED},
    {"any class", BYTES("\1\2\1\0" ONE NAME "\0\1\0\377"), DNS_REFUSED},
};

static void test_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct dns_query q;
        int r = dns_query_read(queries[i].p, queries[i].n, &q);
        if (r != queries[i].want)
            fail_msg("%s: %d", queries[i].what, r);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    static const uint8_t head[] = "\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\0\0";
    static uint8_t p[DNS_UDP_MAX_BYTES + 1];
    struct dns_query q;
    for (size_t n = DNS_UDP_MAX_BYTES; n <= sizeof(p); n++) {
        memset(p, 0, sizeof(p));
        memcpy(p, head, sizeof(head) - 1);
        size_t at = sizeof(head) - 1, rest = n - at - 2, padding = rest - 4;
        p[at] = (uint8_t)(rest >> 8);
        p[at + 1] = (uint8_t)rest;
        p[at + 3] = 12; /* option: padding */
        p[at + 4] = (uint8_t)(padding >> 8);
        p[at + 5] = (uint8_t)padding;
        assert_int_equal(dns_query_read(p, n, &q), n == DNS_UDP_MAX_BYTES ? 0 : DNS_FORMERR);
    }
}

static void read_good(const uint8_t *p, size_t n, struct dns_query *q)
{
    assert_int_equal(dns_query_read(p, n, q), 0);
}

static void test_written_anew(void **state)
{
    (void)state;
    static const struct {
        const uint8_t *in;
        size_t in_n;
        const uint8_t *out;
        size_t out_n;
    } cases[] = {
        {BYTES("\1\2\1\0" ONE NAME A_IN), BYTES("\xab\xcd\1\0" ONE NAME A_IN)},
        {BYTES("\1\2\0\0" ONE NAME A_IN), BYTES("\xab\xcd\0\0" ONE NAME A_IN)},
        /* AD and CD stay; the unused bit, AA, RA and a response code in a query go */
        {BYTES("\1\2\5\377" ONE NAME A_IN), BYTES("\xab\xcd\1\60" ONE NAME A_IN)},
        /* our own size and no options; DO stays */
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\377\377\0\0\200\0\0\6\0\12\0\2ab"),
         BYTES("\xab\xcd\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\0\200\0\0\0")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_query q;
        uint8_t out[DNS_OWN_MAX_BYTES];
        read_good(cases[i].in, cases[i].in_n, &q);
        assert_int_equal(dns_query_write(&q, 0xabcd, out), cases[i].out_n);
        assert_memory_equal(out, cases[i].out, cases[i].out_n);
    }
}

static void test_longest(void **state)
{
    (void)state;
    struct dns_query q;
    uint8_t out[DNS_OWN_MAX_BYTES];
    read_good(BYTES("\1\2\1\0" ONE_OPT L63 L63 L63 L61 "\0" A_IN OPT("\4\320")), &q);
    assert_int_equal(q.question_n, DNS_QUESTION_MAX_BYTES);
    assert_int_equal(dns_query_write(&q, 1, out), DNS_OWN_MAX_BYTES);
}

static void test_what_the_client_takes(void **state)
{
    (void)state;
    static const struct {
        const uint8_t *p;
        size_t n;
        unsigned want;
    } cases[] = {
        {BYTES("\1\2\1\0" ONE NAME A_IN), 512},
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\0\0")), 512},
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\2\0")), 512},
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\2\1")), 513},
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\4\320")), 1232},
        {BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\377\377")), 1232},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dns_query q;
        read_good(cases[i].p, cases[i].n, &q);
        assert_int_equal(q.udp_bytes, cases[i].want);
    }
}

#define QUERY "\1\2\1\0" ONE NAME A_IN

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const uint8_t *p;
        size_t n;
        int want;
    } cases[] = {
        {"good", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME A_IN "rest"), 0},
        {"no such name", BYTES("\xab\xcd\x81\x83\0\1\0\0\0\0\0\0" NAME A_IN), 3},
        {"refused", BYTES("\xab\xcd\x81\x85\0\1\0\0\0\0\0\0" NAME A_IN), DNS_REFUSED},
        {"other spelling", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0\3WwW\4tEST\0" A_IN), 0},
        {"counts that are not there", BYTES("\xab\xcd\x81\x80\0\1\377\377\0\0\0\0" NAME A_IN), 0},

        {"nothing", BYTES(""), DROP},
        {"header alone", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0"), DROP},
        {"question cut", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME "\0\1\0"), DROP},
        {"other id", BYTES("\xab\xcc\x81\x80\0\1\0\1\0\0\0\0" NAME A_IN "rest"), DROP},
        {"the client's id", BYTES("\1\2\x81\x80\0\1\0\1\0\0\0\0" NAME A_IN "rest"), DROP},
        {"a query", BYTES("\xab\xcd\1\0\0\1\0\1\0\0\0\0" NAME A_IN "rest"), DROP},
        {"other opcode", BYTES("\xab\xcd\x89\x80\0\1\0\1\0\0\0\0" NAME A_IN "rest"), DROP},
        {"no question", BYTES("\xab\xcd\x81\x80\0\0\0\1\0\0\0\0" NAME A_IN "rest"), DROP},
        {"two questions", BYTES("\xab\xcd\x81\x80\0\2\0\1\0\0\0\0" NAME A_IN NAME A_IN), DROP},
        {"other name", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0\3wwx\4test\0" A_IN), DROP},
        {"other type", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME "\0\34\0\1"), DROP},
        {"other class", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME "\0\1\0\3"), DROP},
        {"type by letter", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME "\0\1\0\41"), DROP},
        {"compressed question", BYTES("\xab\xcd\x81\x80\0\1\0\1\0\0\0\0\3www\300\14\0\0\0" A_IN),
         DROP},
    };
    struct dns_query q;
    read_good(BYTES(QUERY), &q);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int r = dns_answer_check(cases[i].p, cases[i].n, &q, 0xabcd);
        if (r != cases[i].want)
            fail_msg("%s: %d", cases[i].what, r);
    }
    static uint8_t long_one[DNS_MESSAGE_MAX_BYTES + 1] =
        "\xab\xcd\x81\x80\0\1\0\1\0\0\0\0" NAME A_IN;
    assert_int_equal(dns_answer_check(long_one, DNS_MESSAGE_MAX_BYTES, &q, 0xabcd), 0);
    assert_int_equal(dns_answer_check(long_one, sizeof(long_one), &q, 0xabcd), DROP);
}

static void test_adopted(void **state)
{
    (void)state;
    struct dns_query q;
    uint8_t p[] = "\xab\xcd\x85\xff\0\1\0\1\0\0\0\0\3WWW\4TEST\0" A_IN "rest";
    read_good(BYTES(QUERY), &q);
    dns_answer_adopt(p, &q);
    /* the client's id, RD and spelling; AA, RA, AD and the rcode of the answer; the unused bit gone */
    assert_memory_equal(p, "\1\2\x85\xaf\0\1\0\1\0\0\0\0" NAME A_IN "rest", sizeof(p));
}

static void test_own_replies(void **state)
{
    (void)state;
    struct dns_query q;
    uint8_t out[DNS_OWN_MAX_BYTES];
    read_good(BYTES(QUERY), &q);
    size_t n = dns_reply_error(&q, DNS_SERVFAIL, out);
    assert_int_equal(n, sizeof(QUERY) - 1);
    assert_memory_equal(out, "\1\2\x81\x82" ONE NAME A_IN, n);
    /* what could not be read is answered without a question */
    assert_int_equal(dns_query_read(BYTES("\1\2\1\0" ONE "\300\14" A_IN), &q), DNS_FORMERR);
    n = dns_reply_error(&q, DNS_FORMERR, out);
    assert_int_equal(n, DNS_HEADER_BYTES);
    assert_memory_equal(out, "\1\2\x81\x81\0\0\0\0\0\0\0\0", n);
    assert_int_equal(
        dns_query_read(BYTES("\1\2\1\0" ONE_OPT NAME A_IN "\0\0\51\4\320\0\1\0\0\0\0"), &q),
        DNS_BADVERS);
    n = dns_reply_error(&q, DNS_BADVERS, out);
    assert_memory_equal(out, "\1\2\x81\x80" ONE_OPT NAME A_IN "\0\0\51\4\320\1\0\0\0\0\0", n);
}

static void test_truncated(void **state)
{
    (void)state;
    static const uint8_t answer[] = "\1\2\x85\xa3\0\1\0\77\0\0\0\0" NAME A_IN "rest";
    struct dns_query q;
    uint8_t out[DNS_OWN_MAX_BYTES];
    read_good(BYTES(QUERY), &q);
    size_t n = dns_reply_truncated(&q, answer, out);
    assert_int_equal(n, sizeof(QUERY) - 1);
    assert_memory_equal(out, "\1\2\x87\x83" ONE NAME A_IN, n);
    read_good(BYTES("\1\2\1\0" ONE_OPT NAME A_IN OPT("\4\320")), &q);
    n = dns_reply_truncated(&q, answer, out);
    assert_memory_equal(out, "\1\2\x87\x83" ONE_OPT NAME A_IN OPT("\4\320"), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_written_anew),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_what_the_client_takes),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_adopted),
        cmocka_unit_test(test_own_replies),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests_name("dns/message", tests, NULL, NULL);
}
