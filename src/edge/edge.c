/*
 * The edge: decides in the order that edge clients know, then hands over to a flow.
 *
 * Order: target (400), reserved envd path (404, before any lookup, so that it tells nothing about
 * which sandboxes exist), lookup (502), traffic token (403), concurrent requests (429), forward.
 * Preflights that stop at one of these are answered 204 by the edge, so one for a port with a token
 * neither needs the token nor reaches the guest.
 */
#include "base/cleanup.h"
#include "base/codec.h"
#include "base/ids.h"
#include "edge/answer.h"
#include "edge/flow.h"

#include <string.h>

enum { EDGE_DEFAULT_MAX_PER_SANDBOX = 1024 };

int edge_new(const struct edge_opts *opts, struct edge **ret, struct err *err)
{
    struct edge *edge = xnew(struct edge);
    edge->manager = opts->manager;
    edge->max_per_sandbox =
        opts->max_per_sandbox > 0 ? opts->max_per_sandbox : EDGE_DEFAULT_MAX_PER_SANDBOX;
    for (size_t i = 0; i < EDGE_LANE_BUCKETS; i++)
        list_init(&edge->lanes[i]);
    edge->domain = strdup(opts->domain != NULL ? opts->domain : "");
    if (edge->domain == NULL) {
        free(edge);
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    }
    *ret = edge;
    return 0;
}

void edge_free(struct edge *edge)
{
    if (edge == NULL)
        return;
    free(edge->domain);
    free(edge);
}

bool edge_wants(const struct edge *edge, const struct http_head *head)
{
    return edge_target_wanted(head, edge->domain);
}

/* Traffic tokens guard every port but envd's, which has a token of its own. */
static bool check_token(struct http_exchange *x, const struct edge_target *target,
                        const struct sandbox_info *info)
{
    if (info->traffic_token == NULL || target->port == ENVD_PORT)
        return true;
    struct slice given = http_head_get(http_x_head(x), "E2b-Traffic-Access-Token");
    if (given.n > 0 && slice_equal_ct(given, slice_str(info->traffic_token)))
        return true;
    edge_answer(x, given.n > 0 ? EDGE_TOKEN_WRONG : EDGE_TOKEN_MISSING, target, 0);
    return false;
}

void edge_handle(struct http_exchange *x, struct edge *edge)
{
    struct edge_target target;
    struct sandbox_info info;
    enum edge_target_error e = edge_target_parse(http_x_head(x), edge->domain, &target);
    if (e != EDGE_TARGET_OK) {
        edge_answer_target_error(x, e);
        return;
    }
    if (target.port == ENVD_PORT && edge_path_reserved(target.path)) {
        edge_answer(x, EDGE_RESERVED, &target, 0);
        return;
    }
    if (sandbox_get(edge->manager, NULL, target.id, &info, NULL) < 0) {
        edge_answer(x, EDGE_NOT_FOUND, &target, 0);
        return;
    }
    if (!check_token(x, &target, &info))
        return;
    if (target.port == 0 || target.port > 65535) {
        edge_answer(x, EDGE_PORT_CLOSED, &target, 0);
        return;
    }
    struct edge_lane *lane = edge_lane_enter(edge, info.lifecycle);
    if (lane == NULL) {
        edge_answer(x, EDGE_TOO_MANY, &target, edge->max_per_sandbox);
        return;
    }
    edge_flow_start(edge, x, &target, &info, lane);
}
