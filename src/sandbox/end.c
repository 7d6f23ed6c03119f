/*
 * The end of a sandbox, whatever the reason: asked for, expired, its init gone, a failed start, found
 * half made after a restart.
 *
 *   state `killing` written -> links cut -> undo stack popped -> object gone -> answers
 *
 * A reverse that fails is told to who waits, and tried again every TEARDOWN_RETRY_MS until it works:
 * the object stays in `killing`, invisible, and a restart would reap it too.
 */
#include "base/clock.h"
#include "base/crash.h"
#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <string.h>

/* Who waits for the end. */
struct waiter {
    struct waiter *next;
    sandbox_done_cb done;
    void *user;
};

void undo_push(struct sandbox *sb, enum undo step)
{
    assert(sb->n_undo < UNDO_MAX_);
    sb->undo[sb->n_undo++] = step;
}

static void answer_creation(struct sandbox *sb)
{
    sandbox_info_cb created = sb->created;
    sb->created = NULL;
    if (created != NULL)
        created(sb->created_user, NULL, &sb->why);
}

static void answer_waiters(struct sandbox *sb, const struct err *err)
{
    struct waiter *w = sb->waiters;
    sb->waiters = NULL;
    while (w != NULL) {
        struct waiter *next = w->next;
        w->done(w->user, err);
        free(w);
        w = next;
    }
}

static void gone(struct sandbox *sb)
{
    struct sandbox_manager *m = sb->m;
    CRASH_POINT("daemon.end.row-deleted");
    manager_op_begin(m); /* the manager outlives the answers */
    sb->wake_mono_ns = 0;
    registry_remove(sb);
    manager_notice(m, sb->id, "gone");
    answer_creation(sb);
    answer_waiters(sb, NULL);
    CRASH_POINT("daemon.end.answered");
    adopt_settled(sb);
    sandbox_free(sb);
    manager_op_end(m);
}

static void step_failed(struct sandbox *sb, const struct err *err)
{
    manager_notice(sb->m, sb->id, "not all of it could be removed, trying again in %d s: %s",
                   TEARDOWN_RETRY_MS / 1000, err->msg);
    answer_creation(sb);
    answer_waiters(sb, err);
    adopt_settled(sb);
    if (!sb->m->closing)
        sandbox_wake_at(sb, clock_monotonic_ns() + TEARDOWN_RETRY_MS * NS_PER_MS, sandbox_teardown);
}

static void on_step(struct sandbox *sb, const struct err *err)
{
    if (err != NULL) {
        step_failed(sb, err);
        return;
    }
    sb->n_undo--;
    sandbox_teardown(sb);
}

static void on_stopped(void *user, const struct err *err)
{
    struct sandbox *sb = user;
    struct sandbox_manager *m = sb->m;
    CRASH_POINT("daemon.end.stopped");
    on_step(sb, err);
    manager_op_end(m);
}

void sandbox_teardown(struct sandbox *sb)
{
    if (sb->n_undo == 0) {
        gone(sb);
        return;
    }
    switch (sb->undo[sb->n_undo - 1]) {
    case UNDO_ROW:
        sandbox_row_delete(sb, on_step);
        break;
    case UNDO_INSTANCE:
        manager_op_begin(sb->m);
        sb->m->o.driver->ops->stop(sb->m->o.driver, sb->id, on_stopped, sb);
        CRASH_POINT("daemon.end.asked");
        break;
    case UNDO_MAX_:
        break;
    }
}

static void cut_links(struct sandbox *sb)
{
    while (!list_empty(&sb->links)) {
        struct sandbox_link *link = container_of(sb->links.next, struct sandbox_link, node);
        list_remove(&link->node); /* self-linked, so that sandbox_unlink() stays safe */
        link->on_gone(link);
    }
}

static void on_killing(struct sandbox *sb, const struct err *err)
{
    assert(err == NULL); /* see sandbox_set_state() */
    CRASH_POINT("daemon.end.killing");
    (void)err;
    registry_hide(sb);
    cut_links(sb);
    CRASH_POINT("daemon.end.cut");
    sandbox_teardown(sb);
}

/* The words of the end, unless who saw it has written better ones. */
static void put_end_text(struct sandbox *sb, enum end_cause cause, const struct err *why)
{
    static const char *const texts[] = {
        [END_NONE] = "",
        [END_START] = "it could not be started",
        [END_REQUEST] = "it was killed by request",
        [END_TIMEOUT] = "its time was over",
        [END_EXIT] = "its init ended",
        [END_LOST] = "it had ended while the server was away",
        [END_SHUTDOWN] = "the server was stopped",
    };
    static_assert(ARRAY_LEN(texts) == END_CAUSE_MAX_, "a cause without words");
    if (cause == END_EXIT && sb->end_text[0] != '\0')
        return;
    bool told = why != NULL && (cause == END_LOST || cause == END_START);
    (void)snprintf(sb->end_text, sizeof(sb->end_text), "%.*s", SANDBOX_END_TEXT_BYTES - 1,
                   told ? why->msg : texts[cause]);
}

void sandbox_end(struct sandbox *sb, enum end_cause cause, const struct err *why)
{
    if (why != NULL) {
        sb->why = *why;
        manager_notice(sb->m, sb->id, "ending it: %s", why->msg);
    }
    put_end_text(sb, cause, why);
    sb->end_cause = cause;
    sb->ended_wall_ns = clock_wall_ns();
    sandbox_wake_never(sb);
    sandbox_set_state(sb, SANDBOX_KILLING, on_killing);
}

static void wait_for_end(struct sandbox *sb, sandbox_done_cb done, void *user)
{
    struct waiter *w = xnew(struct waiter);
    *w = (struct waiter){.next = sb->waiters, .done = done, .user = user};
    sb->waiters = w;
}

void sandbox_kill(struct sandbox_manager *m, const char *team, const char *id, sandbox_done_cb done,
                  void *user)
{
    struct sandbox *sb = registry_find(m, id);
    bool ours = sb != NULL && sb->team != NULL && (team == NULL || strcmp(sb->team, team) == 0);
    if (!ours || sb->state == SANDBOX_KILLING || sb->moving == SANDBOX_KILLING || sb->kill_asked) {
        struct err err;
        (void)err_set(&err, -ENOENT, ERR_NOT_FOUND, "sandbox \"%.32s\" not found", id);
        manager_answer(m, done, user, &err);
        return;
    }
    wait_for_end(sb, done, user);
    if (sb->state == SANDBOX_RUNNING && !sb->adopting)
        sandbox_end(sb, END_REQUEST, NULL);
    else
        sb->kill_asked = true; /* the next step of its start sees it */
}

static void put_exit_text(struct sandbox *sb, const struct driver_exit *why)
{
    char *dst = sb->end_text;
    switch (why->cause) {
    case DRIVER_EXIT_CODE:
        (void)snprintf(dst, SANDBOX_END_TEXT_BYTES, "its init ended with status %d", why->status);
        break;
    case DRIVER_EXIT_SIGNAL:
        (void)snprintf(dst, SANDBOX_END_TEXT_BYTES, "its init was killed (signal %d)", why->status);
        break;
    case DRIVER_EXIT_MEMORY:
        (void)snprintf(dst, SANDBOX_END_TEXT_BYTES, "its init was killed for want of memory");
        break;
    case DRIVER_EXIT_MACHINE:
        (void)snprintf(dst, SANDBOX_END_TEXT_BYTES, "%.*s", SANDBOX_END_TEXT_BYTES - 1,
                       why->reason);
        break;
    case DRIVER_EXIT_UNKNOWN:
    case DRIVER_EXIT_MAX_:
        (void)snprintf(dst, SANDBOX_END_TEXT_BYTES, "its init ended, and nobody saw how");
        break;
    }
}

void manager_on_exit(void *user, const char *id, const struct driver_exit *why)
{
    struct sandbox_manager *m = user;
    struct sandbox *sb = registry_find(m, id);
    if (sb == NULL || sb->state == SANDBOX_KILLING || sb->moving == SANDBOX_KILLING)
        return; /* what we are ending anyway */
    manager_notice(m, id, why->cause == DRIVER_EXIT_MACHINE ? "it ended: %s" : "its init ended: %s",
                   why->reason);
    sb->exited = true;
    put_exit_text(sb, why);
    if (sb->state == SANDBOX_RUNNING && !sb->adopting && !m->closing)
        sandbox_end(sb, END_EXIT, NULL);
}
