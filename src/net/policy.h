/* What both halves of the policy (policy_inside.c, policy_host.c) must agree on. */
#pragma once

/*
 * Never reachable: "this" network and loopback, private, shared, link-local (metadata services),
 * benchmarking (the sandboxes themselves), multicast, reserved and broadcast.
 */
#define DENIED_RANGES                                                                              \
    "{ 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "         \
    "192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3 }"

/*
 * What the kernel tracks for one sandbox, in its namespace and again on the host, is at most
 *   LIVE_MAX                                       connections of its own that live
 *   + NEW_BURST + NEW_PER_S * CLOSING_S            that ended, while the kernel still remembers them
 *   + HOST_LIVE_MAX                                of the host (the edge), which have a share of
 *                                                  their own: they are not refused when it used up its
 * = 4096 (design.md). `ct count` does not count what has ended, hence the second line.
 */
enum {
    LIVE_MAX = 2048,
    NEW_PER_S = 100,
    NEW_BURST = 524,
    CLOSING_S = 5,
    HOST_LIVE_MAX = 1024,
};

/*
 * Packets a second each way between a sandbox and outside. One packet may be a bundle of up to 64 KiB
 * (segmentation offload), so this is no limit for transfers, but one for floods of tiny packets: each
 * costs the host about two microseconds.
 */
enum { PACKETS_PER_S = 40000, PACKETS_BURST = 10000 };
