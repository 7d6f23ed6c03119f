/*
 * The life of a sandbox as the privileged helper sees it.
 *
 *   STARTING  op_start.c makes its parts one after the other; each is recorded in `parts` once it
 *             is made. Failure undoes them in reverse (sandbox_abort). Nobody else sees it.
 *   RUNNING   its init lives; held by pidfd.
 *   ENDING    PRIV_STOP sent SIGKILL; waiting for the pidfd.
 *   CLEANING  init is gone (killed or by itself): link, groups and processes are unmade at once, the
 *             files by a forked child, because there may be very many. Then the waiting stops are
 *             answered, or the exit is told, and the object is freed: "stopped" means nothing is left.
 *
 * The state file is the last to go: after a crash of this program it still says what was there.
 * An adopted sandbox is not our child; its end shows on the pidfd all the same.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"
#include "base/log.h"
#include "net/sandbox_net.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REMOVER_NOT_KEPT = 2, /* its exit status: the files are removed, but there is no snapshot */
    REMOVERS_MAX =
        3, /* one after the other: somebody may end one, the kernel for want of memory too */
};

static const char *const life_names[] = {
    [LIFE_STARTING] = "starting",
    [LIFE_RUNNING] = "running",
    [LIFE_ENDING] = "ending",
    [LIFE_CLEANING] = "cleaning",
};
static_assert(ARRAY_LEN(life_names) == LIFE_MAX_, "a life has no name");

const char *sandbox_life_name(enum sandbox_life life)
{
    return life_names[life];
}

struct sandbox *sandbox_find(struct helper *h, const char *id)
{
    list_for_each_safe(it, next, &h->sandboxes)
    {
        struct sandbox *s = container_of(it, struct sandbox, node);
        if (strcmp(s->id, id) == 0)
            return s;
    }
    return NULL;
}

struct sandbox *sandbox_new(struct helper *h, const char *id)
{
    struct sandbox *s = xnew(struct sandbox);
    s->helper = h;
    s->pid_fd = s->remover_fd = s->log.fd = -EBADF;
    meters_init(&s->meters);
    (void)snprintf(s->id, sizeof(s->id), "%s", id);
    list_append(&h->sandboxes, &s->node);
    h->n_sandboxes++;
    return s;
}

void sandbox_forget(struct sandbox *s)
{
    struct helper *h = s->helper;
    if (s->pid_fd >= 0)
        helper_unwatch(h, s->pid_fd);
    if (s->remover_fd >= 0)
        helper_unwatch(h, s->remover_fd);
    s->pid_fd = fd_close(s->pid_fd);
    s->remover_fd = fd_close(s->remover_fd);
    log_pipe_close(h, &s->log);
    meters_unwatch(s);
    list_remove(&s->node);
    h->n_sandboxes--;
    free(s);
}

static void set_life(struct sandbox *s, enum sandbox_life life)
{
    assert(life > s->life); /* the order of the enum is the only way */
    log_debug("sandbox %s: %s -> %s", s->id, life_names[s->life], life_names[life]);
    s->life = life;
}

void sandbox_instance(const struct sandbox *s, struct priv_instance *ret)
{
    *ret = (struct priv_instance){.pid_start = s->pid_start,
                                  .pid = s->pid,
                                  .slot = s->slot.slot,
                                  .addr = s->slot.outer_addr,
                                  .kind = s->kind};
    (void)snprintf(ret->id, sizeof(ret->id), "%s", s->id);
}

static void undone(struct sandbox *s, enum sandbox_part part, int r, const struct err *err)
{
    if (r < 0)
        log_error("sandbox %s: %s; left to the next start of this program", s->id, err->msg);
    else
        s->parts &= ~(unsigned)part;
}

/* Everything but the files. Its init is dead. */
static void undo_kernel_parts(struct sandbox *s)
{
    struct helper *h = s->helper;
    struct err err = {0};
    if ((s->parts & PART_LINK) != 0)
        undone(s, PART_LINK, sandbox_net_remove(h->rtnl, &s->slot, &err), &err);
    CRASH_POINT("priv.undo.link");
    if ((s->parts & PART_CGROUPS) != 0)
        undone(s, PART_CGROUPS, cgroup_remove(&h->cgroups, s->id, &err), &err);
    CRASH_POINT("priv.undo.groups");
    if ((s->parts & PART_LOG) != 0) {
        log_pipe_close(h, &s->log);
        log_pipe_remove(h, s->id);
        s->parts &= ~(unsigned)PART_LOG;
    }
    CRASH_POINT("priv.undo.log");
    if (s->kind != PRIV_CONTAINER)
        machine_qmp_remove(h, s->id);
}

/* The last part: the slot is free again only if its link is gone. */
static void undo_rest(struct sandbox *s)
{
    if ((s->parts & PART_LINK) == 0)
        slot_release(s->helper, s->slot.slot);
    if ((s->parts & ~(unsigned)(PART_STATE | PART_PROCESS)) == 0)
        state_remove(s->helper, s->id);
}

/*
 * An adopted init is not our child: somebody else reaps it, and then only the counters speak. Memory
 * is the cause when the kernel has just ended a process of its group and it was ended by a signal.
 */
static void describe_end(struct sandbox *s)
{
    siginfo_t info = {0};
    int r;
    do
        r = waitid(P_PIDFD, (id_t)s->pid_fd, &info, WEXITED);
    while (r < 0 && errno == EINTR);
    bool killed = r < 0 || (info.si_code != CLD_EXITED && info.si_status == SIGKILL);
    if (meters_look_last(s) && killed) {
        s->cause = PRIV_EXIT_MEMORY;
        s->status = SIGKILL;
        (void)snprintf(s->reason, sizeof(s->reason),
                       "killed: silica-envd was out of its own memory; keep large uploads out of "
                       "/dev/shm");
        return;
    }
    if (r < 0) {
        (void)snprintf(s->reason, sizeof(s->reason), "ended");
        return;
    }
    s->cause = info.si_code == CLD_EXITED ? PRIV_EXIT_CODE : PRIV_EXIT_SIGNAL;
    s->status = info.si_status;
    (void)snprintf(s->reason, sizeof(s->reason),
                   info.si_code == CLD_EXITED ? "exited with status %d" : "killed by signal %d",
                   info.si_status);
}

void sandbox_abort(struct sandbox *s)
{
    struct err err = {0};
    if ((s->parts & PART_PROCESS) != 0) {
        (void)syscall(SYS_pidfd_send_signal, s->pid_fd, SIGKILL, NULL, 0); /* or dead already */
        describe_end(s);
        s->parts &= ~(unsigned)PART_PROCESS;
    }
    undo_kernel_parts(s);
    if (s->kind == PRIV_MACHINE_BOOT)
        machine_draft_remove(s->helper->machines.snapshots_fd, s->id);
    if ((s->parts & PART_FILES) != 0)
        undone(s, PART_FILES,
               files_remove(s->helper->sandboxes_fd, s->helper->disks.dir_fd, s->id, &err), &err);
    undo_rest(s);
    sandbox_forget(s);
}

static void finished(struct sandbox *s)
{
    struct helper *h = s->helper;
    struct err not_kept;
    (void)err_set(&not_kept, -EIO, ERR_INTERNAL,
                  "the snapshot could not be written; silica-priv's log says why");
    undo_rest(s);
    CRASH_POINT("priv.end.forgotten");
    for (unsigned i = 0; i < s->n_waiters; i++) {
        struct client *c = server_client(h, s->waiters[i].client);
        if (c != NULL)
            server_reply(c, s->waiters[i].seq, s->not_kept ? &not_kept : NULL, NULL);
    }
    if (!s->stopped) {
        struct priv_exit event = {
            .head = {.op = PRIV_EXIT}, .cause = s->cause, .status = s->status};
        (void)snprintf(event.id, sizeof(event.id), "%s", s->id);
        (void)snprintf(event.reason, sizeof(event.reason), "%s", s->reason);
        server_broadcast(h, &event, sizeof(event));
    }
    CRASH_POINT("priv.end.told");
    log_info("sandbox %s: gone (%s)", s->id, s->stopped ? "stopped" : s->reason);
    sandbox_forget(s);
}

/*
 * Keeps standard error and the folders alone: with a copy of a client's connection, that would not
 * end with this program, and its client would wait for as long as the removal takes.
 */
static _Noreturn void remover_run(const struct sandbox *s)
{
    enum { FOLDER = STDERR_FILENO + 1, DISKS, SNAPSHOTS, PARKING = 16 };
    int disks = fcntl(s->helper->disks.dir_fd, F_DUPFD_CLOEXEC, PARKING);
    int snapshots = fcntl(s->helper->machines.snapshots_fd, F_DUPFD_CLOEXEC, PARKING);
    bool ok = disks >= 0 && snapshots >= 0 && dup2(s->helper->sandboxes_fd, FOLDER) == FOLDER &&
              dup2(disks, DISKS) == DISKS && dup2(snapshots, SNAPSHOTS) == SNAPSHOTS &&
              close_range(SNAPSHOTS + 1, ~0u, 0) == 0;
    if (!ok)
        _exit(1);
    CRASH_POINT("priv.remover.begun");
    struct err err = {0};
    int kept = s->commit ? machine_draft_commit(SNAPSHOTS, DISKS, s->id, &err) : 0;
    if (kept < 0)
        log_error("sandbox %s: %s", s->id, err.msg);
    if (s->kind == PRIV_MACHINE_BOOT)
        machine_draft_remove(SNAPSHOTS, s->id);
    int r = files_remove(FOLDER, DISKS, s->id, NULL);
    CRASH_POINT("priv.remover.done");
    _exit(r < 0 ? 1 : kept < 0 ? REMOVER_NOT_KEPT : 0);
}

static void on_removed(struct watch *w, uint32_t events);

static int start_remover(struct sandbox *s)
{
    s->removers++;
    s->remover_pid = fork();
    if (s->remover_pid < 0)
        return -errno;
    if (s->remover_pid == 0)
        remover_run(s);
    s->remover_fd = (int)syscall(SYS_pidfd_open, s->remover_pid, 0); /* close-on-exec by itself */
    s->remover_watch.on_event = on_removed;
    int r = s->remover_fd < 0 ? -errno : helper_watch(s->helper, s->remover_fd, &s->remover_watch);
    if (r < 0)
        s->remover_fd = fd_close(s->remover_fd);
    return r;
}

/* The next one removes what the first has left, and keeps nothing: its snapshot may be half made. */
static bool remove_again(struct sandbox *s)
{
    helper_unwatch(s->helper, s->remover_fd);
    s->remover_fd = fd_close(s->remover_fd);
    s->commit = false;
    if (s->removers >= REMOVERS_MAX || start_remover(s) < 0)
        return false;
    log_warning("sandbox %s: who removed its files was killed; another one goes on", s->id);
    return true;
}

static void on_removed(struct watch *w, uint32_t events)
{
    struct sandbox *s = container_of(w, struct sandbox, remover_watch);
    siginfo_t info = {0};
    (void)events;
    int r = waitid(P_PIDFD, (id_t)s->remover_fd, &info, WEXITED);
    CRASH_POINT("priv.end.removed");
    bool exited = r == 0 && info.si_code == CLD_EXITED;
    s->not_kept = s->not_kept || (s->commit && !(exited && info.si_status == 0));
    if (exited && (info.si_status == 0 || info.si_status == REMOVER_NOT_KEPT))
        s->parts &= ~(unsigned)PART_FILES;
    else if (!exited && remove_again(s))
        return;
    else
        log_error("sandbox %s: its files could not be removed; left to the next start", s->id);
    if (s->not_kept)
        machine_reap_kept(s->helper);
    finished(s);
}

static void on_end(struct watch *w, uint32_t events)
{
    struct sandbox *s = container_of(w, struct sandbox, exit_watch);
    (void)events;
    describe_end(s);
    CRASH_POINT("priv.end.seen");
    helper_unwatch(s->helper, s->pid_fd);
    s->pid_fd = fd_close(s->pid_fd);
    s->parts &= ~(unsigned)PART_PROCESS;
    set_life(s, LIFE_CLEANING);
    undo_kernel_parts(s);
    int r = start_remover(s);
    CRASH_POINT("priv.end.remover");
    if (r < 0) {
        log_error("sandbox %s: no process to remove its files (%d); left to the next start", s->id,
                  r);
        s->not_kept = s->commit;
        finished(s);
    }
}

/* So that the host's memory pressure takes sandboxes first, and none of them can change it back. */
static void prefer_as_victim(pid_t pid)
{
    char path[40];
    (void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)fs_write_all(fd, "200", 3); /* a preference, no boundary */
}

/* Noted down before it may run: a crash of ours at any moment leaves nothing unknown alive. */
int sandbox_release(struct sandbox *s, struct jail *jail, enum cgroup_leaf leaf, struct err *err)
{
    struct sandbox_record record = {s->pid, s->pid_start, s->slot.slot, s->kind};
    int r = cgroup_enter(&s->helper->cgroups, s->id, leaf, s->pid, err);
    if (r < 0)
        return r;
    CRASH_POINT("priv.release.entered");
    prefer_as_victim(s->pid);
    r = state_write(s->helper, s->id, &record, err);
    if (r < 0)
        return r;
    s->parts |= PART_STATE;
    CRASH_POINT("priv.release.noted");
    jail->pid_fd = s->pid_fd;
    r = jail_go(jail, err);
    CRASH_POINT("priv.release.let-go");
    jail->pid_fd = -EBADF; /* it stays the sandbox's */
    return r;
}

int sandbox_watch(struct sandbox *s, struct err *err)
{
    s->exit_watch.on_event = on_end;
    int r = helper_watch(s->helper, s->pid_fd, &s->exit_watch);
    if (r < 0)
        return err_sys(err, r, "watch a sandbox");
    meters_watch(s);
    set_life(s, LIFE_RUNNING);
    return 0;
}

void sandbox_kill(struct sandbox *s)
{
    s->stopped = true;
    if (s->life != LIFE_RUNNING)
        return;
    set_life(s, LIFE_ENDING);
    CRASH_POINT("priv.kill.asked");
    (void)syscall(SYS_pidfd_send_signal, s->pid_fd, SIGKILL, NULL, 0); /* or dead already */
    CRASH_POINT("priv.kill.signalled");
}
