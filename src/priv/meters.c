/*
 * Looks at the limits of all sandboxes, about once a second each, and tells the daemon what they met.
 *
 * Memory and processes are counted by the kernel for each control group; what it counted while this
 * program was away is there when it comes back. A full disk is a state and no count: what is counted
 * is each time that it was found full after it had room again. These counts are kept in a small file,
 * DATA/run/sandboxes/<id>.full, so that totals never fall.
 *
 * One timer for all. A turn looks at no more than a few sandboxes, so that requests do not wait for
 * two thousand of them; the list is a ring, and the pause between turns is such that all have had
 * their turn in a second. Without sandboxes the timer stands still.
 *
 * A total that goes on rising is told every few seconds only: a sandbox in a fork storm must not
 * keep the daemon busy. The last total is told at the sandbox's end at the latest.
 */
#include "priv/meters.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "priv/helper.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

enum { LOOKS_PER_TURN = 16, FILE_NAME_BYTES = 32, LINES_PER_S = 5 };
#define ROUND_NS (1 * NS_PER_S)
#define QUIET_NS (5 * NS_PER_S)
#define DYING_NS (20 * NS_PER_S) /* from the kernel's decision to a process's end, on a busy host */

static const char *const kind_names[] = {
    [PRIV_EVENT_MEMORY] = "processes ended for want of memory",
    [PRIV_EVENT_PIDS] = "refused starts of a process",
    [PRIV_EVENT_DISK] = "times that its disk was full",
    [PRIV_EVENT_INODES] = "times that its disk had no room for another file",
};
static_assert(ARRAY_LEN(kind_names) == PRIV_EVENT_MAX_, "a kind has no name");

/* ---- the counts that are ours to keep ---- */

static void file_name(char dst[static FILE_NAME_BYTES], const char *id)
{
    (void)snprintf(dst, FILE_NAME_BYTES, "%s.full", id);
}

static void file_read(struct sandbox *s)
{
    char name[FILE_NAME_BYTES];
    _cleanup_buf_ struct buf text = BUF_INIT(METERS_FILE_MAX_BYTES);
    file_name(name, s->id);
    int r = fs_read_file(s->helper->state_fd, name, &text, NULL);
    if (r == 0)
        r = meters_file_parse(buf_slice(&text), &s->meters.totals[PRIV_EVENT_DISK],
                              &s->meters.totals[PRIV_EVENT_INODES]);
    if (r < 0 && r != -ENOENT)
        log_warning("sandbox %s: how often its disk was full is lost (%d)", s->id, r);
}

/* Best effort: what is lost with this program is a count of ours that was too small. */
static void file_write(const struct sandbox *s)
{
    char name[FILE_NAME_BYTES], text[METERS_FILE_MAX_BYTES];
    file_name(name, s->id);
    int n = snprintf(text, sizeof(text), "%u %u\n", s->meters.totals[PRIV_EVENT_DISK],
                     s->meters.totals[PRIV_EVENT_INODES]);
    _cleanup_close_ int fd = openat(s->helper->state_fd, name,
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)fs_write_all(fd, text, (size_t)n);
}

void meters_remove_file(struct helper *h, const char *id)
{
    char name[FILE_NAME_BYTES];
    file_name(name, id);
    (void)unlinkat(h->state_fd, name, 0);
}

/* ---- telling ---- */

static void event_of(const struct sandbox *s, unsigned kind, struct priv_event *ret)
{
    *ret = (struct priv_event){
        .head = {.op = PRIV_EVENT}, .kind = kind, .count = s->meters.totals[kind]};
    (void)snprintf(ret->id, sizeof(ret->id), "%s", s->id);
}

static void tell_all(struct sandbox *s, unsigned kind, uint64_t now)
{
    static struct log_rate rate;
    struct priv_event event;
    struct meters *m = &s->meters;
    if (log_allow(&rate, LINES_PER_S))
        log_info("sandbox %s: %u %s", s->id, m->totals[kind], kind_names[kind]);
    m->told[kind] = m->totals[kind];
    m->told_ns[kind] = now;
    event_of(s, kind, &event);
    server_broadcast(s->helper, &event, sizeof(event));
}

static void tell_rises(struct sandbox *s, bool at_once)
{
    const struct meters *m = &s->meters;
    uint64_t now = clock_monotonic_ns();
    for (unsigned k = PRIV_EVENT_MEMORY; k < PRIV_EVENT_MAX_; k++)
        if (m->totals[k] > m->told[k] &&
            (at_once || m->told_ns[k] == 0 || now - m->told_ns[k] >= QUIET_NS))
            tell_all(s, k, now);
}

bool meters_tell(struct client *c, const struct sandbox *s)
{
    uint64_t number = c->number;
    struct priv_event event;
    for (unsigned k = PRIV_EVENT_MEMORY; k < PRIV_EVENT_MAX_ && c->number == number; k++) {
        if (s->meters.totals[k] == 0)
            continue;
        event_of(s, k, &event);
        server_send(c, &event, sizeof(event));
    }
    return c->number == number;
}

/* ---- looking ---- */

static void look_at_counters(struct sandbox *s)
{
    static const enum priv_event_kind kinds[] = {
        [CGROUP_KILLS_FOR_MEMORY] = PRIV_EVENT_MEMORY,
        [CGROUP_REFUSED_FORKS] = PRIV_EVENT_PIDS,
    };
    uint64_t v;
    for (unsigned c = 0; c < CGROUP_COUNTERS; c++)
        if (cgroup_events_read(s->meters.fds[c], (enum cgroup_counter)c, &v) == 0)
            s->meters.totals[kinds[c]] = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/*
 * The file system that its process 1 sees as its root. If that process is there after its root was
 * opened by number, the number was its own. The descriptor is not kept: it would hold the disk.
 */
static int look_at_root(const struct sandbox *s, struct statfs *ret)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%d/root", (int)s->pid);
    _cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_pidfd_send_signal, s->pid_fd, 0, NULL, 0) < 0 || fstatfs(fd, ret) < 0)
        return -errno;
    return 0;
}

static bool note_room(struct meters *m, enum priv_event_kind kind, bool gone)
{
    bool rose = gone && !m->no_room[kind];
    m->no_room[kind] = gone;
    if (rose && m->totals[kind] < UINT32_MAX)
        m->totals[kind]++;
    return rose;
}

static void look_at_disk(struct sandbox *s)
{
    struct statfs fs = {0};
    struct meters *m = &s->meters;
    if (s->kind != PRIV_CONTAINER ||
        look_at_root(s, &fs) < 0) /* a guest's disk is its own to see */
        return;
    uint64_t block = (uint64_t)fs.f_bsize;
    struct room bytes = {.total = fs.f_blocks * block, .left = fs.f_bavail * block};
    struct room files = {.total = fs.f_files, .left = fs.f_ffree};
    bool rose = note_room(m, PRIV_EVENT_DISK, room_bytes_gone(bytes, m->no_room[PRIV_EVENT_DISK]));
    rose |= note_room(m, PRIV_EVENT_INODES, room_files_gone(files, m->no_room[PRIV_EVENT_INODES]));
    if (rose)
        file_write(s);
}

static void look_at_envd(struct meters *m)
{
    uint64_t kills;
    if (cgroup_events_read(m->envd_fd, CGROUP_KILLS_FOR_MEMORY, &kills) < 0)
        return;
    if (kills > m->envd_kills)
        m->envd_rose_ns = clock_monotonic_ns();
    m->envd_kills = kills;
}

bool meters_look_last(struct sandbox *s)
{
    const struct meters *m = &s->meters;
    look_at_envd(&s->meters);
    look_at_counters(s);
    tell_rises(s, true);
    return m->envd_rose_ns != 0 && clock_monotonic_ns() - m->envd_rose_ns < DYING_NS;
}

static void look(struct sandbox *s)
{
    look_at_envd(&s->meters);
    look_at_counters(s);
    look_at_disk(s);
    tell_rises(s, false);
}

/* ---- the timer ---- */

static void wind_up(struct helper *h)
{
    unsigned turns = (h->n_sandboxes + LOOKS_PER_TURN - 1) / LOOKS_PER_TURN;
    h->meters_armed = turns > 0;
    uint64_t pause = h->meters_armed ? ROUND_NS / turns : 0; /* 0 stops it */
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(pause / NS_PER_S), .tv_nsec = (long)(pause % NS_PER_S)}};
    (void)timerfd_settime(h->meters_fd, 0, &when, NULL); /* fails for no valid time */
}

static void on_turn(struct watch *w, uint32_t events)
{
    struct helper *h = container_of(w, struct helper, meters_watch);
    uint64_t expired;
    (void)events;
    (void)!read(h->meters_fd, &expired, sizeof(expired)); /* how often it rang is no matter */
    unsigned n = h->n_sandboxes < LOOKS_PER_TURN ? h->n_sandboxes : LOOKS_PER_TURN;
    for (unsigned i = 0; i < n; i++) {
        struct sandbox *s = container_of(h->sandboxes.next, struct sandbox, node);
        list_remove(&s->node);
        list_append(&h->sandboxes, &s->node);
        if (s->life != LIFE_RUNNING)
            continue;
        look(s);
        log_pipe_turn(h, &s->log);
    }
    wind_up(h);
}

int meters_open(struct helper *h, struct err *err)
{
    h->meters_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    h->meters_watch.on_event = on_turn;
    int r = h->meters_fd < 0 ? -errno : helper_watch(h, h->meters_fd, &h->meters_watch);
    return r < 0 ? err_sys(err, r, "make the timer of meters") : 0;
}

void meters_close(struct helper *h)
{
    h->meters_fd = fd_close(h->meters_fd);
}

void meters_init(struct meters *m)
{
    *m = (struct meters){.envd_fd = -EBADF};
    for (unsigned i = 0; i < CGROUP_COUNTERS; i++)
        m->fds[i] = -EBADF;
}

void meters_watch(struct sandbox *s)
{
    struct helper *h = s->helper;
    int envd[CGROUP_COUNTERS];
    cgroup_events_open(&h->cgroups, s->id, CGROUP_LEAF_USER, s->meters.fds);
    cgroup_events_open(&h->cgroups, s->id, CGROUP_LEAF_ENVD, envd);
    s->meters.envd_fd = take_fd(&envd[CGROUP_KILLS_FOR_MEMORY]);
    envd[CGROUP_REFUSED_FORKS] = fd_close(envd[CGROUP_REFUSED_FORKS]);
    file_read(s);
    (void)cgroup_events_read(s->meters.envd_fd, CGROUP_KILLS_FOR_MEMORY, &s->meters.envd_kills);
    look_at_counters(s); /* what an adopted one has met meanwhile is told to whoever says hello */
    if (!h->meters_armed)
        wind_up(h);
}

void meters_unwatch(struct sandbox *s)
{
    for (unsigned i = 0; i < CGROUP_COUNTERS; i++)
        s->meters.fds[i] = fd_close(s->meters.fds[i]);
    s->meters.envd_fd = fd_close(s->meters.envd_fd);
}
