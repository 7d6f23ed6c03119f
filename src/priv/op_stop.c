/*
 * PRIV_STOP: end a sandbox; the reply comes once nothing of it is left. Permitted in every state; of
 * a sandbox that is not there the end has come already.
 */
#include "priv/helper.h"

#include <errno.h>

bool op_stop(struct client *c, const void *packet)
{
    const struct priv_stop *q = packet;
    struct err err;
    struct sandbox *s = sandbox_find(c->helper, q->id);
    if (s == NULL) {
        server_reply(c, q->head.seq, NULL, NULL);
        return true;
    }
    if (s->n_waiters == STOP_WAITERS_MAX) {
        (void)err_set(&err, -EBUSY, ERR_UNAVAILABLE, "sandbox %s is being stopped already", s->id);
        server_reply(c, q->head.seq, &err, NULL);
        return true;
    }
    s->waiters[s->n_waiters++] = (struct stop_waiter){.client = c->number, .seq = q->head.seq};
    sandbox_kill(s);
    return true;
}
