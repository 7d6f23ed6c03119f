/*
 * The firewall inside a sandbox's own namespace, as text for libnftables.
 *
 * A packet out of a sandbox meets two lines. This is the first: what may be reached at all. The
 * namespace belongs to the host's user namespace, so nobody inside can change it. The second is the
 * host's (policy_host.c); each holds alone. Made from numbers and from our own constants only.
 *
 * Addresses: inside, every sandbox is SANDBOX_INNER_ADDR and talks to SANDBOX_GATEWAY; its own
 * namespace translates to the slot's unique address on the way out and back on the way in. Port 53
 * of the gateway is translated to the host's end of the link, where silica-dns listens; the
 * connection is recognised by its original destination.
 *
 * A packet of a connection that the kernel has confirmed (its first packet passed) goes on without
 * another look; so limits count connections and not packets, also those that nobody answers.
 *
 * Rates are held at the device (netdev family), in front of connection tracking on the way in and
 * after everything else on the way out: what is over is lost like in a network that is too narrow, and
 * TCP slows down. Policing, not shaping: measured against HTB at both ends of the link it held 10 and
 * 100 Mbit/s as exactly, and needs no queue of kernel memory and no further request.
 */
#include "net/nft.h"

#include "base/ids.h"
#include "net/policy.h"
#include "net/slot.h"

#include <inttypes.h>

/* A bucket holds one second (nftables' way) and this much more: a few bundled packets. */
enum { RATE_BURST_BYTES = 262144 };

void nft_put_dns(struct buf *out, const struct net_slot *slot)
{
    char gateway[ADDR_TEXT_BYTES], host[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_GATEWAY, gateway);
    net_addr_text(slot->host_addr, host);
    unsigned port = DNS_PORT_BASE + slot->instance;
    (void)buf_printf(out,
                     "  ip daddr %s udp dport 53 dnat ip to %s:%u\n"
                     "  ip daddr %s tcp dport 53 dnat ip to %s:%u\n",
                     gateway, host, port, gateway, host, port);
}

static void put_nat(struct buf *out, const struct net_slot *slot, bool dns)
{
    char inner[ADDR_TEXT_BYTES], outer[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_INNER_ADDR, inner);
    net_addr_text(slot->outer_addr, outer);
    if (dns) {
        (void)buf_put_str(out, " chain nat_out {\n  type nat hook output priority -100;\n");
        nft_put_dns(out, slot);
        (void)buf_put_str(out, " }\n");
    }
    (void)buf_printf(out,
                     " chain nat_in {\n  type nat hook prerouting priority -100;\n"
                     "  iifname \"eth0\" ip daddr %s dnat ip to %s\n }\n"
                     " chain nat_post {\n  type nat hook postrouting priority 100;\n"
                     "  oifname \"eth0\" ip saddr %s snat ip to %s\n }\n",
                     outer, inner, inner, outer);
}

/*
 * Connections of a sandbox with itself are not tracked: nothing here needs it, the kernel's table
 * of them is memory that no control group counts, and `ct count` is for what leaves.
 */
static void put_raw(struct buf *out)
{
    (void)buf_put_str(out, " chain raw_out {\n  type filter hook output priority -300;\n"
                           "  oifname \"lo\" notrack\n }\n"
                           " chain raw_in {\n  type filter hook prerouting priority -300;\n"
                           "  iifname \"lo\" notrack\n }\n");
}

/* Whoever gets here comes by the link: the host's end alone may begin something. */
void nft_put_inward_rules(struct buf *out, const struct net_slot *slot)
{
    char host[ADDR_TEXT_BYTES];
    net_addr_text(slot->host_addr, host);
    (void)buf_printf(out,
                     "  ct state established,related accept\n"
                     "  ct state invalid drop\n"
                     "  ip saddr != %s drop\n"
                     "  ct count over %d drop\n"
                     "  meta l4proto { tcp, udp } accept\n",
                     host, (int)HOST_LIVE_MAX);
}

static void put_input(struct buf *out, const struct net_slot *slot)
{
    (void)buf_put_str(out, " chain input {\n"
                           "  type filter hook input priority 0; policy drop;\n"
                           "  iifname \"lo\" accept\n"
                           "  meta nfproto != ipv4 drop\n"
                           "  iifname != \"eth0\" drop\n");
    nft_put_inward_rules(out, slot);
    (void)buf_put_str(out, " }\n chain forward {\n"
                           "  type filter hook forward priority 0; policy drop;\n }\n");
}

/* The first packet of a connection that the rules permit. */
void nft_put_fresh(struct buf *out)
{
    (void)buf_printf(out,
                     " chain fresh {\n"
                     "  limit rate over %d/second burst %d packets drop\n"
                     "  ct count over %d reject with icmp type admin-prohibited\n  accept\n }\n",
                     (int)NEW_PER_S, (int)NEW_BURST, (int)LIVE_MAX);
}

/* What leaves by the link: DNS, and what is no denied range; with internet off replies alone. */
void nft_put_outward_rules(struct buf *out, bool internet)
{
    char gateway[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_GATEWAY, gateway);
    (void)buf_put_str(out, "  ct state invalid drop\n"
                           "  ct state established,related accept\n"
                           "  ct status confirmed accept\n");
    if (internet)
        (void)buf_printf(
            out,
            "  ct original ip daddr %s meta l4proto { tcp, udp } ct original proto-dst 53 goto "
            "fresh\n"
            "  ip daddr " DENIED_RANGES " reject with icmp type admin-prohibited\n"
            "  goto fresh\n",
            gateway);
    else
        (void)buf_put_str(out, "  reject with icmp type admin-prohibited\n");
}

static void put_output(struct buf *out, bool internet)
{
    (void)buf_put_str(out, " chain output {\n"
                           "  type filter hook output priority 0; policy drop;\n"
                           "  oifname \"lo\" accept\n"
                           "  meta nfproto != ipv4 drop\n");
    nft_put_outward_rules(out, internet);
    (void)buf_put_str(out, " }\n");
}

static void put_rate(struct buf *out, const char *hook, const char *host_match, uint64_t rate)
{
    (void)buf_printf(out,
                     " chain %s {\n  type filter hook %s device \"eth0\" priority 0;\n"
                     "  %s accept\n"
                     "  limit rate over %d/second burst %d packets drop\n",
                     hook, hook, host_match, (int)PACKETS_PER_S, (int)PACKETS_BURST);
    if (rate != 0)
        (void)buf_printf(out, "  limit rate over %" PRIu64 " bytes/second burst %d bytes drop\n",
                         rate, (int)RATE_BURST_BYTES);
    (void)buf_put_str(out, " }\n");
}

/* The host's own packets (the edge, DNS) are not counted: they must get through a sandbox's flood. */
void nft_put_rates(struct buf *out, const struct net_slot *slot, uint64_t rate)
{
    char host[ADDR_TEXT_BYTES], match[ADDR_TEXT_BYTES + 16];
    net_addr_text(slot->host_addr, host);
    (void)buf_put_str(out, "table netdev silica {\n");
    (void)snprintf(match, sizeof(match), "ip saddr %s", host);
    put_rate(out, "ingress", match, rate);
    (void)snprintf(match, sizeof(match), "ip daddr %s", host);
    put_rate(out, "egress", match, rate);
    (void)buf_put_str(out, "}\n");
}

int nft_sandbox_policy(struct buf *out, const struct net_slot *slot,
                       const struct net_policy *policy)
{
    nft_put_rates(out, slot, policy->rate);
    (void)buf_put_str(out, "table inet silica {\n");
    put_raw(out);
    put_nat(out, slot, policy->internet);
    put_input(out, slot);
    if (policy->internet)
        nft_put_fresh(out);
    put_output(out, policy->internet);
    return buf_put_str(out, "}\n");
}
