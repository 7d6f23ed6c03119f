/* silica-dns as a whole: what its parts share. One thread, one loop. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "dns/limits.h"
#include "dns/servers.h"

#include <uv.h>

/* Since the start; told in the log when something was dropped, and at the end. */
struct dns_counts {
    uint64_t answered; /* by a nameserver */
    uint64_t failed;   /* answered by us: no nameserver did */
    uint64_t refused;  /* answered by us: not a query that is forwarded */
    uint64_t foreign;  /* dropped: not from a sandbox of this instance */
    uint64_t unread;   /* dropped: no query at all */
    uint64_t rate;     /* dropped: over the sandbox's rate */
    uint64_t share;    /* dropped: over the sandbox's share of what is under way or connected */
};

struct dns {
    uv_loop_t loop;
    unsigned instance;
    struct dns_servers servers;
    struct dns_limits limits;
    struct dns_counts counts;
    struct list jobs; /* struct dns_job */
    struct log_rate drop_log;
    bool stopping;
};

/* Time of this turn of the loop. */
static inline uint64_t dns_now_ns(const struct dns *dns)
{
    return uv_now(&dns->loop) * 1000000;
}

/* Whose packet is it? The slot, or -1 after counting it. `addr` in network byte order. */
int dns_slot_of(struct dns *dns, uint32_t addr);

/* Count one that is dropped over a limit, and log it a few times a second. */
void dns_drop(struct dns *dns, uint64_t *counter, unsigned slot, const char *why);
