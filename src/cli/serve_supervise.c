/*
 * The supervising loop: signals, children, restarts with backoff, readiness, and the two ways to stop.
 *
 * States: starting (until GET /health answers; a child that ends then ends everything) -> running
 * (a child that ends is started again) -> stopping. Stopping by SIGINT tells silicad first, which
 * ends every sandbox through silica-priv, and silica-priv after silicad is gone; a silicad that was
 * down is started once more for that. Stopping by SIGTERM ends all and leaves sandboxes alone.
 */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/log.h"

#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>

enum {
    READY_TIMEOUT_MS = 120000, /* adoption of many sandboxes included */
    BACKOFF_FIRST_MS = 200,
    BACKOFF_MAX_MS = CRASH_POINTS_BUILT ? 400 : 10000, /* a test kills it a hundred times */
    BACKOFF_FORGET_MS = 60000, /* a child that ran this long starts at the first wait again */
    STOP_DAEMON_MS = 90000,    /* silicad, ending all sandboxes */
    STOP_RETRIES = 2,          /* how often it is started again for that */
    STOP_PRIV_MS = 15000,
    STOP_DNS_MS = 5000,
    PROBE_PAUSE_MS = 50,
};

enum { PRIV, DAEMON, DNS, N_CHILDREN };

struct supervisor {
    const struct serve_settings *s;
    struct child children[N_CHILDREN];
    struct probe probe;
    int signal_fd;
    uint64_t probe_at_ns, ready_by_ns;
    bool ready;
    int stop_signal; /* 0 while running */
    void (*on_ready)(void *user);
    void *user;
    char socket[PATH_MAX], envd[PATH_MAX], number[16], uid[16], dns_uid[16];
};

static void child_init(struct child *c, const char *name, int end_signal)
{
    c->name = name;
    c->pid_fd = -EBADF;
    c->end_signal = end_signal;
    c->backoff_ms = BACKOFF_FIRST_MS;
}

static int describe_priv(struct supervisor *v, struct err *err)
{
    struct child *c = &v->children[PRIV];
    const char *const argv[] = {
        "silica-priv", "--data",        v->s->data,
        "--templates", v->s->templates, "--socket",
        v->socket,     "--client-uid",  v->uid,
        "--instance",  v->number,       "--envd",
        v->envd,       "--kvm",         strcmp(v->s->accelerator, "kvm") == 0 ? "1" : "0"};
    child_init(c, argv[0], SIGTERM);
    memcpy(c->argv, argv, sizeof(argv));
    return program_find(argv[0], c->path, err);
}

static int describe_daemon(struct supervisor *v, int listen_fd, struct err *err)
{
    struct child *c = &v->children[DAEMON];
    const char *const argv[] = {"silicad",
                                "--data",
                                v->s->data,
                                "--templates",
                                v->s->templates,
                                "--priv-socket",
                                v->socket,
                                "--listen-fd",
                                "3",
                                "--uid",
                                v->uid,
                                "--domain",
                                v->s->domain,
                                "--driver",
                                v->s->driver,
                                "--driver-reason",
                                v->s->driver_reason,
                                "--accelerator",
                                v->s->accelerator};
    child_init(c, argv[0], SIGTERM);
    c->pass_fds[c->n_pass++] = listen_fd;
    memcpy(c->argv, argv, sizeof(argv));
    if (v->s->config[0] != '\0') {
        c->argv[ARRAY_LEN(argv)] = "--config";
        c->argv[ARRAY_LEN(argv) + 1] = v->s->config;
    }
    return program_find(argv[0], c->path, err);
}

static int describe_dns(struct supervisor *v, const struct serve_dns *d, struct err *err)
{
    struct child *c = &v->children[DNS];
    const char *const argv[] = {"silica-dns", "--instance", v->number,  "--uid", v->dns_uid,
                                "--udp-fd",   "3",          "--tcp-fd", "4"};
    child_init(c, argv[0], SIGTERM);
    memcpy(c->argv, argv, sizeof(argv));
    if (v->s->resolv_conf[0] != '\0') {
        c->argv[ARRAY_LEN(argv)] = "--resolv-conf";
        c->argv[ARRAY_LEN(argv) + 1] = v->s->resolv_conf;
    }
    c->pass_fds[c->n_pass++] = d->udp_fd;
    c->pass_fds[c->n_pass++] = d->tcp_fd;
    return program_find(argv[0], c->path, err);
}

static int describe(struct supervisor *v, const struct instance *i,
                    const struct serve_sockets *sockets, struct err *err)
{
    (void)snprintf(v->number, sizeof(v->number), "%u", i->number);
    (void)snprintf(v->uid, sizeof(v->uid), "%u", DAEMON_UID_BASE + i->number);
    (void)snprintf(v->dns_uid, sizeof(v->dns_uid), "%u", DNS_UID_BASE + i->number);
    if (fs_join(v->socket, sizeof(v->socket), v->s->data, "run/priv.sock") != 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    int r = program_find("silica-envd", v->envd, err);
    if (r == 0)
        r = describe_priv(v, err);
    if (r == 0)
        r = describe_dns(v, &sockets->dns, err);
    return r == 0 ? describe_daemon(v, sockets->listen_fd, err) : r;
}

static int open_signals(int *ret_fd, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, -errno, "block signals");
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret_fd >= 0 ? 0 : err_sys(err, -errno, "watch signals");
}

/* A signal that asks to stop: SIGINT, or SIGTERM (a hang-up counts as that); 0 when there is none. */
static int next_signal(const struct supervisor *v)
{
    struct signalfd_siginfo info;
    if (read(v->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return 0;
    return info.ssi_signo == SIGINT ? SIGINT : SIGTERM;
}

static void tell_end(const struct child *c, int status)
{
    if (status < 0)
        log_warning("%s was killed by signal %d", c->name, -status);
    else
        log_warning("%s ended with status %d", c->name, status);
}

/* A child has ended while it should run. */
static int on_lost(struct supervisor *v, struct child *c, int status, struct err *err)
{
    uint64_t now = clock_monotonic_ns();
    tell_end(c, status);
    if (!v->ready)
        return err_set(err, -ECHILD, ERR_INTERNAL, "%s does not start; its messages are above",
                       c->name);
    if ((now - c->started_ns) / NS_PER_MS > BACKOFF_FORGET_MS)
        c->backoff_ms = BACKOFF_FIRST_MS;
    if (status == 0) /* it asked for it: silica-dns, when its list of nameservers was replaced */
        c->backoff_ms = BACKOFF_FIRST_MS;
    log_info("starting %s again in %u ms", c->name, c->backoff_ms);
    c->restart_at_ns = now + c->backoff_ms * NS_PER_MS;
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    return 0;
}

static int check_children(struct supervisor *v, struct err *err)
{
    for (int i = 0; i < N_CHILDREN; i++) {
        struct child *c = &v->children[i];
        int status = 0;
        if (child_reap(c, &status) && on_lost(v, c, status, err) != 0)
            return -ECHILD;
        if (child_runs(c) || c->restart_at_ns == 0 || clock_monotonic_ns() < c->restart_at_ns)
            continue;
        struct err e = {0};
        if (child_start(c, &e) != 0) {
            log_error("%s", e.msg);
            (void)on_lost(v, c, 127, NULL);
        }
    }
    return 0;
}

static int check_ready(struct supervisor *v, struct err *err)
{
    uint64_t now = clock_monotonic_ns();
    if (v->ready)
        return 0;
    if (v->probe.fd < 0 && now >= v->probe_at_ns && probe_begin(&v->probe, v->s) != 0)
        v->probe_at_ns = now + PROBE_PAUSE_MS * NS_PER_MS;
    int r = v->probe.fd >= 0 ? probe_step(&v->probe) : 0;
    if (r < 0)
        v->probe_at_ns = now + PROBE_PAUSE_MS * NS_PER_MS;
    if (r == 1) {
        v->ready = true;
        v->on_ready(v->user);
    } else if (now > v->ready_by_ns) {
        return err_set(err, -ETIMEDOUT, ERR_TIMEOUT, "silicad does not answer after %d s",
                       READY_TIMEOUT_MS / 1000);
    }
    return 0;
}

static void wait_for_something(const struct supervisor *v, int wait_ms)
{
    struct pollfd fds[N_CHILDREN + 2] = {
        {.fd = v->signal_fd, .events = POLLIN},
        {.fd = v->probe.fd, .events = POLLIN}, /* negative ones are skipped */
    };
    for (int i = 0; i < N_CHILDREN; i++)
        fds[2 + i] = (struct pollfd){.fd = v->children[i].pid_fd, .events = POLLIN};
    (void)poll(fds, ARRAY_LEN(fds), wait_ms); /* whatever it was, the loop looks at everything */
}

static bool restart_is_due(const struct supervisor *v)
{
    bool due = false;
    for (int i = 0; i < N_CHILDREN; i++)
        due = due || v->children[i].restart_at_ns != 0;
    return due;
}

static int run(struct supervisor *v, struct err *err)
{
    int r = 0;
    v->ready_by_ns = clock_monotonic_ns() + READY_TIMEOUT_MS * NS_PER_MS;
    for (int i = 0; r == 0 && i < N_CHILDREN; i++)
        r = child_start(&v->children[i], err);
    while (r == 0 && v->stop_signal == 0) {
        wait_for_something(v, v->ready && !restart_is_due(v) ? 60000 : PROBE_PAUSE_MS);
        v->stop_signal = next_signal(v);
        r = check_children(v, err);
        if (r == 0)
            r = check_ready(v, err);
    }
    probe_end(&v->probe);
    return r;
}

/* Wait for the end of one child; SIGKILL when it takes too long. Returns its status. */
static int await_end(struct supervisor *v, struct child *c, uint64_t limit_ms)
{
    uint64_t begin = clock_monotonic_ns();
    bool killed = false;
    int status = 0;
    while (child_runs(c) && !child_reap(c, &status)) {
        wait_for_something(v, 100);
        (void)next_signal(v); /* we are stopping already */
        if (!killed && (clock_monotonic_ns() - begin) / NS_PER_MS > limit_ms) {
            log_error("%s does not end after %u s, killing it", c->name,
                      (unsigned)(limit_ms / 1000));
            child_signal(c, SIGKILL);
            killed = true;
        }
    }
    return status;
}

/* For ending all sandboxes these must run: true when one that was down had to be started. */
static bool revive(struct supervisor *v)
{
    static const int needed[] = {PRIV, DAEMON};
    bool revived = false;
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        struct child *c = &v->children[needed[i]];
        struct err e = {0};
        int status = 0;
        if (child_reap(c, &status))
            tell_end(c, status);
        if (child_runs(c))
            continue;
        revived = true;
        if (child_start(c, &e) != 0)
            log_error("%s", e.msg);
    }
    return revived;
}

/*
 * A daemon that has just been started does not know SIGINT yet and would die of it, sandboxes left
 * alone: wait until it answers, has ended, or takes too long.
 */
static void await_answer(struct supervisor *v)
{
    uint64_t limit_ns = clock_monotonic_ns() + READY_TIMEOUT_MS * NS_PER_MS;
    int r = 0, status = 0;
    while (r != 1 && child_runs(&v->children[DAEMON]) && clock_monotonic_ns() < limit_ns) {
        if (child_reap(&v->children[DAEMON], &status)) {
            tell_end(&v->children[DAEMON], status);
            break;
        }
        if (v->probe.fd < 0)
            (void)probe_begin(&v->probe, v->s); /* a failed one is begun again */
        wait_for_something(v, PROBE_PAUSE_MS);
        (void)next_signal(v); /* we are stopping already */
        r = v->probe.fd >= 0 ? probe_step(&v->probe) : 0;
    }
    probe_end(&v->probe);
}

/*
 * End silicad; returns its status. One that dies instead of ending its sandboxes, perhaps of what
 * came just before the signal, is started again for that as long as there is time.
 */
static int end_daemon(struct supervisor *v, bool end_all)
{
    struct child *c = &v->children[DAEMON];
    uint64_t end_ns = clock_monotonic_ns() + STOP_DAEMON_MS * NS_PER_MS, now;
    int status;
    for (unsigned tries = 0;; tries++) {
        if (end_all && (revive(v) || !v->ready))
            await_answer(v);
        now = clock_monotonic_ns();
        child_signal(c, end_all ? SIGINT : SIGTERM);
        status = await_end(v, c, now < end_ns ? (end_ns - now) / NS_PER_MS : 0);
        if (!end_all || status == 0 || tries == STOP_RETRIES || clock_monotonic_ns() >= end_ns)
            return status;
        tell_end(c, status);
    }
}

static int stop(struct supervisor *v, struct err *err)
{
    bool end_all = v->stop_signal == SIGINT;
    int status = end_daemon(v, end_all);
    child_signal(&v->children[PRIV], SIGTERM);
    child_signal(&v->children[DNS], SIGTERM);
    (void)await_end(v, &v->children[PRIV], STOP_PRIV_MS);
    (void)await_end(v, &v->children[DNS], STOP_DNS_MS);
    if (end_all && status != 0)
        return err_set(err, -EIO, ERR_INTERNAL,
                       "silicad did not end in order; sandboxes may live on until the next start");
    return 0;
}

int supervise(const struct serve_settings *s, const struct instance *i,
              const struct serve_sockets *sockets, void (*on_ready)(void *user), void *user,
              struct err *err)
{
    struct supervisor v = {
        .s = s, .probe = {-EBADF}, .signal_fd = -EBADF, .on_ready = on_ready, .user = user};
    int r = describe(&v, i, sockets, err);
    if (r == 0)
        r = open_signals(&v.signal_fd, err);
    if (r == 0) {
        r = run(&v, err);
        if (r != 0)
            v.stop_signal = SIGTERM;
        struct err e = {0};
        if (stop(&v, &e) != 0 && r == 0) {
            r = e.num;
            if (err != NULL)
                *err = e;
        }
    }
    v.signal_fd = fd_close(v.signal_fd);
    return r;
}
