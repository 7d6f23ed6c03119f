/*
 * The state machine of a sandbox: names, legal moves, and the one function that moves. The table
 * of what may happen in each state stands in sandbox_internal.h.
 */
#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <string.h>

static const char *const state_names[] = {
    [SANDBOX_CREATING] = "creating",
    [SANDBOX_RUNNING] = "running",
    [SANDBOX_KILLING] = "killing",
};
static_assert(ARRAY_LEN(state_names) == SANDBOX_STATE_MAX_, "a state without a name");

/* legal_moves[from] is the set of states that may follow. */
static const unsigned legal_moves[] = {
    [SANDBOX_CREATING] = 1u << SANDBOX_RUNNING | 1u << SANDBOX_KILLING,
    [SANDBOX_RUNNING] = 1u << SANDBOX_KILLING,
    [SANDBOX_KILLING] = 0,
};
static_assert(ARRAY_LEN(legal_moves) == SANDBOX_STATE_MAX_, "a state without its moves");

const char *sandbox_state_name(enum sandbox_state s)
{
    return s < SANDBOX_STATE_MAX_ ? state_names[s] : "unknown";
}

int sandbox_state_parse(const char *name)
{
    for (int i = 0; i < SANDBOX_STATE_MAX_; i++)
        if (strcmp(name, state_names[i]) == 0)
            return i;
    return -1;
}

bool sandbox_move_legal(enum sandbox_state from, enum sandbox_state to)
{
    return to < SANDBOX_STATE_MAX_ && (legal_moves[from] & 1u << to) != 0;
}

/* One write for one sandbox. The row's strings are the sandbox's, which do not change. */
struct row_write {
    struct write_job job;
    struct sandbox *sb; /* lives until done: nothing frees it while a write is on its way */
    struct sandbox_row row;
    enum sandbox_state to;
    uint64_t lifecycle;
    moved_fn done;
    size_t n_events;
    struct event events[EVENTS_OF_END_MAX]; /* written in the same transaction */
};

static struct row_write *row_write_new(struct sandbox *sb, const struct sandbox_row *row,
                                       moved_fn done,
                                       int (*run)(struct store *, struct write_job *, struct err *),
                                       void (*written)(struct write_job *, const struct err *))
{
    struct row_write *w = xnew(struct row_write);
    w->job.run = run;
    w->job.done = written;
    w->sb = sb;
    w->row = *row;
    w->to = (enum sandbox_state)(sb->moving >= 0 ? sb->moving : (int)sb->state);
    w->done = done;
    return w;
}

static void row_write_put(struct row_write *w)
{
    manager_op_begin(w->sb->m);
    write_queue_put(&w->sb->m->writes, &w->job);
}

/* Common end of the completions. */
static void row_write_done(struct row_write *w, const struct err *err)
{
    struct sandbox_manager *m = w->sb->m;
    w->done(w->sb, err);
    free(w);
    manager_op_end(m);
}

static int run_insert(struct store *store, struct write_job *job, struct err *err)
{
    struct row_write *w = container_of(job, struct row_write, job);
    return store_sandbox_insert(store, &w->row, &w->lifecycle, err);
}

static void on_inserted(struct write_job *job, const struct err *err)
{
    struct row_write *w = container_of(job, struct row_write, job);
    w->sb->lifecycle = w->lifecycle;
    row_write_done(w, err);
}

void sandbox_row_insert(struct sandbox *sb, moved_fn done)
{
    struct sandbox_row row = sandbox_row_of(sb);
    row_write_put(row_write_new(sb, &row, done, run_insert, on_inserted));
}

static int run_delete(struct store *store, struct write_job *job, struct err *err)
{
    struct row_write *w = container_of(job, struct row_write, job);
    int r = store_begin(store, err);
    if (r < 0)
        return r;
    r = store_sandbox_delete(store, w->row.id, err);
    if (r > 0) /* one end is told once */
        r = store_event_add(store, w->events, w->n_events, err);
    return store_finish(store, r, err);
}

static void on_deleted(struct write_job *job, const struct err *err)
{
    row_write_done(container_of(job, struct row_write, job), err);
}

void sandbox_row_delete(struct sandbox *sb, moved_fn done)
{
    struct sandbox_row row = sandbox_row_of(sb);
    struct row_write *w = row_write_new(sb, &row, done, run_delete, on_deleted);
    w->n_events = events_of_end(sb, w->events);
    row_write_put(w);
}

static int run_move(struct store *store, struct write_job *job, struct err *err)
{
    struct row_write *w = container_of(job, struct row_write, job);
    int r = store_begin(store, err);
    if (r < 0)
        return r;
    r = w->to == SANDBOX_RUNNING ? store_sandbox_set_started(store, &w->row, err)
                                 : store_sandbox_set_ending(store, &w->row, err);
    if (r == 0)
        r = store_event_add(store, w->events, w->n_events, err);
    return store_finish(store, r, err);
}

static void on_moved(struct write_job *job, const struct err *err)
{
    struct row_write *w = container_of(job, struct row_write, job);
    struct sandbox *sb = w->sb;
    sb->moving = -1;
    if (err != NULL && w->to == SANDBOX_KILLING) {
        manager_notice(sb->m, sb->id, "ending it although the move could not be written: %s",
                       err->msg);
        err = NULL;
    }
    if (err == NULL)
        sb->state = w->to;
    row_write_done(w, err);
}

void sandbox_set_state(struct sandbox *sb, enum sandbox_state to, moved_fn moved)
{
    assert(sb->moving < 0 && sandbox_move_legal(sb->state, to));
    struct sandbox_row row = sandbox_row_of(sb);
    row.state = sandbox_state_name(to);
    sb->moving = (int)to;
    struct row_write *w = row_write_new(sb, &row, moved, run_move, on_moved);
    if (to == SANDBOX_RUNNING)
        event_created(sb, &w->events[w->n_events++]);
    row_write_put(w);
}
