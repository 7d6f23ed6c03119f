/* One process: start, output to subscribers, the rule of the end (see the header). */
#include "envd/process.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "envd/inlet.h"
#include "envd/outlet.h"
#include "envd/process_internal.h"
#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

/* How much is read at most from a killed process's pipes: what can be in them, twice. */
enum { CUT_DRAIN_PIECES = 2 * (1 << 20) / PROCESS_READ_BYTES };

static void process_finish(struct process *p);

/* ---- interest ---- */

bool process_wants_output(const struct process *p)
{
    return !p->finished && p->n_blocked == 0;
}

static void update_interest(struct process *p)
{
    bool want = process_wants_output(p);
    outlet_watch(p->out, want);
    outlet_watch(p->err, want);
}

/* ---- output ---- */

/* {"event":{"data":{<name>:"<base64>"}}}. Valid until the next call. */
static struct slice data_event(const char *name, struct slice data)
{
    enum { EVENT_MAX = PROCESS_READ_BYTES * 4 / 3 + 256 };
    static struct buf event = {.max = EVENT_MAX}; /* loop thread only; grows once */
    struct json_writer w;
    buf_clear(&event);
    jw_init(&w, &event);
    jw_obj(&w);
    jw_key(&w, "event");
    jw_obj(&w);
    jw_key(&w, "data");
    jw_obj(&w);
    jw_key(&w, name);
    jw_base64(&w, data);
    jw_end(&w);
    jw_end(&w);
    jw_end(&w);
    if (event.error != 0)
        abort(); /* no memory for the one buffer: as xnew() */
    return buf_slice(&event);
}

void process_on_output(struct process *p, struct outlet *o, struct slice data)
{
    p->heard = true;
    if (list_empty(&p->subscribers))
        return;
    struct slice event = data_event(o->name, data);
    list_for_each_safe(it, next, &p->subscribers)
    {
        struct subscriber *s = container_of(it, struct subscriber, link);
        if (s->on_data(s, event) == -EAGAIN && !s->blocked) {
            s->blocked = true;
            p->n_blocked++;
        }
    }
}

void process_on_outlet_end(struct process *p, struct outlet *o)
{
    if (p->out == o)
        p->out = NULL;
    else
        p->err = NULL;
    outlet_close(o);
}

static void on_grace(uv_timer_t *t)
{
    process_finish(container_of(t, struct process, grace));
}

/* Reads what is in the pipes now; true when they are empty or too full to go on with. */
static bool drain_now(struct process *p)
{
    for (int i = 0; i < CUT_DRAIN_PIECES; i++) {
        bool more = false;
        struct outlet *both[] = {p->out, p->err};
        for (size_t k = 0; k < ARRAY_LEN(both); k++) {
            if (both[k] == NULL)
                continue;
            if (!process_wants_output(p))
                return false;
            int r = outlet_read(both[k]);
            if (r == OUTLET_END)
                process_on_outlet_end(p, both[k]);
            more |= r == OUTLET_MORE;
        }
        if (!more)
            break;
    }
    return true;
}

/* The rule of the end, applied after every change. */
static void check_end(struct process *p)
{
    if (!p->exited || p->finished)
        return;
    uint64_t since = uv_now(p->t->loop) - p->exited_ms;
    if (p->out == NULL && p->err == NULL) {
        process_finish(p);
    } else if (!process_wants_output(p) && !p->cut) {
        (void)uv_timer_stop(&p->grace); /* not silence: we do not listen */
    } else if (!process_wants_output(p) && since < PROCESS_CUT_WAIT_MS) {
        (void)uv_timer_start(&p->grace, on_grace, PROCESS_CUT_WAIT_MS - since, 0);
    } else if (!process_wants_output(p)) {
        process_finish(p);
    } else if (p->cut ? drain_now(p) : since >= PROCESS_DRAIN_MAX_MS) {
        process_finish(p);
    } else if (!p->finished && process_wants_output(p) &&
               (p->heard || !uv_is_active((uv_handle_t *)&p->grace))) {
        (void)uv_timer_start(&p->grace, on_grace, PROCESS_GRACE_MS, 0);
    }
    p->heard = false;
}

void process_after_read(struct process *p)
{
    update_interest(p);
    check_end(p);
}

/* ---- subscribers ---- */

int process_subscribe(struct process *p, struct subscriber *s)
{
    if (p->n_subscribers >= PROCESS_SUBSCRIBERS_MAX)
        return -ENOBUFS;
    p->n_subscribers++;
    s->p = p;
    s->blocked = false;
    list_append(&p->subscribers, &s->link);
    return 0;
}

static void detach(struct subscriber *s)
{
    list_remove(&s->link);
    s->p->n_subscribers--;
    if (s->blocked)
        s->p->n_blocked--;
    s->blocked = false;
    s->p = NULL;
}

void process_unsubscribe(struct subscriber *s)
{
    struct process *p = s->p;
    if (p == NULL)
        return;
    detach(s);
    process_after_read(p);
}

void process_unblock(struct subscriber *s)
{
    struct process *p = s->p;
    if (p == NULL || !s->blocked)
        return;
    s->blocked = false;
    p->n_blocked--;
    process_after_read(p);
}

/* ---- the end ---- */

static void on_handle_closed(uv_handle_t *h)
{
    struct process *p = h->data;
    if (--p->open_handles > 0)
        return;
    (void)fd_close(p->pidfd);
    free(p->tag);
    free(p->cwd);
    json_decref(p->config);
    free(p);
}

static void close_handles(struct process *p)
{
    p->open_handles = 2;
    p->grace.data = p->kill_timer.data = p;
    uv_close((uv_handle_t *)&p->grace, on_handle_closed);
    uv_close((uv_handle_t *)&p->kill_timer, on_handle_closed);
}

static void process_finish(struct process *p)
{
    struct exit_status status;
    if (p->finished)
        return;
    p->finished = true;
    exit_status_read(p->wait_status, &status);
    if (status.code != 0 && !p->cut) /* of what we killed ourselves we know why */
        limits_explain(p->t->limits, &p->before, p->cwd, status.reason);
    process_table_end(p, &status); /* before anybody hears of the end */
    inlet_fail(&p->in);
    if (p->out != NULL)
        outlet_orphan(p->out);
    if (p->err != NULL)
        outlet_orphan(p->err);
    p->out = p->err = NULL;
    while (!list_empty(&p->subscribers)) {
        struct subscriber *s = container_of(p->subscribers.next, struct subscriber, link);
        detach(s);
        s->on_end(s, &status);
    }
    close_handles(p);
}

void process_on_exit(struct process *p, int wait_status)
{
    p->exited = true;
    p->wait_status = wait_status;
    p->exited_ms = uv_now(p->t->loop);
    (void)uv_timer_stop(&p->kill_timer);
    inlet_fail(&p->in);
    check_end(p);
}

int process_signal(struct process *p, int sig)
{
    if (p->exited)
        return -ESRCH;
    if (pidfd_send_signal(p->pidfd, sig, NULL, 0) < 0)
        return -errno;
    p->cut = true;
    return 0;
}

static void on_kill_timer(uv_timer_t *t)
{
    (void)process_signal(container_of(t, struct process, kill_timer), SIGKILL);
}

/* ---- start ---- */

struct stdio_fds {
    int child[3], ours[3]; /* ours[0] is the writing end of stdin or -EBADF */
};

static void stdio_done(struct stdio_fds *f)
{
    for (int i = 0; i < 3; i++) {
        f->child[i] = fd_close(f->child[i]);
        f->ours[i] = fd_close(f->ours[i]);
    }
}

/* A pipe that belongs to the user, so that opening /dev/stdout works for him. */
static int open_pipe(const struct user *user, int *ret_read, int *ret_write)
{
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    (void)!fchown(fd[0], user->uid, user->gid); /* without it only that opening fails */
    *ret_read = fd[0];
    *ret_write = fd[1];
    return 0;
}

static int stdio_open(struct stdio_fds *f, const struct user *user, bool with_stdin)
{
    int r = 0;
    if (with_stdin) {
        r = open_pipe(user, &f->child[0], &f->ours[0]);
    } else {
        f->child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (f->child[0] < 0)
            r = -errno;
    }
    if (r == 0)
        r = open_pipe(user, &f->ours[1], &f->child[1]);
    if (r == 0)
        r = open_pipe(user, &f->ours[2], &f->child[2]);
    return r;
}

/* Give our ends to their handles; each takes its descriptor over. */
static int attach_stdio(struct process *p, struct stdio_fds *f)
{
    int r = 0;
    if (f->ours[0] >= 0)
        r = inlet_open(&p->in, p->t->loop, take_fd(&f->ours[0]));
    if (r == 0)
        r = outlet_new(p, p->t, "stdout", take_fd(&f->ours[1]), &p->out);
    if (r == 0)
        r = outlet_new(p, p->t, "stderr", take_fd(&f->ours[2]), &p->err);
    return r;
}

static struct process *process_new(struct process_table *t, json_t *config, const char *tag,
                                   const char *cwd)
{
    struct process *p = xnew(struct process);
    p->t = t;
    p->pidfd = -EBADF;
    p->config = json_incref(config);
    list_init(&p->link);
    list_init(&p->subscribers);
    inlet_init(&p->in, &t->stdin_bytes);
    (void)uv_timer_init(t->loop, &p->grace);
    (void)uv_timer_init(t->loop, &p->kill_timer);
    if ((tag != NULL && (p->tag = strdup(tag)) == NULL) || (p->cwd = strdup(cwd)) == NULL)
        abort(); /* short strings of bounded size */
    limits_count(t->limits, &p->before);
    return p;
}

/* A process that never ran. */
static void process_discard(struct process *p)
{
    p->finished = true;
    inlet_fail(&p->in);
    outlet_close(p->out);
    outlet_close(p->err);
    close_handles(p);
}

int process_start(struct process_table *t, const struct spawn_opts *spawn, bool with_stdin,
                  json_t *config, const char *tag, uint64_t timeout_ms, struct process **ret,
                  struct err *err)
{
    struct stdio_fds fds = {{-EBADF, -EBADF, -EBADF}, {-EBADF, -EBADF, -EBADF}};
    struct spawn_opts opts = *spawn;
    if (t->n_live >= PROCESSES_MAX)
        return err_set(err, -EAGAIN, ERR_LIMIT, "more than %d processes", PROCESSES_MAX);
    int r = stdio_open(&fds, spawn->user, with_stdin);
    if (r < 0) {
        stdio_done(&fds);
        return err_sys(err, r, "make pipes");
    }
    struct process *p = process_new(t, config, tag, spawn->cwd);
    r = attach_stdio(p, &fds);
    if (r < 0) {
        (void)err_sys(err, r, "watch pipes");
    } else {
        memcpy(opts.stdio, fds.child, sizeof(opts.stdio));
        r = spawn_child(&opts, &p->pid, &p->pidfd, err);
    }
    stdio_done(&fds);
    if (r < 0) {
        process_discard(p);
        return r;
    }
    process_table_add(p);
    if (timeout_ms != 0)
        (void)uv_timer_start(&p->kill_timer, on_kill_timer, timeout_ms, 0);
    update_interest(p);
    *ret = p;
    return 0;
}

int process_write(struct process *p, struct slice data, void (*done)(void *user, int result),
                  void *user)
{
    return inlet_write(&p->in, data, done, user);
}

void process_close_stdin(struct process *p)
{
    inlet_finish(&p->in);
}

struct process *process_of_link(struct list *link)
{
    return container_of(link, struct process, link);
}

int process_pid(const struct process *p)
{
    return p->pid;
}

const char *process_tag(const struct process *p)
{
    return p->tag;
}

json_t *process_config(const struct process *p)
{
    return p->config;
}
