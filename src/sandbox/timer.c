/*
 * Time: one timer for all sandboxes, armed for the earliest wake of any. A wake is never early: the
 * loop's clock counts whole milliseconds from a moment that may lie in the past, so the due time is
 * compared with the clock again when the timer fires.
 *
 * There are at most SANDBOXES_MAX sandboxes, so that finding the earliest is a walk of microseconds.
 */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

enum {
    TIMER_LONGEST_MS = 3600000,
    /* A client counts from the moment it has our answer, which is later than our own start. */
    EXPIRY_GRACE_MS = 50,
};

static void note_earliest(struct sandbox *sb, void *user)
{
    struct sandbox **best = user;
    if (sb->wake_mono_ns != 0 && (*best == NULL || sb->wake_mono_ns < (*best)->wake_mono_ns))
        *best = sb;
}

static struct sandbox *earliest(struct sandbox_manager *m)
{
    struct sandbox *best = NULL;
    registry_each(m, note_earliest, &best);
    return best;
}

static void timer_arm(struct sandbox_manager *m)
{
    if (uv_is_closing((uv_handle_t *)&m->timer))
        return;
    struct sandbox *sb = earliest(m);
    if (sb == NULL) {
        (void)uv_timer_stop(&m->timer); /* cannot fail on a live handle */
        return;
    }
    uint64_t now = clock_monotonic_ns(), ms = 0;
    if (sb->wake_mono_ns > now)
        ms = (sb->wake_mono_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    (void)uv_timer_start(&m->timer, manager_timer_cb, ms < TIMER_LONGEST_MS ? ms : TIMER_LONGEST_MS,
                         0); /* cannot fail on a live handle with a callback */
}

void manager_timer_cb(uv_timer_t *timer)
{
    struct sandbox_manager *m = timer->data;
    uint64_t now = clock_monotonic_ns();
    struct sandbox *sb;
    manager_op_begin(m);
    while ((sb = earliest(m)) != NULL && sb->wake_mono_ns <= now) {
        sb->wake_mono_ns = 0; /* each wake happens once, so the walk ends */
        sb->on_wake(sb);
    }
    timer_arm(m);
    manager_op_end(m);
}

void sandbox_wake_at(struct sandbox *sb, uint64_t mono_ns, void (*on_wake)(struct sandbox *sb))
{
    sb->wake_mono_ns = mono_ns != 0 ? mono_ns : 1;
    sb->on_wake = on_wake;
    timer_arm(sb->m);
}

void sandbox_wake_never(struct sandbox *sb)
{
    if (sb->wake_mono_ns == 0)
        return;
    sb->wake_mono_ns = 0;
    timer_arm(sb->m);
}

static void on_expiry(struct sandbox *sb)
{
    if (sb->state != SANDBOX_RUNNING || sb->moving >= 0 || sb->end_writes > 0 || sb->m->closing)
        return; /* whoever is at work on it arms the timer again, or ends it */
    manager_notice(sb->m, sb->id, "its time is over");
    sandbox_end(sb, END_TIMEOUT, NULL);
}

void sandbox_arm_expiry(struct sandbox *sb)
{
    if (sb->state == SANDBOX_RUNNING && sb->moving < 0 && !sb->m->closing)
        sandbox_wake_at(sb, sb->end.mono_ns + EXPIRY_GRACE_MS * NS_PER_MS, on_expiry);
}
