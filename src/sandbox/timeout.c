/*
 * Moving the end of a sandbox's life. The new end counts once it is written; until then expiry waits,
 * so that a client that is told "extended" never sees its sandbox die of the old end.
 */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

struct end_write {
    struct write_job job;
    struct sandbox *sb; /* not freed while end_writes > 0, see sandbox_end_when_written() */
    char id[SANDBOX_ID_LEN + 1];
    struct life_end end;
    struct event event;
    sandbox_info_cb done;
    void *user;
};

static int run_end(struct store *store, struct write_job *job, struct err *err)
{
    struct end_write *w = container_of(job, struct end_write, job);
    int r = store_begin(store, err);
    if (r < 0)
        return r;
    r = store_sandbox_set_end(store, w->id, w->end.wall_ns, err);
    if (r == 0)
        r = store_event_add(store, &w->event, 1, err);
    return store_finish(store, r, err);
}

static void on_end_written(struct write_job *job, const struct err *err)
{
    struct end_write *w = container_of(job, struct end_write, job);
    struct sandbox *sb = w->sb;
    struct sandbox_manager *m = sb->m;
    sb->end_writes--;
    if (err == NULL)
        sb->end = w->end;
    else if (sb->end_writes == 0)
        sb->planned = sb->end;
    struct sandbox_info info;
    sandbox_describe(sb, &info);
    w->done(w->user, err == NULL ? &info : NULL, err);
    if (sb->end_writes == 0)
        sandbox_arm_expiry(sb);
    free(w);
    manager_op_end(m);
}

/* An answer without a write, put off as all answers are. */
struct unchanged {
    struct later later;
    struct sandbox_manager *m;
    char id[SANDBOX_ID_LEN + 1];
    sandbox_info_cb done;
    void *user;
};

static void answer_unchanged(struct later *later)
{
    struct unchanged *u = container_of(later, struct unchanged, later);
    struct sandbox_info info;
    struct err err = {0};
    int r = sandbox_get(u->m, NULL, u->id, &info, &err); /* it may have ended meanwhile */
    u->done(u->user, r == 0 ? &info : NULL, r == 0 ? NULL : &err);
    free(u);
}

static struct life_end clamp(const struct sandbox *sb, int64_t timeout_s)
{
    int64_t max_s = sb->m->o.max_life_s;
    struct life_end end =
        life_end_after((uint64_t)(timeout_s < max_s ? timeout_s : max_s) * NS_PER_S);
    int64_t over = end.wall_ns - (sb->started_wall_ns + max_s * (int64_t)NS_PER_S);
    if (over > 0) {
        end.wall_ns -= over;
        end.mono_ns -= (uint64_t)over < end.mono_ns ? (uint64_t)over : end.mono_ns;
    }
    return end;
}

static void end_write_put(struct sandbox *sb, struct life_end end, sandbox_info_cb done, void *user)
{
    struct end_write *w = xnew(struct end_write);
    w->job.run = run_end;
    w->job.done = on_end_written;
    w->sb = sb;
    w->end = sb->planned = end;
    w->done = done;
    w->user = user;
    (void)snprintf(w->id, sizeof(w->id), "%s", sb->id);
    event_updated(sb, end.wall_ns, &w->event);
    sb->end_writes++;
    manager_op_begin(sb->m);
    write_queue_put(&sb->m->writes, &w->job);
}

void sandbox_set_timeout(struct sandbox_manager *m, const char *team, const char *id,
                         int64_t timeout_s, bool extend_only, sandbox_info_cb done, void *user)
{
    struct sandbox_info info;
    struct err err = {0};
    int r = sandbox_get(m, team, id, &info, &err);
    if (r == 0 && m->writes.n >= WRITE_QUEUE_MAX)
        r = err_set(&err, -EAGAIN, ERR_UNAVAILABLE, "too many writes are waiting; try again");
    if (r < 0) {
        manager_fail_info(m, done, user, &err);
        return;
    }
    struct sandbox *sb = registry_find(m, id);
    struct life_end end = clamp(sb, timeout_s);
    if (extend_only && end.wall_ns <= sb->planned.wall_ns && sb->end_writes == 0) {
        struct unchanged *u = xnew(struct unchanged);
        u->m = m;
        u->done = done;
        u->user = user;
        (void)snprintf(u->id, sizeof(u->id), "%s", id);
        manager_later(m, &u->later, answer_unchanged);
        return;
    }
    if (extend_only && end.wall_ns <= sb->planned.wall_ns)
        end = sb->planned; /* written again, behind the write that is on its way */
    end_write_put(sb, end, done, user);
}
