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
 * from numbers only. On failure nothing was changed and err holds the first line of the reason.
 */
int nft_run(const struct buf *text, struct err *err);

/* The text of the policy inside a sandbox's namespace. nameserver 0: no DNS. */
int nft_sandbox_policy(struct buf *out, const struct net_slot *slot, bool internet,
                       uint32_t nameserver);

/* The text of the host's table of an instance, replacing one that is there. */
int nft_host_policy(struct buf *out, unsigned instance, uint32_t daemon_uid, uint32_t nameserver);

/* The text that removes it again (fails when there is none). */
int nft_host_remove(struct buf *out, unsigned instance);
