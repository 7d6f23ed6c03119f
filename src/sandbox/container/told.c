/* Ends and limits that silica-priv tells by itself, and ends that it could not tell. */
#include "base/cleanup.h"
#include "sandbox/container/container_internal.h"
#include "sandbox/container/known.h"

static void report_exit(struct container *c, const char *id, const struct driver_exit *why)
{
    char copy[SANDBOX_ID_BYTES];
    (void)snprintf(copy, sizeof(copy), "%s", id);
    if (known_remove(&c->known, copy) && c->base.on_exit != NULL)
        c->base.on_exit(c->base.on_exit_user, copy, why);
}

void told_exit(struct container *c, const struct priv_exit *e)
{
    static const enum driver_exit_cause causes[] = {
        [PRIV_EXIT_UNKNOWN] = DRIVER_EXIT_UNKNOWN,
        [PRIV_EXIT_CODE] = DRIVER_EXIT_CODE,
        [PRIV_EXIT_SIGNAL] = DRIVER_EXIT_SIGNAL,
        [PRIV_EXIT_MEMORY] = DRIVER_EXIT_MEMORY,
    };
    struct driver_exit why = {
        .cause = e->cause < ARRAY_LEN(causes) ? causes[e->cause] : DRIVER_EXIT_UNKNOWN,
        .status = e->status,
        .reason = e->reason,
    };
    report_exit(c, e->id, &why);
}

void told_event(struct container *c, const struct priv_event *e)
{
    static const enum driver_event kinds[] = {
        [PRIV_EVENT_MEMORY] = DRIVER_EVENT_MEMORY,
        [PRIV_EVENT_PIDS] = DRIVER_EVENT_PIDS,
        [PRIV_EVENT_DISK] = DRIVER_EVENT_DISK,
        [PRIV_EVENT_INODES] = DRIVER_EVENT_INODES,
    };
    if (e->kind >= PRIV_EVENT_MEMORY && e->kind < ARRAY_LEN(kinds) && c->base.on_event != NULL)
        c->base.on_event(c->base.on_exit_user, e->id, kinds[e->kind], e->count);
}

void told_nothing(struct container *c)
{
    static const struct driver_exit why = {.cause = DRIVER_EXIT_UNKNOWN,
                                           .reason = "ended while silica-priv was away"};
    list_for_each_safe(it, next, &c->known)
    {
        struct known *k = container_of(it, struct known, node);
        if (!k->seen)
            report_exit(c, k->id, &why);
    }
}
