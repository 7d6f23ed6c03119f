/* Firewall rules: one text transaction at a time through libnftables, all or nothing. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct net_slot;

enum { NFT_TEXT_MAX_BYTES = 8192 };

/*
 * Run the commands in `text` in the caller's network namespace. The text is made by our own code
 * from numbers only (and, beside other firewalls, from names that were checked). On failure nothing
 * was changed and err holds the first line of the reason.
 */
int nft_run(const struct buf *text, struct err *err);

/* What one sandbox may do on the network. */
struct net_policy {
    bool internet; /* false: nothing but to answer the host */
    bool machine;  /* its packets come from a virtual machine's tap device, and are forwarded */
    uint64_t rate; /* bytes a second each way, not counting the host; 0: no limit */
};

/* Who on the host may talk to sandboxes. */
struct host_policy {
    unsigned instance;
    uint32_t daemon_uid, dns_uid;
    bool forward_alone; /* drop what others want forwarded: nobody did before we switched it on */
};

/* The text of the policy inside a sandbox's namespace (policy_inside.c, policy_machine.c). */
int nft_sandbox_policy(struct buf *out, const struct net_slot *slot,
                       const struct net_policy *policy);
int nft_machine_policy(struct buf *out, const struct net_slot *slot,
                       const struct net_policy *policy);
/* What both have: the table of rates at the link, and the rules for each direction. */
void nft_put_inward_rules(struct buf *out, const struct net_slot *slot);
void nft_put_outward_rules(struct buf *out, bool internet);
void nft_put_rates(struct buf *out, const struct net_slot *slot, uint64_t rate);
void nft_put_fresh(struct buf *out);
/* Queries to the gateway go to the host's end, where silica-dns listens. */
void nft_put_dns(struct buf *out, const struct net_slot *slot);

/* The text of the host's table of an instance, replacing one that is there (policy_host.c). */
int nft_host_policy(struct buf *out, const struct host_policy *policy);

/* The text that lets others forward again. */
int nft_host_others_remove(struct buf *out, unsigned instance);

/* The text that removes it again (fails when there is none). */
int nft_host_remove(struct buf *out, unsigned instance);
