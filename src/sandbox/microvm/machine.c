/* The steps of one QEMU; its states are in microvm_internal.h. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "http/client.h"
#include "priv/protocol.h"
#include "sandbox/container/container.h"
#include "sandbox/microvm/microvm_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
    [MACHINE_STARTING] = "starting", [MACHINE_OPENING] = "opening",   [MACHINE_LOADING] = "loading",
    [MACHINE_WARMING] = "warming",   [MACHINE_SETTLING] = "settling", [MACHINE_SAVING] = "saving",
    [MACHINE_KEEPING] = "keeping",   [MACHINE_STOPPING] = "stopping", [MACHINE_WAITING] = "waiting",
    [MACHINE_CLAIMED] = "claimed",   [MACHINE_RESUMING] = "resuming", [MACHINE_RUNNING] = "running",
    [MACHINE_ENDING] = "ending",
};
static_assert(ARRAY_LEN(state_names) == MACHINE_STATE_MAX_, "a state has no name");

static void on_ready(void *user);
static void on_event(void *user, const struct qmp_event *ev);
static void on_monitor_end(void *user, enum qmp_end how, const struct err *why);
static void load(struct machine *m);

bool machine_is_boot(const struct machine *m)
{
    return m->start.kind == DRIVER_MACHINE_BOOT;
}

/* A name for each, because a name is a literal. */
static void crash_in(enum machine_state state)
{
    switch (state) {
    case MACHINE_OPENING:
        CRASH_POINT("daemon.machine.opening");
        break;
    case MACHINE_LOADING:
        CRASH_POINT("daemon.machine.loading");
        break;
    case MACHINE_WARMING:
        CRASH_POINT("daemon.machine.warming");
        break;
    case MACHINE_SETTLING:
        CRASH_POINT("daemon.machine.settling");
        break;
    case MACHINE_SAVING:
        CRASH_POINT("daemon.machine.saving");
        break;
    case MACHINE_KEEPING:
        CRASH_POINT("daemon.machine.keeping");
        break;
    case MACHINE_STOPPING:
        CRASH_POINT("daemon.machine.stopping");
        break;
    case MACHINE_WAITING:
        CRASH_POINT("daemon.machine.waiting");
        break;
    case MACHINE_CLAIMED:
        CRASH_POINT("daemon.machine.claimed");
        break;
    case MACHINE_RESUMING:
        CRASH_POINT("daemon.machine.resuming");
        break;
    case MACHINE_RUNNING:
        CRASH_POINT("daemon.machine.running");
        break;
    case MACHINE_ENDING:
        CRASH_POINT("daemon.machine.ending");
        break;
    case MACHINE_STARTING:
    case MACHINE_STATE_MAX_:
        break;
    }
}

void machine_set_state(struct machine *m, enum machine_state state, unsigned deadline_ms)
{
    assert(state > m->state || m->state == MACHINE_STARTING);
    m->state = state;
    m->deadline_ns = deadline_ms == 0 ? 0 : clock_monotonic_ns() + deadline_ms * NS_PER_MS;
    crash_in(state);
}

/* ---- existence ---- */

struct machine *machine_find(struct microvm *v, const char *id)
{
    list_for_each_safe(it, next, &v->machines)
    {
        struct machine *m = container_of(it, struct machine, node);
        if (!m->gone && strcmp(m->start.id, id) == 0)
            return m;
    }
    return NULL;
}

static struct machine *machine_new(struct microvm *v)
{
    struct machine *m = xnew(struct machine);
    m->v = v;
    (void)uv_timer_init(v->loop, &m->timer); /* never fails */
    m->timer.data = m;
    m->timer_open = true;
    list_append(&v->machines, &m->node);
    return m;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct machine *m = handle->data;
    m->timer_open = false;
    machine_forget(m);
}

/* Called wherever something that was to come has come. */
void machine_forget(struct machine *m)
{
    struct microvm *v = m->v;
    if (!m->gone || m->calls > 0 || m->asked_helper)
        return;
    if (m->timer_open) {
        if (!uv_is_closing((uv_handle_t *)&m->timer))
            uv_close((uv_handle_t *)&m->timer, on_timer_closed);
        return;
    }
    list_remove(&m->node);
    explicit_bzero(&m->start, sizeof(m->start));
    free(m);
    microvm_check_closed(v);
}

/*
 * A creation that claimed a waiting machine does not suffer from its end: when nothing is left of it,
 * another clone of the same id takes its place.
 */
static bool is_replaced(const struct machine *m)
{
    return m->pooled && m->started != NULL && !m->v->closing;
}

static void replace(struct machine *m)
{
    started_fn started = m->started;
    m->started = NULL;
    image_start(m->image, &m->start, started, m->started_user);
}

/* Nothing of it is left outside of this program. */
void machine_gone(struct machine *m)
{
    m->gone = true;
    if (is_replaced(m))
        replace(m);
    http_fetch_abort(m->talk); /* who would answer is no more */
    qmp_close(m->qmp);
    m->qmp = NULL;
    if (m->state != MACHINE_ENDING)
        machine_set_state(m, MACHINE_ENDING, 0);
    machine_forget(m);
}

void machine_leave(struct machine *m)
{
    machine_gone(m);
}

void machine_give_up(struct machine *m)
{
    if (m->state != MACHINE_ENDING)
        machine_set_state(m, MACHINE_ENDING, 0);
    if (!m->asked_helper) /* else its answer comes, and then it is removed */
        machine_stop(m, NULL, NULL);
}

/* ---- ends ---- */

struct stop_call {
    struct machine *m;
    void (*done)(void *user, const struct err *err);
    void *user;
};

static void on_stopped(void *user, const struct err *err)
{
    struct stop_call *c = user;
    struct machine *m = c->m;
    m->asked_helper = false;
    if (c->done != NULL)
        c->done(c->user, err);
    else if (err != NULL)
        microvm_notice(m->v, m->start.id, "could not be removed: %s", err->msg);
    free(c);
    machine_gone(m); /* what could not be removed now is, by the next start of this program */
}

void machine_stop(struct machine *m, void (*done)(void *user, const struct err *err), void *user)
{
    struct stop_call *c = xnew(struct stop_call);
    *c = (struct stop_call){m, done, user};
    qmp_close(m->qmp);
    m->qmp = NULL;
    if (m->state != MACHINE_ENDING)
        machine_set_state(m, MACHINE_ENDING, 0);
    m->asked_helper = true;
    m->v->helper->ops->stop(m->v->helper, m->start.id, on_stopped, c);
}

/* Tells whoever waits for it; nobody does any more then. */
static void answer(struct machine *m, const struct err *err)
{
    started_fn started = m->started;
    if (err != NULL && is_replaced(m))
        return;
    m->started = NULL;
    if (started != NULL)
        started(m->started_user, err == NULL ? &m->inst : NULL, err);
}

static void tell_image(struct machine *m, const struct err *err)
{
    if (m->image == NULL)
        return;
    if (machine_is_boot(m))
        image_booted(m->image, err);
    else if (m->pooled && m->state < MACHINE_WAITING)
        image_pool_result(m->image, err);
}

static void tell_sandbox(struct machine *m, const struct err *err)
{
    struct driver_exit why = {.cause = DRIVER_EXIT_MACHINE, .reason = err->msg};
    microvm_tell_exit(m->v, m->start.id, &why);
}

void machine_fail(struct machine *m, const struct err *err)
{
    enum machine_state was = m->state;
    if (was == MACHINE_ENDING)
        return;
    if (was != MACHINE_RUNNING)
        microvm_notice(m->v, m->start.id, "%s while it was %s", err->msg, state_names[was]);
    tell_image(m, err);
    machine_give_up(m);
    answer(m, err);
    if (was == MACHINE_RUNNING)
        tell_sandbox(m, err);
}

void machine_exited(struct machine *m, const struct driver_exit *why)
{
    struct driver_exit out = *why;
    struct err err;
    if (m->why[0] != '\0')
        out.reason = m->why;
    if (m->state == MACHINE_RUNNING) {
        char id[SANDBOX_ID_BYTES];
        (void)snprintf(id, sizeof(id), "%s", m->start.id);
        if (m->why[0] == '\0')
            (void)snprintf(m->why, sizeof(m->why), "its virtual machine ended: %s", why->reason);
        out = (struct driver_exit){.cause = DRIVER_EXIT_MACHINE, .reason = m->why};
        microvm_tell_exit(m->v, id, &out);
        machine_gone(m);
        return;
    }
    if (m->state == MACHINE_ENDING)
        return; /* what ended it goes on */
    (void)err_set(&err, -EPIPE, ERR_INTERNAL, "the virtual machine ended: %.100s", out.reason);
    tell_image(m, &err);
    machine_set_state(m, MACHINE_ENDING, 0);
    answer(m, &err);
    machine_gone(m);
}

/* ---- starting ---- */

static int open_monitor(struct machine *m, struct err *err)
{
    static const struct qmp_events events = {on_ready, on_event, on_monitor_end};
    char path[256];
    int n = snprintf(path, sizeof(path), "%s/%s.qmp", m->v->o.machines_dir, m->start.id);
    if (n < 0 || (size_t)n >= sizeof(path))
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    return qmp_open(m->v->loop, path, &events, m, &m->qmp, err);
}

static void on_started(void *user, const struct driver_instance *inst, const struct err *err)
{
    struct machine *m = user;
    struct err why;
    m->asked_helper = false;
    if (m->state == MACHINE_ENDING) { /* given up meanwhile */
        if (err == NULL)
            machine_stop(m, NULL, NULL);
        else
            machine_gone(m);
        return;
    }
    if (err != NULL && !machine_is_boot(m) && (err->num == -ENOENT || err->num == -ESTALE) &&
        err->kind != ERR_UNAVAILABLE) {
        image_needs_boot(m->image, err, m);
        machine_gone(m);
        return;
    }
    if (err != NULL) {
        why = *err;
        tell_image(m, &why);
        machine_set_state(m, MACHINE_ENDING, 0);
        answer(m, &why);
        machine_gone(m);
        return;
    }
    m->inst = *inst;
    machine_set_state(m, MACHINE_OPENING, OPEN_MS);
    if (open_monitor(m, &why) < 0)
        machine_fail(m, &why);
}

struct machine *machine_make(struct image *image, const struct driver_start *start, bool pooled,
                             started_fn started, void *user)
{
    struct machine *m = machine_new(image->v);
    m->image = image;
    m->pooled = pooled;
    m->start = *start;
    m->started = started;
    m->started_user = user;
    m->asked_helper = true;
    machine_set_state(m, MACHINE_STARTING, START_MS);
    m->v->helper->ops->start(m->v->helper, &m->start, on_started, m);
    return m;
}

void machine_adopt(struct microvm *v, const char *id, const struct driver_instance *inst)
{
    struct err err;
    if (machine_find(v, id) != NULL)
        return;
    struct machine *m = machine_new(v);
    (void)snprintf(m->start.id, sizeof(m->start.id), "%s", id);
    m->start.kind = inst->kind;
    m->inst = *inst;
    m->state = MACHINE_RUNNING;
    if (open_monitor(m, &err) <
        0) { /* what cannot be watched is ended, as if it had closed it now */
        microvm_notice(v, id, "its monitor cannot be reached: %s", err.msg);
        m->deadline_ns = clock_monotonic_ns() + MONITOR_GONE_MS * NS_PER_MS;
    }
}

/* ---- the monitor ---- */

void machine_call(struct machine *m, const char *command, const char *arguments,
                  void (*done)(void *user, const struct json_ref *ret, const struct err *err))
{
    qmp_call(m->qmp, command, arguments, CALL_MS, done, m);
}

static void on_ready(void *user)
{
    struct machine *m = user;
    if (m->state != MACHINE_OPENING)
        return; /* adopted */
    if (machine_is_boot(m)) {
        machine_set_state(m, MACHINE_WARMING, WARM_BOOT_MS);
        talk_warm(m);
    } else {
        load(m);
    }
}

void machine_on_answer(void *user, const struct json_ref *ret, const struct err *err)
{
    (void)ret;
    if (err != NULL)
        machine_fail(user, err);
}

static void load(struct machine *m)
{
    char uri[40];
    machine_set_state(m, MACHINE_LOADING, LOAD_MS);
    (void)snprintf(uri, sizeof(uri), "{\"uri\":\"fd:%d\"}", (int)PRIV_MACHINE_DEVICES_FD);
    machine_call(m, "migrate-set-capabilities",
                 "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}",
                 machine_on_answer);
    machine_call(m, "migrate-incoming", uri, machine_on_answer);
}

static void on_resumed(void *user, const struct json_ref *ret, const struct err *err)
{
    struct machine *m = user;
    (void)ret;
    if (err != NULL) {
        machine_fail(m, err);
        return;
    }
    if (m->state != MACHINE_RESUMING)
        return;
    machine_set_state(m, MACHINE_RUNNING, 0);
    answer(m, NULL);
}

void machine_run_on(struct machine *m)
{
    machine_set_state(m, MACHINE_RESUMING, LOAD_MS);
    machine_call(m, "cont", NULL, on_resumed);
}

static void on_loaded(struct machine *m)
{
    if (!m->pooled) {
        machine_run_on(m);
        return;
    }
    machine_set_state(m, MACHINE_WARMING, WARM_CLONE_MS);
    machine_call(m, "cont", NULL, machine_on_answer);
    talk_warm(m);
}

static void note_why(struct machine *m, const char *text)
{
    if (m->why[0] == '\0')
        (void)snprintf(m->why, sizeof(m->why), "%s", text);
}

static void on_shutdown(struct machine *m, const struct qmp_event *ev)
{
    if (ev->reason == QMP_REASON_GUEST_PANIC)
        note_why(m, "its kernel panicked");
    else if (ev->reason == QMP_REASON_GUEST_RESET)
        note_why(m, "its kernel panicked or was told to reboot");
    else if (ev->reason == QMP_REASON_GUEST_SHUTDOWN)
        note_why(m, "its machine was switched off from inside");
    else if (ev->reason == QMP_REASON_HOST_ERROR)
        note_why(m, "its virtual machine failed");
}

static void on_event(void *user, const struct qmp_event *ev)
{
    struct machine *m = user;
    struct err err;
    if (ev->kind == QMP_EVENT_SHUTDOWN || ev->kind == QMP_EVENT_RESET)
        on_shutdown(m, ev);
    if (ev->kind == QMP_EVENT_GUEST_PANICKED)
        note_why(m, "its kernel panicked");
    if (ev->kind != QMP_EVENT_MIGRATION || m->state != MACHINE_LOADING)
        return;
    if (ev->migration == QMP_MIGRATION_COMPLETED) {
        on_loaded(m);
    } else if (ev->migration == QMP_MIGRATION_FAILED) {
        (void)err_set(&err, -EIO, ERR_INTERNAL, "the state of the snapshot could not be loaded");
        machine_fail(m, &err);
    }
}

/* Its process may be about to end, and then silica-priv says how; or it closed us out and lives on. */
static void on_monitor_end(void *user, enum qmp_end how, const struct err *why)
{
    struct machine *m = user;
    qmp_close(m->qmp);
    m->qmp = NULL;
    if (m->state == MACHINE_ENDING || m->state == MACHINE_KEEPING)
        return;
    if (how == QMP_END_CLOSED) {
        m->deadline_ns = clock_monotonic_ns() + MONITOR_GONE_MS * NS_PER_MS;
        return;
    }
    struct err err = *why;
    machine_fail(m, err_wrap(&err, "the virtual machine's monitor") < 0 ? &err : why);
}
