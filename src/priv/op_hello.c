/* PRIV_HELLO: the first packet of a connection; both sides must speak the same version. */
#include "priv/helper.h"

#include "base/log.h"

#include <errno.h>

bool op_hello(struct client *c, const void *packet)
{
    const struct priv_hello *q = packet;
    struct err err;
    if (c->greeted)
        return false;
    if (q->version != PRIV_VERSION) {
        (void)err_set(&err, -EPROTO, ERR_CONFLICT,
                      "silica-priv speaks version %u and silicad %u: are both of one build?",
                      PRIV_VERSION, q->version);
        server_reply(c, q->head.seq, &err, NULL);
        return false;
    }
    c->greeted = true;
    server_reply(c, q->head.seq, NULL, NULL);
    list_for_each_safe(it, next, &c->helper->sandboxes)
    {
        const struct sandbox *s = container_of(it, struct sandbox, node);
        if (s->life == LIFE_RUNNING && !meters_tell(c, s))
            break; /* gone meanwhile */
    }
    return true;
}
