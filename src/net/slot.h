/*
 * A network slot: what number s of instance n means in names and addresses.
 *
 * Pure arithmetic on base/ids.h; nothing here talks to the kernel.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct net_slot {
    unsigned instance, slot;
    uint32_t host_addr;     /* the host's end, in 198.18.0.0/15, host byte order */
    uint32_t outer_addr;    /* the sandbox as the host sees it */
    uint32_t uid_base;      /* first of its SANDBOX_UID_RANGE uids */
    char link[IF_NAMESIZE]; /* the host's end of the veth */
};

enum { ADDR_TEXT_BYTES = 16 };

/* instance < INSTANCE_MAX and slot < SLOTS_PER_INSTANCE, else false. */
bool net_slot_get(unsigned instance, unsigned slot, struct net_slot *ret);

/* First address and prefix length of the instance's share of 198.18.0.0/15. */
uint32_t net_instance_range(unsigned instance, unsigned *ret_prefix);

/* "198.18.0.1" of a host byte order address. Returns dst. */
const char *net_addr_text(uint32_t addr, char dst[static ADDR_TEXT_BYTES]);
