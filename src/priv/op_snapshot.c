/*
 * PRIV_SNAPSHOT: end a machine that was booted for its template, and keep what it was. Permitted for such a
 * machine while it runs; the daemon has stopped it and made it write its devices' state. The reply
 * comes when the snapshot is on the disk, or with the reason why there is none: the machine is
 * gone either way. What is kept is what QEMU wrote, which is believed by the clones of that template alone.
 */
#include "priv/helper.h"

#include "base/crash.h"

#include <errno.h>

bool op_snapshot(struct client *c, const void *packet)
{
    const struct priv_snapshot *q = packet;
    struct err err;
    struct sandbox *s = sandbox_find(c->helper, q->id);
    if (s == NULL || s->kind != PRIV_MACHINE_BOOT || s->life != LIFE_RUNNING) {
        (void)err_set(&err, -EINVAL, ERR_CONFLICT, "%s is no machine that was booted and runs",
                      q->id);
        server_reply(c, q->head.seq, &err, NULL);
        return true;
    }
    CRASH_POINT("priv.snapshot.asked");
    s->commit = true;
    s->waiters[s->n_waiters++] = (struct stop_waiter){.client = c->number, .seq = q->head.seq};
    sandbox_kill(s);
    return true;
}
