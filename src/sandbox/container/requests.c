/*
 * Requests to silica-priv that were not answered yet, in the order they were made. See container.c for
 * when they are sent, waited for, and given up.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/container/container_internal.h"

#include <arpa/inet.h>
#include <string.h>

enum { PATIENCE_MS = 5000 }; /* how long a request waits for the helper to be there */

struct request *request_new(struct container *c, enum request_kind kind, const char *id, void *user)
{
    struct request *q = xnew(struct request);
    q->kind = kind;
    q->user = user;
    q->since_ns = clock_monotonic_ns();
    (void)snprintf(q->id, sizeof(q->id), "%s", id);
    list_append(&c->pending, &q->node);
    return q;
}

void request_instance(const struct priv_instance *p, struct driver_instance *ret)
{
    *ret = (struct driver_instance){
        .kind = p->kind < DRIVER_KIND_MAX_ ? (enum driver_kind)p->kind : DRIVER_CONTAINER,
        .addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(p->addr)},
        .slot = p->slot,
        .pid_start = p->pid_start,
        .pid = p->pid,
    };
}

/* Takes it off the list first: the callback may start the next one. */
void request_finish(struct request *q, const struct priv_instance *inst, const struct err *err)
{
    struct driver_instance out = {0};
    list_remove(&q->node);
    if (inst != NULL)
        request_instance(inst, &out);
    if (q->kind == REQUEST_START)
        q->started(q->user, err == NULL ? &out : NULL, err);
    else if (q->kind != REQUEST_CHECK)
        q->done(q->user, err);
    explicit_bzero(&q->start, sizeof(q->start)); /* it holds the control secret */
    free(q);
}

int request_send(struct container *c, struct request *q, struct err *err)
{
    struct priv_stop stop = {0};
    struct priv_list list = {0};
    struct priv_snapshot snapshot = {0};
    if (q->kind == REQUEST_START && !q->undo)
        return priv_client_send(&c->client, PRIV_START, &q->start, sizeof(q->start), &q->seq, err);
    if (q->kind == REQUEST_LIST || q->kind == REQUEST_CHECK)
        return priv_client_send(&c->client, PRIV_LIST, &list, sizeof(list), &q->seq, err);
    if (q->kind == REQUEST_SNAPSHOT) {
        (void)snprintf(snapshot.id, sizeof(snapshot.id), "%s", q->id);
        return priv_client_send(&c->client, PRIV_SNAPSHOT, &snapshot, sizeof(snapshot), &q->seq,
                                err);
    }
    (void)snprintf(stop.id, sizeof(stop.id), "%s", q->id);
    return priv_client_send(&c->client, PRIV_STOP, &stop, sizeof(stop), &q->seq, err);
}

struct request *request_find(struct container *c, uint32_t seq)
{
    list_for_each_safe(it, next, &c->pending)
    {
        struct request *q = container_of(it, struct request, node);
        if (q->sent && q->seq == seq)
            return q;
    }
    return NULL;
}

void requests_flush(struct container *c)
{
    if (!c->greeted)
        return;
    list_for_each_safe(it, next, &c->pending)
    {
        struct request *q = container_of(it, struct request, node);
        if (q->sent)
            continue;
        if (request_send(c, q, NULL) < 0) {
            container_connect_later(c);
            return;
        }
        q->sent = true;
    }
}

void requests_give_up(struct container *c)
{
    struct err err;
    uint64_t now = clock_monotonic_ns();
    list_for_each_safe(it, next, &c->pending)
    {
        struct request *q = container_of(it, struct request, node);
        if (q->sent || now - q->since_ns < PATIENCE_MS * NS_PER_MS)
            continue;
        (void)err_set(&err, -EPIPE, ERR_UNAVAILABLE, "silica-priv does not answer");
        request_finish(q, NULL, &err);
        return; /* the callback may have changed the list; the timer comes again */
    }
}
