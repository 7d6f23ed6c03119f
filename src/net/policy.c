/*
 * The firewall of a sandbox and of the host, as text for libnftables.
 *
 * A packet out of a sandbox meets two lines. Inside its own namespace (which belongs to the
 * host's user namespace, so nobody inside can change it): what may be reached at all. On the host:
 * that it comes from the address of its slot (strict rp_filter), goes to no other sandbox, to no
 * socket of the host and to no denied range (not by way of a port that the host forwards to a
 * container of its own either). Both are made from numbers and from our own constants only.
 *
 * Addresses: inside, every sandbox is SANDBOX_INNER_ADDR and talks to SANDBOX_GATEWAY; its own
 * namespace translates to the slot's unique address on the way out and back on the way in.
 *
 * DNS: port 53 of the gateway is translated to the host's nameserver, which may lie in a denied
 * range; the connection is recognised by its original destination. A direct connection to that
 * server is denied like any other.
 */
#include "net/nft.h"

#include "base/ids.h"
#include "net/slot.h"

/* At most that many connections are tracked for one sandbox (design.md). */
enum { CONNECTIONS_MAX = 4096 };

/*
 * Never reachable: "this" network and loopback, private, shared, link-local (metadata services),
 * benchmarking (the sandboxes themselves), multicast, reserved and broadcast.
 */
#define DENIED_RANGES                                                                              \
    "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "         \
    "192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }"

static void put_dns(struct buf *out, const char *gateway, uint32_t nameserver)
{
    char ns[ADDR_TEXT_BYTES];
    if (nameserver == 0)
        return;
    net_addr_text(nameserver, ns);
    (void)buf_printf(out,
                     "  ip daddr %s udp dport 53 dnat ip to %s:53\n"
                     "  ip daddr %s tcp dport 53 dnat ip to %s:53\n",
                     gateway, ns, gateway, ns);
}

static void put_sandbox_nat(struct buf *out, const struct net_slot *slot, uint32_t nameserver)
{
    char inner[ADDR_TEXT_BYTES], gateway[ADDR_TEXT_BYTES], outer[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_INNER_ADDR, inner);
    net_addr_text(SANDBOX_GATEWAY, gateway);
    net_addr_text(slot->outer_addr, outer);
    (void)buf_put_str(out, " chain nat_out {\n  type nat hook output priority -100;\n");
    put_dns(out, gateway, nameserver);
    (void)buf_printf(out,
                     " }\n chain nat_in {\n  type nat hook prerouting priority -100;\n"
                     "  iifname \"eth0\" ip daddr %s dnat ip to %s\n }\n"
                     " chain nat_post {\n  type nat hook postrouting priority 100;\n"
                     "  oifname \"eth0\" ip saddr %s snat ip to %s\n }\n",
                     outer, inner, inner, outer);
}

/*
 * Connections of a sandbox with itself are not tracked: nothing here needs it, the kernel's table
 * of them is memory that no control group counts, and `ct count` is for what leaves.
 */
static void put_sandbox_raw(struct buf *out)
{
    (void)buf_put_str(out, " chain raw_out {\n  type filter hook output priority -300;\n"
                           "  oifname \"lo\" notrack\n }\n"
                           " chain raw_in {\n  type filter hook prerouting priority -300;\n"
                           "  iifname \"lo\" notrack\n }\n");
}

static void put_sandbox_output(struct buf *out, bool internet, bool dns)
{
    char gateway[ADDR_TEXT_BYTES];
    net_addr_text(SANDBOX_GATEWAY, gateway);
    (void)buf_put_str(out, " chain output {\n"
                           "  type filter hook output priority 0; policy drop;\n"
                           "  oifname \"lo\" accept\n"
                           "  meta nfproto != ipv4 drop\n"
                           "  ct state established,related accept\n"
                           "  ct state invalid drop\n");
    if (internet) {
        (void)buf_printf(out, "  ct count over %u reject with icmp type admin-prohibited\n",
                         CONNECTIONS_MAX);
        if (dns)
            (void)buf_printf(
                out, "  ct original ip daddr %s meta l4proto { tcp, udp } th dport 53 accept\n",
                gateway);
        (void)buf_put_str(out, "  ip daddr " DENIED_RANGES
                               " reject with icmp type admin-prohibited\n  accept\n }\n");
    } else {
        (void)buf_put_str(out, "  reject with icmp type admin-prohibited\n }\n");
    }
}

int nft_sandbox_policy(struct buf *out, const struct net_slot *slot, bool internet,
                       uint32_t nameserver)
{
    char host[ADDR_TEXT_BYTES];
    net_addr_text(slot->host_addr, host);
    (void)buf_put_str(out, "table inet silica {\n");
    put_sandbox_raw(out);
    put_sandbox_nat(out, slot, internet ? nameserver : 0);
    (void)buf_printf(out,
                     " chain input {\n"
                     "  type filter hook input priority 0; policy drop;\n"
                     "  iifname \"lo\" accept\n"
                     "  meta nfproto != ipv4 drop\n"
                     "  ct state established,related accept\n"
                     "  ct state invalid drop\n"
                     "  ct count over %u drop\n"
                     "  iifname \"eth0\" ip saddr %s meta l4proto { tcp, udp } accept\n }\n"
                     " chain forward {\n  type filter hook forward priority 0; policy drop;\n }\n",
                     CONNECTIONS_MAX, host);
    put_sandbox_output(out, internet, nameserver != 0);
    return buf_put_str(out, "}\n");
}

static void put_host_name(struct buf *out, unsigned instance, const char *before)
{
    (void)buf_printf(out, "%stable inet silica_%u", before, instance);
}

static void put_host_traffic(struct buf *out, unsigned instance, const char *ns, const char *range)
{
    /* A sandbox to the host itself: nothing but replies, and DNS if the nameserver is the host. */
    (void)buf_printf(out,
                     " chain input {\n  type filter hook input priority -5;\n"
                     "  iifname != \"sil%us*\" return\n"
                     "  ct state established,related accept\n",
                     instance);
    if (ns[0] != '\0')
        (void)buf_printf(
            out, "  ip daddr %s udp dport 53 accept\n  ip daddr %s tcp dport 53 accept\n", ns, ns);
    (void)buf_put_str(out, "  drop\n }\n");
    /* Through the host: out of a sandbox to the world, never between sandboxes, never into one. */
    (void)buf_printf(out,
                     " chain forward {\n  type filter hook forward priority -5;\n"
                     "  iifname \"sil*\" oifname \"sil*\" drop\n"
                     "  iifname \"sil%us*\" meta nfproto != ipv4 drop\n"
                     "  iifname \"sil%us*\" ip saddr != %s drop\n",
                     instance, instance, range);
    if (ns[0] != '\0')
        (void)buf_printf(out,
                         "  iifname \"sil%us*\" ip daddr %s meta l4proto { tcp, udp } th dport 53 "
                         "accept\n",
                         instance, ns);
    (void)buf_printf(out,
                     "  iifname \"sil%us*\" ip daddr " DENIED_RANGES " drop\n"
                     "  oifname \"sil%us*\" ct state established,related accept\n"
                     "  oifname \"sil%us*\" drop\n }\n",
                     instance, instance, instance);
}

int nft_host_policy(struct buf *out, unsigned instance, uint32_t daemon_uid, uint32_t nameserver)
{
    char ns[ADDR_TEXT_BYTES] = "", net[ADDR_TEXT_BYTES], range[ADDR_TEXT_BYTES + 4];
    unsigned prefix;
    net_addr_text(net_instance_range(instance, &prefix), net);
    (void)snprintf(range, sizeof(range), "%s/%u", net, prefix);
    if (nameserver != 0)
        net_addr_text(nameserver, ns);
    put_host_name(out, instance, ""); /* so that there is one to delete */
    put_host_name(out, instance, "\ndelete ");
    put_host_name(out, instance, "\n");
    (void)buf_put_str(out, " {\n");
    put_host_traffic(out, instance, ns, range);
    /* From the host into a sandbox: the daemon alone. Nothing leaves for a slot that is not there. */
    (void)buf_printf(out,
                     " chain output {\n  type filter hook output priority -5;\n"
                     "  ip daddr %s oifname != \"sil%us*\" drop\n"
                     "  oifname != \"sil%us*\" return\n"
                     "  ct state established,related accept\n"
                     "  meta skuid %u accept\n  drop\n }\n"
                     " chain post {\n  type nat hook postrouting priority 100;\n"
                     "  ip saddr %s oifname != \"sil*\" masquerade\n }\n}\n",
                     range, instance, instance, daemon_uid, range);
    return out->error;
}

int nft_host_remove(struct buf *out, unsigned instance)
{
    put_host_name(out, instance, "delete ");
    return buf_put_char(out, '\n');
}
