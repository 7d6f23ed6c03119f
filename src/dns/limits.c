#include "dns/limits.h"

#include "base/clock.h"

#include <assert.h>

enum { THOUSANDTHS = 1000, FREE_PARTS = 4 };

static const struct {
    unsigned all, one;
} most[] = {
    [DNS_SHARE_INFLIGHT] = {DNS_INFLIGHT_MAX, DNS_INFLIGHT_PER_SANDBOX},
    [DNS_SHARE_TCP] = {DNS_TCP_MAX, DNS_TCP_PER_SANDBOX},
};

bool dns_limits_query(struct dns_limits *l, unsigned slot, uint64_t now_ns)
{
    struct dns_account *a = &l->of[slot];
    const uint64_t full = (uint64_t)DNS_RATE_BURST * THOUSANDTHS;
    uint64_t passed_ms = (now_ns - a->filled_ns) / NS_PER_MS;
    /* thousandths a millisecond are whole ones a second */
    uint64_t more = passed_ms < full ? passed_ms * DNS_RATE_PER_SECOND : full;
    if (a->filled_ns == 0)
        more = full;
    if (more > 0) {
        a->filled_ns = a->filled_ns == 0 ? now_ns : a->filled_ns + passed_ms * NS_PER_MS;
        a->tokens = (uint32_t)(a->tokens + more < full ? a->tokens + more : full);
    }
    if (a->tokens < THOUSANDTHS)
        return false;
    a->tokens -= THOUSANDTHS;
    return true;
}

bool dns_limits_take(struct dns_limits *l, enum dns_share what, unsigned slot)
{
    unsigned left = most[what].all - l->held[what];
    unsigned share = left / FREE_PARTS + (left > 0);
    if (share > most[what].one)
        share = most[what].one;
    if (l->of[slot].held[what] >= share)
        return false;
    l->of[slot].held[what]++;
    l->held[what]++;
    return true;
}

void dns_limits_give(struct dns_limits *l, enum dns_share what, unsigned slot)
{
    assert(l->of[slot].held[what] > 0 && l->held[what] > 0);
    l->of[slot].held[what]--;
    l->held[what]--;
}
