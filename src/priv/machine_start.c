/*
 * PRIV_START of a machine. The steps are those of a container (op_start.c), with QEMU's files instead
 * of a root file system: the parts of enum sandbox_part are the same, and so is their undoing.
 *
 * QEMU's own memory and time are the sandbox's: it runs in the group with the limits. On top of the
 * guest's memory it gets a fixed amount for itself, and what the shared memory has of empty pages: the
 * first clone that writes to one pays for two, its own and the page of zeros that all have from then on.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"
#include "net/sandbox_net.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { VMM_PIDS = 128 };
#define VMM_MEMORY_BYTES (UINT64_C(192) << 20)

struct machine_start {
    const struct priv_start *q;
    struct helper *h;
    struct sandbox *s;
    struct machine_shape shape;
    struct machine_args args;
    bool boot;
    int fds
        [MACHINE_FD_END_]; /* by enum machine_fd; an open file is never shared with us or another machine */
    int null_fd, root_fd, log_fd;
    struct sandbox_net net;
    struct jail jail;
};

static void start_done(struct machine_start *t)
{
    for (unsigned i = 0; i < ARRAY_LEN(t->fds); i++)
        t->fds[i] = fd_close(t->fds[i]);
    t->null_fd = fd_close(t->null_fd);
    t->root_fd = fd_close(t->root_fd);
    t->log_fd = fd_close(t->log_fd);
    sandbox_net_close(&t->net);
    jail_close(&t->jail);
}

/* The image that was made of the template's root file system, with everything else that is fixed. */
static int open_base(struct machine_start *t, struct err *err)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof(path), "%s/rootfs.img", t->q->template_id);
    t->fds[MACHINE_FD_BASE] = fs_open_in_root(t->h->templates_fd, path, O_RDONLY | O_NOFOLLOW, 0);
    if (t->fds[MACHINE_FD_BASE] == -ENOENT)
        return err_set(err, -ENOENT, ERR_UNAVAILABLE,
                       "the template '%s' is not prepared for virtual machines: run `silica "
                       "template machine`",
                       t->q->template_id);
    if (t->fds[MACHINE_FD_BASE] < 0)
        return err_sys(err, t->fds[MACHINE_FD_BASE], "open the image of a template");
    if (fstat(t->fds[MACHINE_FD_BASE], &st) < 0 || st.st_uid != 0 || !S_ISREG(st.st_mode))
        return err_set(err, -EPERM, ERR_DENIED, "the image of '%s' is no file of root's",
                       t->q->template_id);
    return machine_shape_of(t->h, t->q, t->fds[MACHINE_FD_BASE], &t->shape, err);
}

static int make_folder(struct machine_start *t, struct err *err)
{
    int r = disks_room(&t->h->disks, err);
    if (r < 0)
        return r;
    if (mkdirat(t->h->sandboxes_fd, t->s->id, 0700) < 0)
        return err_sys(err, -errno, "make the folder of a sandbox");
    t->s->parts |= PART_FILES;
    CRASH_POINT("priv.machine.folder");
    return 0;
}

static int open_clone(struct machine_start *t, struct err *err)
{
    struct machine_snapshot snap = {.memory_fd = -EBADF, .devices_fd = -EBADF};
    int r = machine_snapshot_open(t->h, &t->shape, &snap, err);
    if (r < 0)
        return r;
    char path[40];
    t->fds[MACHINE_FD_DEVICES] = snap.devices_fd;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", snap.memory_fd);
    t->fds[MACHINE_FD_MEMORY] = open(path, O_RDONLY | O_CLOEXEC);
    if (t->fds[MACHINE_FD_MEMORY] < 0)
        return err_sys(err, -errno, "share the memory of a snapshot");
    CRASH_POINT("priv.machine.memory");
    return disk_copy_image(&t->h->disks, t->s->id, snap.kept, &t->fds[MACHINE_FD_LAYER], err);
}

static int open_state(struct machine_start *t, struct err *err)
{
    int r = make_folder(t, err);
    if (r < 0)
        return r;
    if (!t->boot)
        return open_clone(t, err);
    r = disk_create_image(&t->h->disks, t->s->id, t->q->disk_bytes, &t->fds[MACHINE_FD_LAYER], err);
    CRASH_POINT("priv.draft.disk");
    return r < 0 ? r
                 : machine_draft_make(t->h, t->s->id, &t->shape, t->s->slot.uid_base,
                                      &t->fds[MACHINE_FD_MEMORY], &t->fds[MACHINE_FD_DEVICES], err);
}

/*
 * The serial line goes where envd's messages of a container go: read in pieces, quoted, limited. QEMU
 * ignores SIGPIPE, so its end needs no reader of its own and cannot take what it said back.
 */
static int make_log(struct machine_start *t, struct err *err)
{
    CRASH_POINT("priv.machine.disk");
    int r = log_pipe_make(t->h, t->s->id, err);
    if (r < 0)
        return r;
    t->s->parts |= PART_LOG;
    r = log_pipe_watch(t->h, &t->s->log, t->s->id, "machine", err);
    return r == 0 ? log_pipe_end(t->h, t->s->id, O_WRONLY, &t->log_fd, err) : r;
}

static uint64_t empty_bytes(const struct machine_start *t)
{
    struct stat st;
    if (t->boot || fstat(t->fds[MACHINE_FD_MEMORY], &st) < 0)
        return 0;
    uint64_t full = (uint64_t)st.st_blocks * 512; /* the unit of st_blocks */
    return full < t->q->memory_bytes ? t->q->memory_bytes - full : 0;
}

static int make_groups(struct machine_start *t, struct err *err)
{
    struct cgroup_limits limits = {.memory_bytes =
                                       t->q->memory_bytes + VMM_MEMORY_BYTES + empty_bytes(t),
                                   .cpu_millis = t->q->cpu_millis,
                                   .pids = VMM_PIDS};
    CRASH_POINT("priv.machine.log");
    int r = cgroup_make(&t->h->cgroups, t->s->id, &limits, err);
    CRASH_POINT("priv.machine.groups");
    if (r == 0)
        t->s->parts |= PART_CGROUPS;
    return r;
}

static int make_network(struct machine_start *t, struct err *err)
{
    const struct net_policy policy = {
        .internet = t->q->internet != 0, .machine = true, .rate = t->q->network_rate};
    int r = sandbox_net_make(t->h->rtnl, &t->s->slot, &policy, &t->net, err);
    CRASH_POINT("priv.machine.link");
    if (r < 0)
        return r;
    t->s->parts |= PART_LINK;
    t->fds[MACHINE_FD_TAP] = take_fd(&t->net.tap_fd);
    return 0;
}

static int make_sockets(struct machine_start *t, struct err *err)
{
    int r = machine_qmp_listen(t->h, t->s->id, &t->fds[MACHINE_FD_QMP], err);
    CRASH_POINT("priv.machine.monitor");
    if (r == 0)
        r = machine_launch_make(t->q, &t->fds[MACHINE_FD_LAUNCH], err);
    return r == 0 ? jail_root_open(t->h->machines.vmm_fd, &t->root_fd, err) : r;
}

static int spawn(struct machine_start *t, struct err *err)
{
    t->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (t->null_fd < 0)
        return err_sys(err, -errno, "open /dev/null");
    int r = machine_args_make(&t->shape, t->s->id, t->boot, &t->args);
    if (r < 0)
        return err_sys(err, r, "make QEMU's command line");
    struct jail_program program = {.root_fd = t->root_fd,
                                   .uid = t->s->slot.uid_base,
                                   .kvm = t->shape.kvm,
                                   .file_bytes = t->shape.memory_bytes > t->shape.disk_bytes
                                                     ? t->shape.memory_bytes
                                                     : t->shape.disk_bytes,
                                   .path = machine_program,
                                   .argv = t->args.argv};
    struct jail_spec spec = {.program = &program,
                             .hostname = "machine",
                             .stage = t->h->stage,
                             .netns_fd = t->net.netns_fd,
                             .fds = {t->null_fd, t->log_fd, t->log_fd},
                             .n_fds = MACHINE_FD_END_,
                             .filters = &t->h->filters};
    for (unsigned i = MACHINE_FD_MEMORY; i < MACHINE_FD_END_; i++)
        spec.fds[i] = t->fds[i];
    CRASH_POINT("priv.machine.launch");
    r = jail_spawn(&spec, &t->jail, err);
    CRASH_POINT("priv.machine.spawned");
    if (r < 0)
        return r;
    t->s->parts |= PART_PROCESS;
    t->s->pid = t->jail.pid;
    t->s->pid_fd = take_fd(&t->jail.pid_fd);
    t->s->pid_start = process_start_time(t->s->pid);
    return sandbox_release(t->s, &t->jail, CGROUP_LEAF_USER, err);
}

int machine_start(struct helper *h, const struct priv_start *q, struct sandbox *s, struct err *err)
{
    int (*const steps[])(struct machine_start *, struct err *) = {
        open_base, open_state, make_log, make_groups, make_network, make_sockets, spawn,
    };
    struct machine_start *t = xnew(struct machine_start);
    *t = (struct machine_start){.q = q, .h = h, .s = s, .boot = q->kind == PRIV_MACHINE_BOOT};
    for (unsigned i = 0; i < ARRAY_LEN(t->fds); i++)
        t->fds[i] = -EBADF;
    t->null_fd = t->root_fd = t->log_fd = t->net.netns_fd = t->net.listen_fd = t->net.tap_fd =
        -EBADF;
    t->jail = (struct jail){.pid_fd = -EBADF, .go_fd = -EBADF, .report_fd = -EBADF};
    int r = machine_vmm(h, err);
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(steps); i++)
        r = steps[i](t, err);
    start_done(t);
    free(t);
    return r;
}
