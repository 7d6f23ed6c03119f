/* One request on its way through the edge: see the theory in flow.c. */
#pragma once

#include "edge/edge.h"
#include "edge/target.h"

/* Requests of one life of a sandbox that are under way; keyed by the lifecycle number. */
struct edge_lane {
    struct list node;
    uint64_t lifecycle;
    uint32_t count;
};

enum { EDGE_LANE_BUCKETS = 256 };

struct edge {
    struct sandbox_manager *manager;
    char *domain; /* owned */
    uint32_t max_per_sandbox;
    struct list lanes[EDGE_LANE_BUCKETS];
};

/* lane.c: one more request, or NULL when the sandbox has its maximum already. */
struct edge_lane *edge_lane_enter(struct edge *edge, uint64_t lifecycle);
void edge_lane_leave(struct edge_lane *lane); /* NULL is fine */

/* Forward the exchange to the sandbox. Takes over the lane. Called from within the handler. */
void edge_flow_start(struct edge *edge, struct http_exchange *x, const struct edge_target *target,
                     const struct sandbox_info *info, struct edge_lane *lane);
