/*
 * The host's table of an instance, as text for libnftables: the second line, behind the policy in
 * each sandbox's namespace (policy_inside.c), and the first for what the host's own users may do.
 *
 *   raw       what comes out of a sandbox's link is IPv4 from the instance's range, from the address
 *             that is routed back through that link, and to no address of the host but its end of the
 *             link. In front of connection tracking and of every address translation: a port that the
 *             host forwards to a container of its own (Docker's way) is not reached either.
 *   input     to the host's end: DNS and replies. Nobody else uses the DNS port, not even on loopback.
 *   forward   out to the world; to no denied range, no other sandbox, to nothing that was translated on
 *             the way; inwards replies alone.
 *   output    the daemon's uid may connect into sandboxes, silica-dns may answer them; nothing leaves
 *             for a slot that is not there.
 *
 * Its chains stand before those of others (priority -5 and earlier) and accept nothing for them: what
 * another firewall drops later stays dropped (see beside.c).
 */
#include "net/nft.h"

#include "base/ids.h"
#include "net/policy.h"
#include "net/slot.h"

/* "198.18.0.0/19" and a zero byte. */
enum { RANGE_TEXT_BYTES = ADDR_TEXT_BYTES + 4 };

static void put_name(struct buf *out, unsigned instance, const char *before)
{
    (void)buf_printf(out, "%stable inet silica_%u", before, instance);
}

static void put_raw(struct buf *out, unsigned instance, const char *range)
{
    (void)buf_printf(out,
                     " chain raw {\n  type filter hook prerouting priority -310;\n"
                     "  iifname != \"sil%us*\" return\n"
                     "  meta nfproto != ipv4 drop\n"
                     "  ip saddr != %s drop\n"
                     "  fib saddr . iif oif missing drop\n"
                     "  ip daddr %s accept\n"
                     "  fib daddr type != unicast drop\n }\n",
                     instance, range, range);
}

/* What has ended is forgotten soon, on the host too: policy.h counts on it. */
static void put_closing(struct buf *out, unsigned instance)
{
    (void)buf_printf(out,
                     " ct timeout closing {\n  protocol tcp;\n  l3proto ip;\n"
                     "  policy = { time_wait : %d, close : %d }\n }\n"
                     " chain closing_in {\n  type filter hook prerouting priority -150;\n"
                     "  iifname \"sil%us*\" ct timeout set \"closing\"\n }\n"
                     " chain closing_out {\n  type filter hook output priority -150;\n"
                     "  oifname \"sil%us*\" ct timeout set \"closing\"\n }\n",
                     (int)CLOSING_S, (int)CLOSING_S, instance, instance);
}

static void put_input(struct buf *out, unsigned instance, const char *range)
{
    unsigned port = DNS_PORT_BASE + instance;
    (void)buf_printf(out,
                     " chain sandbox {\n"
                     "  ct state established,related accept\n"
                     "  ct state invalid drop\n"
                     "  ip daddr %s meta l4proto { tcp, udp } th dport %u accept\n"
                     "  drop\n }\n"
                     " chain input {\n  type filter hook input priority -5;\n"
                     "  iifname \"sil%us*\" goto sandbox\n"
                     "  ct state established,related accept\n"
                     "  meta l4proto { tcp, udp } th dport %u drop\n }\n",
                     range, port, instance, port);
}

/* Through the host: out of a sandbox to the world, never between sandboxes, never into one. */
static void put_forward(struct buf *out, unsigned instance)
{
    (void)buf_printf(out,
                     " chain forward {\n  type filter hook forward priority -5;\n"
                     "  iifname \"sil*\" oifname \"sil*\" drop\n"
                     "  iifname \"sil%us*\" goto outwards\n"
                     "  oifname \"sil%us*\" ct state established,related accept\n"
                     "  oifname \"sil%us*\" drop\n }\n",
                     instance, instance, instance);
}

static void put_outwards(struct buf *out, const char *range)
{
    (void)buf_printf(out,
                     " chain outwards {\n"
                     "  meta nfproto != ipv4 drop\n"
                     "  ip saddr != %s drop\n"
                     "  ip daddr " DENIED_RANGES " drop\n"
                     "  ct status dnat drop\n }\n",
                     range);
}

static void put_output(struct buf *out, const struct host_policy *p, const char *range)
{
    (void)buf_printf(out,
                     " chain output {\n  type filter hook output priority -5;\n"
                     "  ip daddr %s oifname != \"sil%us*\" drop\n"
                     "  oifname != \"sil%us*\" return\n"
                     "  meta l4proto { tcp, udp } th sport %u meta skuid != { 0, %u } drop\n"
                     "  ct state established,related accept\n"
                     "  meta skuid %u accept\n  drop\n }\n",
                     range, p->instance, p->instance, DNS_PORT_BASE + p->instance, p->dns_uid,
                     p->daemon_uid);
}

/*
 * Forwarding was off before we switched it on: nobody else's packets pass, until another firewall
 * takes part (host.c).
 */
static void put_others(struct buf *out)
{
    (void)buf_put_str(out, " chain others {\n  type filter hook forward priority -4;\n"
                           "  iifname \"sil*\" return\n  oifname \"sil*\" return\n  drop\n }\n");
}

int nft_host_policy(struct buf *out, const struct host_policy *p)
{
    char net[ADDR_TEXT_BYTES], range[RANGE_TEXT_BYTES];
    unsigned prefix;
    net_addr_text(net_instance_range(p->instance, &prefix), net);
    (void)snprintf(range, sizeof(range), "%s/%u", net, prefix);
    put_name(out, p->instance, ""); /* so that there is one to delete */
    put_name(out, p->instance, "\ndelete ");
    put_name(out, p->instance, "\n");
    (void)buf_put_str(out, " {\n");
    put_raw(out, p->instance, range);
    put_closing(out, p->instance);
    put_input(out, p->instance, range);
    put_outwards(out, range);
    put_forward(out, p->instance);
    put_output(out, p, range);
    if (p->forward_alone)
        put_others(out);
    return buf_printf(out,
                      " chain post {\n  type nat hook postrouting priority 100;\n"
                      "  ip saddr %s oifname != \"sil*\" masquerade\n }\n}\n",
                      range);
}

int nft_host_others_remove(struct buf *out, unsigned instance)
{
    return buf_printf(out,
                      "flush chain inet silica_%u others\ndelete chain inet silica_%u others\n",
                      instance, instance);
}

int nft_host_remove(struct buf *out, unsigned instance)
{
    put_name(out, instance, "delete ");
    return buf_put_char(out, '\n');
}
