/*
 * The DNS messages that pass through (RFC 1035, 6891), as bytes: pure functions over memory.
 *
 * A client's query is read in full and strictly, and what goes to the nameserver is written anew from
 * it: header, the one question, perhaps an OPT record of ours. So nothing that was not understood is
 * passed on. An answer is only held against its query; its records are passed on unread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DNS_HEADER_BYTES = 12,
    DNS_NAME_MAX_BYTES = 255,
    DNS_QUESTION_MAX_BYTES = DNS_NAME_MAX_BYTES + 4, /* type and class */
    DNS_OPT_BYTES = 11,                              /* an OPT record without options */
    DNS_OWN_MAX_BYTES = DNS_HEADER_BYTES + DNS_QUESTION_MAX_BYTES + DNS_OPT_BYTES,
    DNS_PLAIN_UDP_BYTES = 512, /* what a client without EDNS takes (RFC 1035, 4.2.1) */
    DNS_UDP_MAX_BYTES = 1232,  /* fits every path's packets: no fragments; also the longest query */
    DNS_MESSAGE_MAX_BYTES = 65535,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16, /* needs EDNS to be told */
};

struct dns_query {
    uint16_t id;
    bool rd, ad, cd;
    bool edns, dnssec_ok;
    uint16_t udp_bytes;  /* what the client takes in a datagram: 512 to DNS_UDP_MAX_BYTES */
    uint16_t question_n; /* 0: it could not be read (only when the query is refused) */
    uint8_t question[DNS_QUESTION_MAX_BYTES]; /* name, type, class as on the wire */
};

/*
 * Read a client's query. Returns 0 when it is to be forwarded; an rcode above 0 when it is to be
 * answered with that (*ret has what dns_reply_error() needs); -EBADMSG when it must not be answered:
 * shorter than a header, or itself an answer.
 */
int dns_query_read(const uint8_t *p, size_t n, struct dns_query *ret);

/* The query for a nameserver. dst has DNS_OWN_MAX_BYTES; returns its length. */
size_t dns_query_write(const struct dns_query *q, uint16_t id, uint8_t *dst);

/*
 * Does p[n] answer what dns_query_write() wrote? The id, the question (letters without case) and the
 * kind of message must be the same. Returns the rcode (without EDNS' upper bits), or -EBADMSG.
 */
int dns_answer_check(const uint8_t *p, size_t n, const struct dns_query *q, uint16_t id);

/* Make an answer that dns_answer_check() accepted the client's: its id, its spelling, clean flags. */
void dns_answer_adopt(uint8_t *p, const struct dns_query *q);

/* Answers of our own, with the question and, for EDNS, an OPT record. dst has DNS_OWN_MAX_BYTES. */
size_t dns_reply_error(const struct dns_query *q, enum dns_rcode rcode, uint8_t *dst);
/* In place of an adopted answer that is too long for the client: "ask by TCP". */
size_t dns_reply_truncated(const struct dns_query *q, const uint8_t *answer, uint8_t *dst);
