/*
 * Fuzzes both directions of silica-dns. The first byte of the input says how long its first part is (in
 * steps of four bytes): a client's query; the rest is what a nameserver answers to it. An answer that
 * is not one is tried again with the header and the question that it should have.
 */
// deps: dns base
#include "dns/message.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID = 0xabcd, UNIT = 4 };

/* What we write ourselves is what we would read: a query of one question and nothing else. */
static void check_written(const struct dns_query *q)
{
    struct dns_query back;
    uint8_t out[DNS_OWN_MAX_BYTES];
    size_t n = dns_query_write(q, ID, out);
    assert(n <= sizeof(out));
    assert(dns_query_read(out, n, &back) == 0);
    assert(back.id == ID && back.rd == q->rd && back.ad == q->ad && back.cd == q->cd);
    assert(back.edns == q->edns && back.dnssec_ok == q->dnssec_ok);
    assert(back.question_n == q->question_n);
    assert(memcmp(back.question, q->question, q->question_n) == 0);
    assert(dns_answer_check(out, n, q, ID) == -EBADMSG); /* a query is no answer */
}

/* Replies of our own bear the client's id and are answers to its question. */
static void check_reply(const struct dns_query *q, const uint8_t *p, size_t n)
{
    assert(n >= DNS_HEADER_BYTES && n <= DNS_OWN_MAX_BYTES && n <= DNS_PLAIN_UDP_BYTES);
    assert((p[2] & 0x80) != 0 && (p[0] << 8 | p[1]) == q->id);
    if (q->question_n > 0)
        assert(dns_answer_check(p, n, q, q->id) >= 0);
}

static void check_answer(const struct dns_query *q, uint8_t *p, size_t n)
{
    uint8_t own[DNS_OWN_MAX_BYTES];
    int r = dns_answer_check(p, n, q, ID);
    assert(r == -EBADMSG || (r >= 0 && r <= 15));
    if (r < 0)
        return;
    dns_answer_adopt(p, q);
    assert(dns_answer_check(p, n, q, q->id) == r);
    assert(memcmp(p + DNS_HEADER_BYTES, q->question, q->question_n) == 0);
    check_reply(q, own, dns_reply_truncated(q, p, own));
}

static void check_both(const uint8_t *query, size_t query_n, uint8_t *answer, size_t answer_n)
{
    struct dns_query q;
    uint8_t own[DNS_OWN_MAX_BYTES];
    int r = dns_query_read(query, query_n, &q);
    if (r < 0) {
        assert(r == -EBADMSG);
        return;
    }
    assert(q.question_n <= DNS_QUESTION_MAX_BYTES);
    assert(q.udp_bytes >= DNS_PLAIN_UDP_BYTES && q.udp_bytes <= DNS_UDP_MAX_BYTES);
    check_reply(&q, own, dns_reply_error(&q, r > 0 ? (enum dns_rcode)r : DNS_SERVFAIL, own));
    if (r > 0)
        return;
    assert(q.question_n >= 5);
    check_written(&q);
    check_answer(&q, answer, answer_n);
    if (answer_n < (size_t)DNS_HEADER_BYTES + q.question_n)
        return;
    answer[0] = ID >> 8;
    answer[1] = ID & 0xff;
    answer[2] = (uint8_t)((answer[2] & 0x87) | 0x80);
    answer[4] = 0;
    answer[5] = 1;
    memcpy(answer + DNS_HEADER_BYTES, q.question, q.question_n);
    assert(dns_answer_check(answer, answer_n, &q, ID) == (answer[3] & 15));
    check_answer(&q, answer, answer_n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t n = (size_t)data[0] * UNIT;
    if (n > size - 1)
        n = size - 1;
    size_t rest = size - 1 - n;
    /* copies of their exact size: a read past the end is seen */
    _cleanup_free_ uint8_t *query = malloc(n > 0 ? n : 1);
    _cleanup_free_ uint8_t *answer = malloc(rest > 0 ? rest : 1);
    if (query == NULL || answer == NULL)
        return 0;
    memcpy(query, data + 1, n);
    memcpy(answer, data + 1 + n, rest);
    check_both(query, n, answer, rest);
    return 0;
}
