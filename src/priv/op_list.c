/* PRIV_LIST: the sandboxes that run, one packet each, then the reply. Changes nothing. */
#include "priv/helper.h"

#include "base/cleanup.h"

bool op_list(struct client *c, const void *packet)
{
    const struct priv_list *q = packet;
    uint64_t number = c->number;
    list_for_each_safe(it, next, &c->helper->sandboxes)
    {
        const struct sandbox *s = container_of(it, struct sandbox, node);
        struct priv_item item = {.head = {.op = PRIV_ITEM, .seq = q->head.seq}};
        if (s->life != LIFE_RUNNING)
            continue;
        sandbox_instance(s, &item.inst);
        server_send(c, &item, sizeof(item));
        if (c->number != number || !meters_tell(c, s))
            return true; /* gone meanwhile */
    }
    server_reply(c, q->head.seq, NULL, NULL);
    return true;
}
