/* The driver's face: what the core asks, what silica-priv tells, and the clock. */
#include "sandbox/microvm/microvm.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/container/container.h"
#include "sandbox/microvm/microvm_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TICK_MS = 500, NOTICE_BYTES = 320 };

static struct microvm *from_driver(struct driver *d)
{
    return container_of(d, struct microvm, base);
}

void microvm_notice(struct microvm *v, const char *id, const char *fmt, ...)
{
    char text[NOTICE_BYTES];
    va_list ap;
    if (v->o.notice == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    v->o.notice(v->o.user, id, text);
}

void microvm_tell_exit(struct microvm *v, const char *id, const struct driver_exit *why)
{
    if (v->base.on_exit != NULL)
        v->base.on_exit(v->base.on_exit_user, id, why);
}

/* ---- what silica-priv tells ---- */

static void on_exit_of(void *user, const char *id, const struct driver_exit *why)
{
    struct microvm *v = user;
    struct machine *m = machine_find(v, id);
    if (m != NULL)
        machine_exited(m, why);
    else
        microvm_tell_exit(v, id, why); /* a container of an earlier life */
}

static void on_event_of(void *user, const char *id, enum driver_event kind, uint32_t count)
{
    struct microvm *v = user;
    const struct machine *m = machine_find(v, id);
    if (v->base.on_event != NULL && (m == NULL || m->state == MACHINE_RUNNING))
        v->base.on_event(v->base.on_exit_user, id, kind, count);
}

/* ---- what the core asks ---- */

static bool microvm_claim(struct driver *d, struct driver_start *start)
{
    struct microvm *v = from_driver(d);
    struct image *i = image_get(v, start->artifact.template_id, &start->limits);
    struct machine *m = image_waiting(i, start);
    if (m == NULL)
        return false;
    machine_claim(m);
    memcpy(start->id, m->start.id, sizeof(start->id));
    memcpy(start->control_secret, m->start.control_secret, sizeof(start->control_secret));
    return true;
}

static void microvm_start(struct driver *d, const struct driver_start *asked, started_fn done,
                          void *user)
{
    struct microvm *v = from_driver(d);
    struct driver_start start = *asked;
    struct image *i = image_get(v, start.artifact.template_id, &start.limits);
    struct machine *m = machine_find(v, start.id);
    start.kind = DRIVER_MACHINE_CLONE;
    if (m != NULL && m->pooled && m->state >= MACHINE_CLAIMED) {
        v->claimed++;
        machine_resume(m, done, user);
    } else {
        image_start(i, &start, done, user);
    }
    explicit_bzero(&start, sizeof(start));
}

/* A creation that waits for its snapshot is told by its own failure; the core stops only what started. */
static void microvm_stop(struct driver *d, const char *id,
                         void (*done)(void *user, const struct err *err), void *user)
{
    struct microvm *v = from_driver(d);
    struct machine *m = machine_find(v, id);
    if (m != NULL && !m->asked_helper && !m->gone)
        machine_stop(m, done, user);
    else
        v->helper->ops->stop(v->helper, id, done, user);
}

struct listing {
    struct microvm *v;
    void (*each)(void *user, const char *id, const struct driver_instance *inst);
    void (*done)(void *user, const struct err *err);
    void *user;
};

static void on_listed_one(void *user, const char *id, const struct driver_instance *inst)
{
    struct listing *l = user;
    if (inst->kind != DRIVER_CONTAINER)
        machine_adopt(l->v, id, inst);
    l->each(l->user, id, inst);
}

static void on_listed(void *user, const struct err *err)
{
    struct listing *l = user;
    l->done(l->user, err);
    free(l);
}

static void microvm_list(struct driver *d,
                         void (*each)(void *user, const char *id,
                                      const struct driver_instance *inst),
                         void (*done)(void *user, const struct err *err), void *user)
{
    struct listing *l = xnew(struct listing);
    *l = (struct listing){from_driver(d), each, done, user};
    l->v->helper->ops->list(l->v->helper, on_listed_one, on_listed, l);
}

/* ---- time, and the end ---- */

static void on_tick(uv_timer_t *timer)
{
    struct microvm *v = timer->data;
    uint64_t now = clock_monotonic_ns();
    list_for_each_safe(it, next, &v->machines)
        machine_tick(container_of(it, struct machine, node), now);
    list_for_each_safe(it, next, &v->images) image_tick(container_of(it, struct image, node), now);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct microvm *v = handle->data;
    list_for_each_safe(it, next, &v->images) image_free(container_of(it, struct image, node));
    v->helper->ops->free(v->helper);
    free((char *)(uintptr_t)v->o.machines_dir);
    free(v);
}

void microvm_check_closed(struct microvm *v)
{
    if (v->closing && list_empty(&v->machines) && !uv_is_closing((uv_handle_t *)&v->tick))
        uv_close((uv_handle_t *)&v->tick, on_tick_closed);
}

/* Sandboxes live on, what waits does not. */
static void microvm_free(struct driver *d)
{
    if (d == NULL)
        return;
    struct microvm *v = from_driver(d);
    v->closing = true;
    v->base.on_exit = NULL;
    v->base.on_event = NULL;
    list_for_each_safe(it, next, &v->machines)
    {
        struct machine *m = container_of(it, struct machine, node);
        m->started = NULL;
        if (m->state == MACHINE_RUNNING)
            machine_leave(m);
        else if (!m->gone)
            machine_give_up(m);
    }
    microvm_check_closed(v);
}

void microvm_expect(struct driver *d, const char *template_id, const struct sandbox_limits *limits)
{
    image_refill(image_get(from_driver(d), template_id, limits));
}

void microvm_count(struct driver *d, struct microvm_counts *ret)
{
    struct microvm *v = from_driver(d);
    *ret = (struct microvm_counts){.claimed = v->claimed, .cold = v->cold};
    list_for_each_safe(it, next, &v->images) ret->templates++;
    list_for_each_safe(it, next, &v->machines)
    {
        enum machine_state s = container_of(it, struct machine, node)->state;
        ret->running += s == MACHINE_RUNNING;
        ret->waiting += s == MACHINE_WAITING;
        ret->preparing += s < MACHINE_WAITING;
    }
}

static const struct driver_ops microvm_ops = {
    .name = "microvm",
    .claim = microvm_claim,
    .start = microvm_start,
    .stop = microvm_stop,
    .list = microvm_list,
    .free = microvm_free,
};

int microvm_driver_new(uv_loop_t *loop, const struct microvm_opts *opts, struct driver **ret,
                       struct err *err)
{
    struct microvm *v = xnew(struct microvm);
    v->base.ops = &microvm_ops;
    v->loop = loop;
    v->o = *opts;
    v->o.machines_dir = strdup(opts->machines_dir);
    list_init(&v->machines);
    list_init(&v->images);
    int r = v->o.machines_dir == NULL
                ? err_sys(err, -ENOMEM, "start the micro-VM driver")
                : container_driver_new(loop, opts->priv_socket, &v->helper, err);
    if (r < 0) {
        free((char *)(uintptr_t)v->o.machines_dir);
        free(v);
        return r;
    }
    v->helper->on_exit = on_exit_of;
    v->helper->on_event = on_event_of;
    v->helper->on_exit_user = v;
    (void)uv_timer_init(loop, &v->tick); /* never fails */
    v->tick.data = v;
    (void)uv_timer_start(&v->tick, on_tick, TICK_MS, TICK_MS);
    *ret = &v->base;
    return 0;
}
