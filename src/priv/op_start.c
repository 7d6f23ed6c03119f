/*
 * PRIV_START: make a sandbox and start silica-envd in it.
 *
 * Permitted when there is no sandbox of that id in any state. Ids and secret were checked by
 * request.c, the limits are checked here.
 * The parts are made in the order of enum sandbox_part; a failure undoes what was made. This blocks
 * the helper for the few milliseconds that the kernel needs: the wait for the child is bounded.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"
#include "base/log.h"
#include "jail/cgroup_events.h"
#include "net/sandbox_net.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FIRST_CGROUP_FD = 5, /* 0 /dev/null, 1 and 2 log, 3 JSON, 4 listening socket */
    TOLD_MAX_BYTES = 1024,
    USAGE_FDS = 2, /* of usage_fds; behind them the counters, and what envd itself uses */
    OWN_MEMORY = USAGE_FDS + CGROUP_COUNTERS,
    FILE_TEXT_BYTES = 256,
};

/* Descriptors and facts that live as long as the start. */
struct start {
    const struct priv_start *q;
    struct helper *h;
    struct sandbox *s;
    int userns_fd, lower_fd, layer_fd, null_fd, told_fd, log_fd;
    struct sandbox_net net;
    int cgroup_fds[CGROUP_HIERARCHIES_MAX];
    unsigned n_cgroup_fds;
    int usage_fds[OWN_MEMORY + 1]; /* in the order of usage_members; or -EBADF */
    struct jail jail;
};

static void start_done(struct start *t)
{
    t->userns_fd = fd_close(t->userns_fd);
    t->lower_fd = fd_close(t->lower_fd);
    t->layer_fd = fd_close(t->layer_fd);
    t->null_fd = fd_close(t->null_fd);
    t->told_fd = fd_close(t->told_fd);
    t->log_fd = fd_close(t->log_fd);
    sandbox_net_close(&t->net);
    for (unsigned i = 0; i < t->n_cgroup_fds; i++)
        t->cgroup_fds[i] = fd_close(t->cgroup_fds[i]);
    for (unsigned i = 0; i < ARRAY_LEN(t->usage_fds); i++)
        t->usage_fds[i] = fd_close(t->usage_fds[i]);
    jail_close(&t->jail);
}

static int check_limits(const struct priv_start *q, struct err *err)
{
    if (q->memory_bytes < PRIV_MEMORY_MIN_BYTES || q->memory_bytes > PRIV_MEMORY_MAX_BYTES)
        return err_set(err, -EINVAL, ERR_INVALID, "memory must be 16 MiB to 4 TiB");
    if (q->cpu_millis < PRIV_CPU_MILLIS_MIN || q->cpu_millis > PRIV_CPU_MILLIS_MAX)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "CPU must be 10 to 1024000 thousandths of a core");
    if (q->pids < PRIV_PIDS_MIN || q->pids > PRIV_PIDS_MAX)
        return err_set(err, -EINVAL, ERR_INVALID, "the process limit must be 8 to 1048576");
    if (q->disk_bytes < PRIV_DISK_MIN_BYTES || q->disk_bytes > PRIV_DISK_MAX_BYTES)
        return err_set(err, -EINVAL, ERR_INVALID, "the disk must be 16 MiB to 16 TiB");
    if (q->network_rate != 0 &&
        (q->network_rate < PRIV_RATE_MIN_BYTES || q->network_rate > PRIV_RATE_MAX_BYTES))
        return err_set(err, -EINVAL, ERR_INVALID,
                       "the network rate must be 1 KiB to 64 GiB a second, or 0 for none");
    return 0;
}

/* Its disk; the ids in it are shifted as those of the template. */
static int make_files(struct start *t, struct err *err)
{
    CRASH_POINT("priv.container.claimed");
    int r = files_make(t->s, t->q->disk_bytes, &t->layer_fd, err);
    CRASH_POINT("priv.container.disk");
    return r == 0 ? jail_layer_shift(t->layer_fd, t->userns_fd, err) : r;
}

static int open_template(struct start *t, struct err *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/rootfs", t->q->template_id);
    struct stat st;
    _cleanup_close_ int dir =
        fs_open_in_root(t->h->templates_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (dir < 0)
        return err_sys(err, dir, "open the template '%s'", t->q->template_id);
    if (fstat(dir, &st) < 0 || st.st_uid != 0)
        return err_set(err, -EPERM, ERR_DENIED, "the template '%s' does not belong to root",
                       t->q->template_id);
    return jail_layer_open(dir, t->userns_fd, &t->lower_fd, err);
}

static int make_log(struct start *t, struct err *err)
{
    CRASH_POINT("priv.container.shifted");
    int r = log_pipe_make(t->h, t->s->id, err);
    if (r < 0)
        return r;
    t->s->parts |= PART_LOG;
    r = log_pipe_watch(t->h, &t->s->log, t->s->id, "envd", err);
    return r == 0 ? log_pipe_end(t->h, t->s->id, O_RDWR, &t->log_fd, err) : r;
}

static int make_groups(struct start *t, struct err *err)
{
    struct cgroup_limits limits = {
        .memory_bytes = t->q->memory_bytes, .cpu_millis = t->q->cpu_millis, .pids = t->q->pids};
    CRASH_POINT("priv.container.log");
    int r = cgroup_make(&t->h->cgroups, t->s->id, &limits, err);
    CRASH_POINT("priv.container.groups");
    if (r < 0)
        return r;
    t->s->parts |= PART_CGROUPS;
    cgroup_usage_fds(&t->h->cgroups, t->s->id, t->usage_fds);
    cgroup_events_open(&t->h->cgroups, t->s->id, CGROUP_LEAF_USER, t->usage_fds + USAGE_FDS);
    t->usage_fds[OWN_MEMORY] = cgroup_stat_open(&t->h->cgroups, t->s->id, CGROUP_LEAF_ENVD);
    return cgroup_user_fds(&t->h->cgroups, t->s->id, t->cgroup_fds, &t->n_cgroup_fds, err);
}

static int make_network(struct start *t, struct err *err)
{
    const struct net_policy policy = {.internet = t->q->internet != 0, .rate = t->q->network_rate};
    int r = sandbox_net_make(t->h->rtnl, &t->s->slot, &policy, &t->net, err);
    CRASH_POINT("priv.container.link");
    if (r == 0)
        t->s->parts |= PART_LINK;
    return r;
}

static const char *const usage_members[] = {
    "memoryUsageFd",
    "cpuUsageFd",
    [USAGE_FDS + CGROUP_KILLS_FOR_MEMORY] = "memoryEventsFd",
    [USAGE_FDS + CGROUP_REFUSED_FORKS] = "pidsEventsFd",
    [OWN_MEMORY] = "ownMemoryFd",
};

/* docs/design/0001: one JSON object in a pipe that it reads to its end. */
static int tell_envd(struct start *t, struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(TOLD_MAX_BYTES);
    (void)buf_printf(&text,
                     "{\"sandboxId\":\"%s\",\"templateId\":\"%s\",\"controlSecret\":\"%s\","
                     "\"listenFd\":4,\"port\":%d,\"cgroupFds\":[",
                     t->s->id, t->q->template_id, t->q->control_secret, (int)ENVD_PORT);
    for (unsigned i = 0; i < t->n_cgroup_fds; i++)
        (void)buf_printf(&text, "%s%u", i > 0 ? "," : "", FIRST_CGROUP_FD + i);
    (void)buf_printf(&text,
                     "],\"memoryBytes\":%llu,\"cpuMillis\":%u,\"diskBytes\":%llu,\"pids\":%u",
                     (unsigned long long)t->q->memory_bytes, t->q->cpu_millis,
                     (unsigned long long)t->q->disk_bytes, t->q->pids);
    unsigned next = FIRST_CGROUP_FD + t->n_cgroup_fds;
    for (unsigned i = 0; i < ARRAY_LEN(t->usage_fds); i++)
        if (t->usage_fds[i] >= 0)
            (void)buf_printf(&text, ",\"%s\":%u", usage_members[i], next++);
    (void)buf_put_str(&text, "}\n");
    int fds[2], r = text.error;
    if (r == 0 && pipe2(fds, O_CLOEXEC) < 0)
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "make envd's configuration");
    t->told_fd = fds[0];
    r = fs_write_all(fds[1], text.p, text.n); /* fits into an empty pipe */
    (void)fd_close(fds[1]);
    return r < 0 ? err_sys(err, r, "pass envd's configuration") : 0;
}

static void etc_files(const struct start *t, char hosts[static FILE_TEXT_BYTES],
                      char resolv[static FILE_TEXT_BYTES])
{
    char gateway[ADDR_TEXT_BYTES];
    (void)snprintf(hosts, FILE_TEXT_BYTES,
                   "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tip6-localhost ip6-loopback\n",
                   t->s->id);
    (void)snprintf(resolv, FILE_TEXT_BYTES, "nameserver %s\n",
                   net_addr_text(SANDBOX_GATEWAY, gateway));
}

static int spawn(struct start *t, struct err *err)
{
    char hosts[FILE_TEXT_BYTES], resolv[FILE_TEXT_BYTES];
    struct helper *h = t->h;
    etc_files(t, hosts, resolv);
    t->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (t->null_fd < 0)
        return err_sys(err, -errno, "open /dev/null");
    struct jail_spec spec = {
        .hostname = t->s->id,
        .stage = h->stage,
        .userns_fd = t->userns_fd,
        .netns_fd = t->net.netns_fd,
        .uid_base = t->s->slot.uid_base,
        .lower_fd = t->lower_fd,
        .layer_fd = t->layer_fd,
        .exec_fd = h->envd_fd,
        .argv0 = "silica-envd",
        .fds = {t->null_fd, t->log_fd, t->log_fd, t->told_fd, t->net.listen_fd},
        .n_fds = FIRST_CGROUP_FD,
        .hosts = hosts,
        .resolv_conf = resolv,
        .filters = &h->filters};
    for (unsigned i = 0; i < t->n_cgroup_fds; i++)
        spec.fds[spec.n_fds++] = t->cgroup_fds[i];
    for (unsigned i = 0; i < ARRAY_LEN(t->usage_fds); i++)
        if (t->usage_fds[i] >= 0)
            spec.fds[spec.n_fds++] = t->usage_fds[i];
    CRASH_POINT("priv.container.told");
    int r = jail_spawn(&spec, &t->jail, err);
    CRASH_POINT("priv.container.spawned");
    if (r < 0)
        return r;
    t->s->parts |= PART_PROCESS;
    t->s->pid = t->jail.pid;
    t->s->pid_fd = take_fd(&t->jail.pid_fd);
    t->s->pid_start = process_start_time(t->s->pid);
    return sandbox_release(t->s, &t->jail, CGROUP_LEAF_ENVD, err);
}

static int make_all(struct start *t, struct err *err)
{
    int (*const steps[])(struct start *, struct err *) = {
        open_template, make_files, make_log, make_groups, make_network, tell_envd, spawn,
    };
    int r = jail_userns_make(t->s->slot.uid_base, &t->userns_fd, err);
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(steps); i++)
        r = steps[i](t, err);
    return r;
}

/* Parts that only a container has live as long as its start. */
static int start_container(struct helper *h, const struct priv_start *q, struct sandbox *s,
                           struct err *err)
{
    struct start t = {.q = q, .h = h, .s = s};
    t.userns_fd = t.lower_fd = t.layer_fd = t.null_fd = t.told_fd = t.log_fd = -EBADF;
    t.net.netns_fd = t.net.listen_fd = t.net.tap_fd = -EBADF;
    for (unsigned i = 0; i < ARRAY_LEN(t.usage_fds); i++)
        t.usage_fds[i] = -EBADF;
    t.jail = (struct jail){.pid_fd = -EBADF, .go_fd = -EBADF, .report_fd = -EBADF};
    int r = make_all(&t, err);
    start_done(&t);
    return r;
}

static int start(struct client *c, const struct priv_start *q, struct priv_instance *ret,
                 struct err *err)
{
    struct helper *h = c->helper;
    struct net_slot slot;
    if (sandbox_find(h, q->id) != NULL)
        return err_set(err, -EEXIST, ERR_CONFLICT, "there is a sandbox %s", q->id);
    int r = check_limits(q, err);
    if (r == 0)
        r = slot_claim(h, &slot, err);
    if (r < 0)
        return r;
    struct sandbox *s = sandbox_new(h, q->id);
    s->slot = slot;
    s->kind = q->kind;
    r = (q->kind == PRIV_CONTAINER ? start_container : machine_start)(h, q, s, err);
    if (r == 0)
        r = sandbox_watch(s, err);
    CRASH_POINT("priv.start.watched");
    if (r < 0) {
        sandbox_abort(s);
        return r;
    }
    sandbox_instance(s, ret);
    return 0;
}

bool op_start(struct client *c, const void *packet)
{
    const struct priv_start *q = packet;
    struct priv_instance inst = {0};
    struct err err;
    if (start(c, q, &inst, &err) < 0) {
        log_error("sandbox %s: not started: %s", q->id, err.msg);
        server_reply(c, q->head.seq, &err, NULL);
    } else {
        log_info("sandbox %s: started in slot %u", q->id, inst.slot);
        server_reply(c, q->head.seq, NULL, &inst);
    }
    CRASH_POINT("priv.start.told");
    return true;
}
