/*
 * Templates as the driver knows them: whether there is a snapshot, who waits for it, and the clones that
 * wait for a creation.
 *
 *   unknown   nobody has asked; the first clone tells whether there is a snapshot that fits
 *   booting   one machine boots to become it; creations wait
 *   ready     clones can be made
 *
 * A template with other limits is another image: the size of memory and disk is part of a snapshot.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/random.h"
#include "sandbox/microvm/microvm_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    BOOTS_MAX = 2,     /* in a row: a snapshot that never fits is not made for ever */
    PREPARING_MAX = 1, /* clones of a template that are being made to wait, at a time */
    RETRY_BASE_MS = 1000,
    RETRY_SHIFT_MAX = 6,
    SECRET_RANDOM_BYTES = 32,
};

static bool same_limits(const struct sandbox_limits *a, const struct sandbox_limits *b)
{
    return a->memory_bytes == b->memory_bytes && a->cpu_millis == b->cpu_millis &&
           a->pids == b->pids && a->disk_bytes == b->disk_bytes &&
           a->network_rate == b->network_rate;
}

struct image *image_get(struct microvm *v, const char *template_id,
                        const struct sandbox_limits *limits)
{
    list_for_each_safe(it, next, &v->images)
    {
        struct image *i = container_of(it, struct image, node);
        if (strcmp(i->template_id, template_id) == 0 && same_limits(&i->limits, limits)) {
            i->used_ns = clock_monotonic_ns();
            return i;
        }
    }
    struct image *i = xnew(struct image);
    i->v = v;
    (void)snprintf(i->template_id, sizeof(i->template_id), "%s", template_id);
    i->limits = *limits;
    i->used_ns = clock_monotonic_ns();
    list_init(&i->pending);
    list_append(&v->images, &i->node);
    return i;
}

/* One that is nobody's: its id and secret are new. */
static void start_of(const struct image *i, enum driver_kind kind, struct driver_start *ret)
{
    *ret = (struct driver_start){.kind = kind, .limits = i->limits, .internet = true};
    id_new_sandbox(ret->id);
    random_hex(ret->control_secret, SECRET_RANDOM_BYTES);
    (void)snprintf(ret->artifact.template_id, sizeof(ret->artifact.template_id), "%s",
                   i->template_id);
}

/* ---- the snapshot ---- */

static void boot(struct image *i)
{
    struct driver_start start;
    start_of(i, DRIVER_MACHINE_BOOT, &start);
    i->state = IMAGE_BOOTING;
    i->boots++;
    microvm_notice(i->v, start.id, "boots template %s for its snapshot", i->template_id);
    (void)machine_make(i, &start, false, NULL, NULL);
    CRASH_POINT("daemon.image.boots");
    explicit_bzero(&start, sizeof(start));
}

static void wait_for_snapshot(struct image *i, const struct driver_start *start, started_fn started,
                              void *user)
{
    struct pending *p = xnew(struct pending);
    p->start = *start;
    p->started = started;
    p->user = user;
    list_append(&i->pending, &p->node);
}

static void pending_free(struct pending *p)
{
    list_remove(&p->node);
    explicit_bzero(&p->start, sizeof(p->start));
    free(p);
}

void image_free(struct image *i)
{
    list_for_each_safe(it, next, &i->pending) pending_free(container_of(it, struct pending, node));
    list_remove(&i->node);
    free(i);
}

void image_needs_boot(struct image *i, const struct err *why, struct machine *m)
{
    if (m->started != NULL) {
        wait_for_snapshot(i, &m->start, m->started, m->started_user);
        m->started = NULL;
    }
    if (i->state == IMAGE_BOOTING || i->v->closing)
        return;
    if (i->boots >= BOOTS_MAX) {
        image_booted(i, why);
        return;
    }
    microvm_notice(i->v, m->start.id, "%s", why->msg);
    boot(i);
}

static void answer_all(struct image *i, const struct err *err)
{
    struct list all;
    list_init(&all);
    list_for_each_safe(it, next, &i->pending)
    {
        list_remove(it);
        list_append(&all, it);
    }
    list_for_each_safe(it, next, &all)
    {
        struct pending *p = container_of(it, struct pending, node);
        if (err == NULL)
            (void)machine_make(i, &p->start, false, p->started, p->user);
        else
            p->started(p->user, NULL, err);
        pending_free(p);
    }
}

void image_booted(struct image *i, const struct err *err)
{
    i->state = err == NULL ? IMAGE_READY : IMAGE_UNKNOWN;
    CRASH_POINT("daemon.image.booted");
    if (err != NULL)
        i->boots = 0;
    answer_all(i, err);
    if (err == NULL)
        image_refill(i);
    else
        image_pool_result(i, err);
}

void image_start(struct image *i, const struct driver_start *start, started_fn started, void *user)
{
    i->v->cold++;
    if (i->state == IMAGE_BOOTING)
        wait_for_snapshot(i, start, started, user);
    else
        (void)machine_make(i, start, false, started, user);
}

/* ---- clones that wait ---- */

struct machine *image_waiting(struct image *i, const struct driver_start *start)
{
    list_for_each_safe(it, next, &i->v->machines)
    {
        struct machine *m = container_of(it, struct machine, node);
        if (m->image == i && m->state == MACHINE_WAITING && m->qmp != NULL &&
            m->start.internet == start->internet)
            return m;
    }
    return NULL;
}

static void count(const struct image *i, unsigned *ret_waiting, unsigned *ret_preparing)
{
    *ret_waiting = *ret_preparing = 0;
    list_for_each_safe(it, next, &i->v->machines)
    {
        const struct machine *m = container_of(it, struct machine, node);
        if (m->image != i || !m->pooled)
            continue;
        *ret_waiting += m->state == MACHINE_WAITING;
        *ret_preparing += m->state < MACHINE_WAITING;
    }
}

void image_refill(struct image *i)
{
    unsigned waiting, preparing;
    struct driver_start start;
    if (i->v->closing || i->state == IMAGE_BOOTING || clock_monotonic_ns() < i->not_before_ns)
        return;
    count(i, &waiting, &preparing);
    if (preparing >= PREPARING_MAX || waiting + preparing >= i->v->o.pool)
        return;
    start_of(i, DRIVER_MACHINE_CLONE, &start);
    (void)machine_make(i, &start, true, NULL, NULL);
    CRASH_POINT("daemon.pool.refilled");
    explicit_bzero(&start, sizeof(start));
}

/* One after another, ever slower while they fail. */
void image_pool_result(struct image *i, const struct err *err)
{
    if (err == NULL) {
        i->state = IMAGE_READY;
        i->failures = i->boots = 0;
        return;
    }
    unsigned shift = i->failures < RETRY_SHIFT_MAX ? i->failures : RETRY_SHIFT_MAX;
    i->failures++;
    i->not_before_ns = clock_monotonic_ns() + ((uint64_t)RETRY_BASE_MS << shift) * NS_PER_MS;
}

static void end_one_waiting(struct image *i)
{
    list_for_each_safe(it, next, &i->v->machines)
    {
        struct machine *m = container_of(it, struct machine, node);
        if (m->image == i && m->state == MACHINE_WAITING) {
            machine_stop(m, NULL, NULL);
            return;
        }
    }
}

void image_tick(struct image *i, uint64_t now)
{
    uint64_t idle = (uint64_t)i->v->o.idle_s * NS_PER_S;
    if (idle != 0 && now - i->used_ns > idle)
        end_one_waiting(i);
    else
        image_refill(i);
}
