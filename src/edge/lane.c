/*
 * Counting the requests of each sandbox. A lane exists while its count is not 0, so the table is as
 * large as there are sandboxes with traffic, and a sandbox that is started anew (another lifecycle
 * number) never inherits a count.
 */
#include "base/cleanup.h"
#include "edge/flow.h"

struct edge_lane *edge_lane_enter(struct edge *edge, uint64_t lifecycle)
{
    struct list *bucket = &edge->lanes[lifecycle % EDGE_LANE_BUCKETS];
    list_for_each_safe(it, next, bucket)
    {
        struct edge_lane *lane = container_of(it, struct edge_lane, node);
        if (lane->lifecycle != lifecycle)
            continue;
        if (lane->count >= edge->max_per_sandbox)
            return NULL;
        lane->count++;
        return lane;
    }
    struct edge_lane *lane = xnew(struct edge_lane);
    lane->lifecycle = lifecycle;
    lane->count = 1;
    list_append(bucket, &lane->node);
    return lane;
}

void edge_lane_leave(struct edge_lane *lane)
{
    if (lane == NULL || --lane->count > 0)
        return;
    list_remove(&lane->node);
    free(lane);
}
