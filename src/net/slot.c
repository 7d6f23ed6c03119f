#include "net/slot.h"

#include "base/ids.h"

#include <assert.h>
#include <stdio.h>

enum { INSTANCE_PREFIX = 19 };

static_assert(SLOTS_PER_INSTANCE * SLOT_ADDRS == 1 << (32 - INSTANCE_PREFIX),
              "an instance's share is one prefix");
static_assert(INSTANCE_MAX * SLOTS_PER_INSTANCE * SLOT_ADDRS == 1 << (32 - 15),
              "all instances together are 198.18.0.0/15");

bool net_slot_get(unsigned instance, unsigned slot, struct net_slot *ret)
{
    if (instance >= INSTANCE_MAX || slot >= SLOTS_PER_INSTANCE)
        return false;
    uint32_t index = instance * SLOTS_PER_INSTANCE + slot;
    *ret = (struct net_slot){
        .instance = instance,
        .slot = slot,
        .host_addr = SLOT_NET_BASE + index * SLOT_ADDRS + SLOT_HOST_AT,
        .outer_addr = SLOT_NET_BASE + index * SLOT_ADDRS + SLOT_SANDBOX_AT,
        .uid_base = SANDBOX_UID_BASE + index * SANDBOX_UID_RANGE,
    };
    (void)snprintf(ret->link, sizeof(ret->link), "sil%us%u", instance, slot); /* at most 10 */
    return true;
}

uint32_t net_instance_range(unsigned instance, unsigned *ret_prefix)
{
    *ret_prefix = INSTANCE_PREFIX;
    return SLOT_NET_BASE + instance * SLOTS_PER_INSTANCE * SLOT_ADDRS;
}

const char *net_addr_text(uint32_t addr, char dst[static ADDR_TEXT_BYTES])
{
    (void)snprintf(dst, ADDR_TEXT_BYTES, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255,
                   addr >> 8 & 255, addr & 255);
    return dst;
}
