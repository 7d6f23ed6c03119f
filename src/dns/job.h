/*
 * A client's query under way: asks the nameservers in their order until one answers, within one
 * deadline, and hands an answer to whoever began it in any case.
 *
 * Counts as one of the sandbox's queries in flight from start to end.
 */
#pragma once

#include "dns/attempt.h"
#include "dns/dns.h"

#include <netinet/in.h>

enum {
    DNS_JOB_MS = 9500, /* a client's own patience is two times five seconds */
    /*
     * The first turn is short, for a dead server that has a living neighbour; the later ones wait for
     * a server that is looking for the answer itself.
     */
    DNS_TURN_1_MS = 1500,
    DNS_TURN_2_MS = 3000,
    DNS_TURN_3_MS = 5000,
    DNS_TURNS = 3,
};

/* Where a datagram's answer goes: to its sender, from the address that he asked. */
struct dns_from {
    struct sockaddr_in peer;
    struct in_addr local;
};

/*
 * msg[n] is the client's answer, borrowed for the call. The job is gone afterwards, and must not be
 * cancelled from here.
 */
typedef void (*dns_job_done)(void *user, const struct dns_from *from, const struct dns_query *q,
                             const uint8_t *msg, size_t n);

struct dns_job_opts {
    const struct dns_query *query; /* copied */
    unsigned slot;
    bool tcp;
    struct dns_from from; /* passed through */
    dns_job_done done;
    void *user; /* the caller's, until `done` or the cancel */
};

struct dns_job;

/*
 * NULL when the sandbox has its share of queries in flight. `done` is called once, from the loop and
 * never from inside this call.
 */
struct dns_job *dns_job_start(struct dns *dns, const struct dns_job_opts *opts);

/* Forget it, or all of them: `done` is not called. */
void dns_job_cancel(struct dns_job *job);
void dns_jobs_cancel(struct dns *dns);
