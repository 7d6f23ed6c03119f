/*
 * Machines that are nobody's yet: one that boots settles, is stopped, writes its devices' state and becomes the
 * snapshot; a clone that is to wait runs until it is warm, and is stopped until somebody claims it.
 */
#include "base/cleanup.h"
#include "priv/protocol.h"
#include "sandbox/container/container.h"
#include "sandbox/microvm/microvm_internal.h"

#include <stdio.h>

static void on_kept(void *user, const struct err *err)
{
    struct machine *m = user;
    m->asked_helper = false;
    if (m->state == MACHINE_ENDING) {
        machine_gone(m);
        return;
    }
    image_booted(m->image, err);
    machine_gone(m);
}

static void on_saved(void *user, const struct json_ref *ret, const struct err *err)
{
    struct machine *m = user;
    (void)ret;
    if (err != NULL) {
        machine_fail(m, err);
        return;
    }
    if (m->state != MACHINE_SAVING)
        return;
    machine_set_state(m, MACHINE_KEEPING, KEEP_MS);
    m->asked_helper = true;
    container_driver_snapshot(m->v->helper, m->start.id, on_kept, m);
}

static void on_settled(uv_timer_t *timer)
{
    struct machine *m = timer->data;
    char arguments[64];
    if (m->state != MACHINE_SETTLING || m->qmp == NULL)
        return;
    machine_set_state(m, MACHINE_SAVING, SAVE_MS);
    (void)snprintf(arguments, sizeof(arguments), "{\"filename\":\"/dev/fdset/%d\",\"live\":false}",
                   (int)PRIV_MACHINE_DEVICES_FD);
    machine_call(m, "stop", NULL, machine_on_answer);
    machine_call(m, "xen-save-devices-state", arguments, on_saved);
}

static void on_paused(void *user, const struct json_ref *ret, const struct err *err)
{
    struct machine *m = user;
    (void)ret;
    if (err != NULL) {
        machine_fail(m, err);
        return;
    }
    if (m->state != MACHINE_STOPPING)
        return;
    image_pool_result(m->image, NULL);
    machine_set_state(m, MACHINE_WAITING, 0);
    image_refill(m->image);
}

void machine_warmed(struct machine *m, const struct err *err)
{
    if (m->state != MACHINE_WARMING)
        return;
    if (err != NULL || m->qmp == NULL) {
        struct err why;
        (void)err_set(&why, -EPIPE, ERR_INTERNAL, "the virtual machine's monitor is gone");
        machine_fail(m, err != NULL ? err : &why);
        return;
    }
    if (machine_is_boot(m)) {
        machine_set_state(m, MACHINE_SETTLING, SETTLE_MS * 10);
        (void)uv_timer_start(&m->timer, on_settled, SETTLE_MS, 0);
        return;
    }
    machine_set_state(m, MACHINE_STOPPING, LOAD_MS);
    machine_call(m, "stop", NULL, on_paused);
}

void machine_claim(struct machine *m)
{
    machine_set_state(m, MACHINE_CLAIMED, CLAIM_MS);
}

void machine_resume(struct machine *m, started_fn started, void *user)
{
    struct err err;
    m->started = started;
    m->started_user = user;
    if (m->state == MACHINE_CLAIMED && m->qmp != NULL) {
        machine_run_on(m);
        return;
    }
    /* It ended since it was claimed: another takes its place when it is gone. */
    (void)err_set(&err, -EPIPE, ERR_INTERNAL, "the virtual machine's monitor is gone");
    machine_fail(m, &err);
}
