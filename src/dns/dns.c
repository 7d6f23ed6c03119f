#include "dns/dns.h"

#include <arpa/inet.h>
#include <inttypes.h>

enum { DROPS_LOGGED_PER_SECOND = 2 };

int dns_slot_of(struct dns *dns, uint32_t addr)
{
    int slot = id_slot_of_addr(dns->instance, ntohl(addr));
    if (slot < 0)
        dns->counts.foreign++;
    return slot;
}

void dns_drop(struct dns *dns, uint64_t *counter, unsigned slot, const char *why)
{
    ++*counter;
    if (log_allow(&dns->drop_log, DROPS_LOGGED_PER_SECOND))
        log_warning("dropped: the sandbox in slot %u %s (%" PRIu64 " so far of all)", slot, why,
                    *counter);
}
