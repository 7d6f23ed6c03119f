/*
 * Offsets move forward only: a name that jumps (compression) is refused in queries, where nobody needs
 * it, and answers are not walked. So no loop here runs longer than its input.
 */
#include "dns/message.h"

#include <errno.h>
#include <string.h>

/* The header's third and fourth byte (RFC 1035, 4.1.1; AD and CD: RFC 4035, 3.1.6). */
enum {
    H2_QR = 0x80,
    H2_OPCODE = 0x78,
    H2_AA = 0x04,
    H2_TC = 0x02,
    H2_RD = 0x01,
    H3_RA = 0x80,
    H3_AD = 0x20,
    H3_CD = 0x10,
    H3_RCODE = 0x0f,
};

enum {
    LABEL_MAX_BYTES = 63, /* above it: a compression pointer or a reserved form */
    TYPE_OPT = 41,
    TYPE_META_FIRST = 249, /* TKEY, TSIG, IXFR, AXFR and two obsolete ones: no plain questions */
    TYPE_META_LAST = 254,
    CLASS_IN = 1,
    OPT_VERSION_AT = 6, /* offsets in an OPT record */
    OPT_FLAGS_AT = 7,
    OPT_LENGTH_AT = 9,
    OPT_OPTION_HEAD = 4,
    OPT_DO = 0x80,
};

static uint16_t load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store_be16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* Length of the name at p, its root label included; 0 when it is none. */
static size_t name_bytes(const uint8_t *p, size_t n)
{
    size_t at = 0;
    while (at < n && at < DNS_NAME_MAX_BYTES) {
        if (p[at] == 0)
            return at + 1;
        if (p[at] > LABEL_MAX_BYTES)
            return 0;
        at += 1 + (size_t)p[at];
    }
    return 0;
}

/* The question behind the header; returns where it ends, or 0. */
static size_t read_question(const uint8_t *p, size_t n, struct dns_query *q)
{
    size_t name = name_bytes(p + DNS_HEADER_BYTES, n - DNS_HEADER_BYTES);
    if (name == 0 || n - DNS_HEADER_BYTES - name < 4)
        return 0;
    q->question_n = (uint16_t)(name + 4);
    memcpy(q->question, p + DNS_HEADER_BYTES, q->question_n);
    return DNS_HEADER_BYTES + q->question_n;
}

/* Do the options fill their space, each with its own length? */
static bool options_fit(const uint8_t *p, size_t n)
{
    while (n >= OPT_OPTION_HEAD) {
        size_t len = OPT_OPTION_HEAD + (size_t)load_be16(p + 2);
        if (len > n)
            return false;
        p += len;
        n -= len;
    }
    return n == 0;
}

/* The record p[n] must be one OPT and nothing else. Returns an rcode. */
static int read_opt(const uint8_t *p, size_t n, struct dns_query *q)
{
    if (n < DNS_OPT_BYTES || p[0] != 0 || load_be16(p + 1) != TYPE_OPT ||
        load_be16(p + OPT_LENGTH_AT) != n - DNS_OPT_BYTES ||
        !options_fit(p + DNS_OPT_BYTES, n - DNS_OPT_BYTES))
        return DNS_FORMERR;
    uint16_t takes = load_be16(p + 3);
    q->edns = true;
    q->dnssec_ok = (p[OPT_FLAGS_AT] & OPT_DO) != 0;
    if (takes > DNS_UDP_MAX_BYTES)
        q->udp_bytes = DNS_UDP_MAX_BYTES;
    else if (takes > DNS_PLAIN_UDP_BYTES)
        q->udp_bytes = takes;
    return p[OPT_VERSION_AT] == 0 ? DNS_NOERROR : DNS_BADVERS;
}

static int check_question(const struct dns_query *q)
{
    uint16_t type = load_be16(q->question + q->question_n - 4);
    uint16_t class = load_be16(q->question + q->question_n - 2);
    if (type == TYPE_OPT || type == 0)
        return DNS_FORMERR;
    /* A zone transfer has many answers; other classes are about the nameserver itself. */
    if ((type >= TYPE_META_FIRST && type <= TYPE_META_LAST) || class != CLASS_IN)
        return DNS_REFUSED;
    return DNS_NOERROR;
}

int dns_query_read(const uint8_t *p, size_t n, struct dns_query *ret)
{
    struct dns_query q = {.udp_bytes = DNS_PLAIN_UDP_BYTES};
    if (n < DNS_HEADER_BYTES || (p[2] & H2_QR) != 0)
        return -EBADMSG;
    q.id = load_be16(p);
    q.rd = (p[2] & H2_RD) != 0;
    q.ad = (p[3] & H3_AD) != 0;
    q.cd = (p[3] & H3_CD) != 0;
    unsigned extra = load_be16(p + 10);
    size_t end = 0;
    int r = DNS_FORMERR;
    if ((p[2] & H2_OPCODE) != 0)
        r = DNS_NOTIMP;
    else if (n <= DNS_UDP_MAX_BYTES && (p[2] & H2_TC) == 0 && load_be16(p + 4) == 1 &&
             load_be16(p + 6) == 0 && load_be16(p + 8) == 0 && extra <= 1)
        end = read_question(p, n, &q);
    if (end != 0 && extra == 1)
        r = read_opt(p + end, n - end, &q);
    else if (end != 0 && end == n)
        r = DNS_NOERROR;
    if (r == DNS_NOERROR)
        r = check_question(&q);
    *ret = q;
    return r;
}

/* OPT: the root's name, type, what we take, no extended rcode but `extended`, version 0, DO. */
static size_t put_opt(const struct dns_query *q, unsigned extended, uint8_t *p)
{
    if (!q->edns)
        return 0;
    memset(p, 0, DNS_OPT_BYTES);
    store_be16(p + 1, TYPE_OPT);
    store_be16(p + 3, DNS_UDP_MAX_BYTES);
    p[5] = (uint8_t)extended;
    p[OPT_FLAGS_AT] = q->dnssec_ok ? OPT_DO : 0;
    return DNS_OPT_BYTES;
}

/* Header, question and OPT record. */
static size_t put_message(const struct dns_query *q, uint16_t id, unsigned h2, unsigned h3,
                          unsigned extended, uint8_t *dst)
{
    size_t n = DNS_HEADER_BYTES;
    memset(dst, 0, DNS_HEADER_BYTES);
    store_be16(dst, id);
    dst[2] = (uint8_t)(h2 | (q->rd ? H2_RD : 0));
    dst[3] = (uint8_t)(h3 | (q->cd ? H3_CD : 0));
    dst[5] = q->question_n > 0;
    dst[11] = q->edns;
    memcpy(dst + n, q->question, q->question_n);
    n += q->question_n;
    return n + put_opt(q, extended, dst + n);
}

size_t dns_query_write(const struct dns_query *q, uint16_t id, uint8_t *dst)
{
    return put_message(q, id, 0, q->ad ? H3_AD : 0, 0, dst);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c;
}

/* No length byte of a name is a letter's (they are below 64), so all bytes may be compared alike. */
static bool same_question(const uint8_t *p, const struct dns_query *q)
{
    size_t name = (size_t)q->question_n - 4;
    for (size_t i = 0; i < name; i++)
        if (lower(p[i]) != lower(q->question[i]))
            return false;
    return memcmp(p + name, q->question + name, 4) == 0;
}

int dns_answer_check(const uint8_t *p, size_t n, const struct dns_query *q, uint16_t id)
{
    if (n < (size_t)DNS_HEADER_BYTES + q->question_n || n > DNS_MESSAGE_MAX_BYTES ||
        load_be16(p) != id || (p[2] & H2_QR) == 0 || (p[2] & H2_OPCODE) != 0 ||
        load_be16(p + 4) != 1 || !same_question(p + DNS_HEADER_BYTES, q))
        return -EBADMSG;
    return p[3] & H3_RCODE;
}

void dns_answer_adopt(uint8_t *p, const struct dns_query *q)
{
    store_be16(p, q->id);
    p[2] = (uint8_t)((p[2] & (H2_QR | H2_AA | H2_TC)) | (q->rd ? H2_RD : 0));
    p[3] = (uint8_t)((p[3] & (H3_RA | H3_AD | H3_RCODE)) | (q->cd ? H3_CD : 0));
    memcpy(p + DNS_HEADER_BYTES, q->question, q->question_n);
}

size_t dns_reply_error(const struct dns_query *q, enum dns_rcode rcode, uint8_t *dst)
{
    return put_message(q, q->id, H2_QR, H3_RA | ((unsigned)rcode & H3_RCODE), (unsigned)rcode >> 4,
                       dst);
}

size_t dns_reply_truncated(const struct dns_query *q, const uint8_t *answer, uint8_t *dst)
{
    return put_message(q, q->id, H2_QR | H2_TC | (answer[2] & H2_AA),
                       H3_RA | (answer[3] & H3_RCODE), 0, dst);
}
