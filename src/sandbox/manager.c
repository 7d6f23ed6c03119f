/*
 * The manager: made, asked, and closed. See sandbox_internal.h for the theory.
 *
 * Closing. Without end_all: starts under way are undone, ends under way are finished, running
 * sandboxes are left to the next start. With end_all all of them end. Either way the manager goes
 * when no operation is on its way and no write waits.
 */
#include "sandbox/manager.h"

#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

void manager_notice(struct sandbox_manager *m, const char *id, const char *fmt, ...)
{
    if (m->o.notice == NULL)
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* cut when long */
    va_end(ap);
    m->o.notice(m->o.notice_user, id, text);
}

void manager_op_begin(struct sandbox_manager *m)
{
    m->ops++;
}

void manager_op_end(struct sandbox_manager *m)
{
    assert(m->ops > 0);
    m->ops--;
    adopt_check_ready(m);
    manager_check_closed(m);
}

/* later() */

static void on_soon(uv_timer_t *timer)
{
    struct sandbox_manager *m = timer->data;
    struct list run;
    list_init(&run);
    while (!list_empty(&m->laters)) { /* only these: what they put off waits for the next turn */
        struct list *first = m->laters.next;
        list_remove(first);
        list_append(&run, first);
    }
    manager_op_begin(m);
    while (!list_empty(&run)) {
        struct later *l = container_of(run.next, struct later, node);
        list_remove(&l->node);
        l->fn(l);
        m->ops--;
    }
    manager_op_end(m);
}

void manager_later(struct sandbox_manager *m, struct later *later, void (*fn)(struct later *))
{
    later->fn = fn;
    list_append(&m->laters, &later->node);
    manager_op_begin(m);
    (void)uv_timer_start(&m->soon, on_soon, 0, 0); /* cannot fail on a live handle */
}

struct answer {
    struct later later;
    sandbox_info_cb info;
    sandbox_done_cb done;
    void *user;
    struct err err;
    bool failed;
};

static void answer_run(struct later *later)
{
    struct answer *a = container_of(later, struct answer, later);
    if (a->info != NULL)
        a->info(a->user, NULL, &a->err);
    else
        a->done(a->user, a->failed ? &a->err : NULL);
    free(a);
}

void manager_fail_info(struct sandbox_manager *m, sandbox_info_cb done, void *user,
                       const struct err *err)
{
    struct answer *a = xnew(struct answer);
    a->info = done;
    a->user = user;
    a->err = *err;
    manager_later(m, &a->later, answer_run);
}

void manager_answer(struct sandbox_manager *m, sandbox_done_cb done, void *user,
                    const struct err *err)
{
    struct answer *a = xnew(struct answer);
    a->done = done;
    a->user = user;
    a->failed = err != NULL;
    if (err != NULL)
        a->err = *err;
    manager_later(m, &a->later, answer_run);
}

/* Questions */

int sandbox_get(struct sandbox_manager *m, const char *team, const char *id,
                struct sandbox_info *ret, struct err *err)
{
    const struct sandbox *sb = registry_find(m, id);
    if (sb == NULL || sb->state != SANDBOX_RUNNING || sb->adopting ||
        (team != NULL && strcmp(sb->team, team) != 0))
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "sandbox \"%.32s\" not found", id);
    sandbox_describe(sb, ret);
    return 0;
}

void sandbox_each(struct sandbox_manager *m, const char *team,
                  bool (*each)(void *user, const struct sandbox_info *info), void *user)
{
    list_for_each_safe(it, next, &m->running)
    {
        const struct sandbox *sb = container_of(it, struct sandbox, node);
        struct sandbox_info info;
        if (team != NULL && strcmp(sb->team, team) != 0)
            continue;
        sandbox_describe(sb, &info);
        if (!each(user, &info))
            return;
    }
}

int sandbox_link(struct sandbox_manager *m, const char *id, uint64_t lifecycle,
                 struct sandbox_link *link)
{
    struct sandbox *sb = registry_find(m, id);
    list_init(&link->node);
    if (sb == NULL || sb->state != SANDBOX_RUNNING || sb->adopting || sb->lifecycle != lifecycle)
        return -ENOENT;
    list_append(&sb->links, &link->node);
    return 0;
}

void sandbox_unlink(struct sandbox_link *link)
{
    list_remove(&link->node);
}

/* Life */

static void free_one(struct sandbox *sb, void *user)
{
    (void)user;
    registry_remove(sb);
    sandbox_free(sb);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sandbox_manager *m = handle->data;
    if (--m->open_handles > 0)
        return;
    sandbox_done_cb closed = m->closed;
    void *user = m->closed_user;
    registry_each(m, free_one, NULL);
    free((void *)(uintptr_t)m->o.templates_dir);
    free(m);
    closed(user, NULL);
}

void manager_check_closed(struct sandbox_manager *m)
{
    if (!m->closing || m->ops > 0 || m->writes.busy || uv_is_closing((uv_handle_t *)&m->timer))
        return;
    uv_close((uv_handle_t *)&m->timer, on_handle_closed);
    uv_close((uv_handle_t *)&m->soon, on_handle_closed);
    uv_close((uv_handle_t *)&m->events_timer, on_handle_closed);
}

static void on_writes_idle(struct write_queue *q)
{
    manager_check_closed(container_of(q, struct sandbox_manager, writes));
}

static int copy_opts(struct sandbox_manager *m, const struct sandbox_manager_opts *opts)
{
    m->o = *opts;
    m->o.templates_dir = strdup(opts->templates_dir);
    return m->o.templates_dir == NULL ? -ENOMEM : 0;
}

int sandbox_manager_new(const struct sandbox_manager_opts *opts, sandbox_done_cb ready, void *user,
                        struct sandbox_manager **ret, struct err *err)
{
    struct sandbox_manager *m = calloc(1, sizeof(*m));
    if (m == NULL || copy_opts(m, opts) < 0) {
        free(m);
        return err_sys(err, -ENOMEM, "start the sandbox manager");
    }
    list_init(&m->running);
    list_init(&m->laters);
    write_queue_init(&m->writes, opts->loop, opts->store);
    m->writes.on_idle = on_writes_idle;
    m->ready = ready;
    m->ready_user = user;
    int r = adopt_start(m, err);
    if (r < 0) {
        registry_each(m, free_one, NULL);
        free((void *)(uintptr_t)m->o.templates_dir);
        free(m);
        return r;
    }
    (void)uv_timer_init(opts->loop, &m->timer); /* cannot fail */
    (void)uv_timer_init(opts->loop, &m->soon);
    (void)uv_timer_init(opts->loop, &m->events_timer);
    m->timer.data = m->soon.data = m->events_timer.data = m;
    m->open_handles = 3;
    m->event_interval_ms = EVENT_INTERVAL_MS;
    opts->driver->on_exit = manager_on_exit;
    opts->driver->on_event = manager_on_event;
    opts->driver->on_exit_user = m;
    *ret = m;
    return 0;
}

static void end_one(struct sandbox *sb, void *user)
{
    (void)user;
    if (sb->state == SANDBOX_RUNNING && sb->moving < 0 && !sb->adopting) {
        sandbox_end(sb, END_SHUTDOWN, NULL);
    } else if (sb->state == SANDBOX_KILLING && sb->wake_mono_ns != 0) {
        sandbox_wake_never(sb); /* one more attempt at what could not be removed */
        sandbox_teardown(sb);
    }
}

void sandbox_manager_close(struct sandbox_manager *m, bool end_all, sandbox_done_cb done,
                           void *user)
{
    assert(!m->closing);
    m->closing = true;
    m->end_all = end_all;
    m->closed = done;
    m->closed_user = user;
    m->ready = NULL;
    manager_op_begin(m);
    if (end_all)
        registry_each(m, end_one, NULL);
    manager_op_end(m); /* goes at once when there is nothing to wait for */
}
