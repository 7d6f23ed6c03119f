/*
 * The live processes, the retained exits, and reaping.
 *
 * One waitpid loop serves the whole daemon: as PID 1 it inherits every orphan of the sandbox, and
 * an orphan's status is nobody's business. A pid in the live table that has not exited is always
 * our own child, because only this loop reaps.
 */
#include "envd/process_internal.h"

#include "base/cleanup.h"
#include "envd/outlet.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

void process_table_init(struct process_table *t, uv_loop_t *loop, const struct limits *limits)
{
    memset(t, 0, sizeof(*t));
    t->loop = loop;
    t->limits = limits;
    list_init(&t->live);
    list_init(&t->retained);
    list_init(&t->orphans);
}

static bool matches(const struct selector *s, int pid, const char *tag)
{
    return s->tag != NULL ? tag != NULL && strcmp(s->tag, tag) == 0 : s->pid == pid;
}

/* A running one before a draining one: the pid of the latter may have been given out again. */
struct process *process_find(const struct process_table *t, const struct selector *s)
{
    struct process *draining = NULL;
    list_for_each_safe(it, next, &t->live)
    {
        struct process *p = container_of(it, struct process, link);
        if (!matches(s, p->pid, p->tag))
            continue;
        if (!p->exited)
            return p;
        draining = p;
    }
    return draining;
}

static void forget_exit(struct process_table *t, struct exit_record *e)
{
    list_remove(&e->link);
    t->n_retained--;
    free(e->tag);
    free(e);
}

void process_forget_exits(struct process_table *t)
{
    list_for_each_safe(it, next, &t->retained)
        forget_exit(t, container_of(it, struct exit_record, link));
}

static void expire_exits(struct process_table *t)
{
    list_for_each_safe(it, next, &t->retained)
    {
        struct exit_record *e = container_of(it, struct exit_record, link);
        if (t->n_retained <= PROCESS_RETAINED_MAX &&
            uv_now(t->loop) - e->ended_ms <= PROCESS_RETAIN_MS)
            return; /* the rest is younger */
        forget_exit(t, e);
    }
}

const struct exit_record *process_find_exit(struct process_table *t, const struct selector *s)
{
    expire_exits(t);
    list_for_each_safe(it, next, &t->retained)
    {
        struct exit_record *e = container_of(it, struct exit_record, link);
        if (matches(s, e->pid, e->tag))
            return e;
    }
    return NULL;
}

/* A new process takes its pid and its tag away from those that ended. */
void process_table_add(struct process *p)
{
    struct process_table *t = p->t;
    list_for_each_safe(it, next, &t->retained)
    {
        struct exit_record *e = container_of(it, struct exit_record, link);
        if (e->pid == p->pid || (p->tag != NULL && e->tag != NULL && strcmp(e->tag, p->tag) == 0))
            forget_exit(t, e);
    }
    list_append(&t->live, &p->link);
    t->n_live++;
}

void process_table_end(struct process *p, const struct exit_status *status)
{
    struct process_table *t = p->t;
    struct exit_record *e = xnew(struct exit_record);
    list_remove(&p->link);
    t->n_live--;
    e->pid = p->pid;
    e->tag = take_ptr(&p->tag);
    e->status = *status;
    e->ended_ms = uv_now(t->loop);
    list_append(&t->retained, &e->link);
    t->n_retained++;
    expire_exits(t);
}

void process_reap(struct process_table *t)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
        struct selector s = {.pid = pid};
        struct process *p = pid > 0 ? process_find(t, &s) : NULL;
        if (p != NULL && !p->exited)
            process_on_exit(p, status);
    }
}
