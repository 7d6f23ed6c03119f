/*
 * The firewall in the namespace of a virtual machine's link, as text for libnftables: the same policy
 * as policy_inside.c, for packets that come through a tap device instead of from processes here.
 *
 *   guest --- tap0 (the gateway's address) | forward | eth0 (the slot's address) --- host
 *
 * What a guest sends has its one address; it is forwarded, translated to the slot's address, to what
 * a container could reach. Nothing is addressed to this namespace itself: the only process in it is
 * the machine's monitor, which needs no network, so its packets are dropped like everybody's.
 */
#include "net/nft.h"

#include "base/ids.h"
#include "net/slot.h"

static void put_raw(struct buf *out, const char *inner)
{
    (void)buf_printf(out,
                     " chain raw {\n  type filter hook prerouting priority -310;\n"
                     "  meta nfproto != ipv4 drop\n"
                     "  iifname \"tap0\" ip saddr != %s drop\n }\n",
                     inner);
}

static void put_nat(struct buf *out, const struct net_slot *slot, const char *inner, bool dns)
{
    char outer[ADDR_TEXT_BYTES];
    net_addr_text(slot->outer_addr, outer);
    (void)buf_printf(out,
                     " chain nat_in {\n  type nat hook prerouting priority -100;\n"
                     "  iifname \"eth0\" ip daddr %s dnat ip to %s\n"
                     "  iifname != \"tap0\" return\n",
                     outer, inner);
    if (dns)
        nft_put_dns(out, slot);
    (void)buf_printf(out,
                     " }\n"
                     " chain nat_post {\n  type nat hook postrouting priority 100;\n"
                     "  oifname \"eth0\" ip saddr %s snat ip to %s\n }\n",
                     inner, outer);
}

/* Errors that a refusal answers with are made here, and nothing else is. */
static void put_own(struct buf *out)
{
    (void)buf_put_str(out, " chain input {\n  type filter hook input priority 0; policy drop;\n }\n"
                           " chain output {\n"
                           "  type filter hook output priority 0; policy drop;\n"
                           "  oifname \"tap0\" icmp type destination-unreachable accept\n }\n");
}

static void put_forward(struct buf *out, const struct net_slot *slot, bool internet)
{
    (void)buf_put_str(out, " chain inwards {\n");
    nft_put_inward_rules(out, slot);
    (void)buf_put_str(out, "  drop\n }\n chain outwards {\n");
    nft_put_outward_rules(out, internet);
    (void)buf_put_str(out, " }\n chain forward {\n"
                           "  type filter hook forward priority 0; policy drop;\n"
                           "  iifname \"eth0\" oifname \"tap0\" goto inwards\n"
                           "  iifname \"tap0\" oifname \"eth0\" goto outwards\n }\n");
}

int nft_machine_policy(struct buf *out, const struct net_slot *slot,
                       const struct net_policy *policy)
{
    char inner[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_INNER_ADDR, inner);
    nft_put_rates(out, slot, policy->rate);
    (void)buf_put_str(out, "table inet silica {\n");
    put_raw(out, inner);
    put_nat(out, slot, inner, policy->internet);
    put_own(out);
    if (policy->internet)
        nft_put_fresh(out);
    put_forward(out, slot, policy->internet);
    return buf_put_str(out, "}\n");
}
