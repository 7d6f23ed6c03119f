/*
 * The first act after a start: take over the sandboxes that outlived the last run of this program,
 * and remove everything of an instance that belongs to none of them.
 *
 * A sandbox is adopted when its state file names a process that lives and started when the file
 * says so. The pidfd is opened first and the start time read after: if both fit, the descriptor is
 * that very process, whatever happens to the number later.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "net/host.h"
#include "net/sandbox_net.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool still_lives(const struct sandbox_record *record, int *ret_pid_fd)
{
    _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, record->pid, 0);
    if (fd < 0 || record->pid_start == 0 || process_start_time(record->pid) != record->pid_start)
        return false;
    *ret_pid_fd = take_fd(&fd);
    return true;
}

static void adopt(struct helper *h, const char *id)
{
    struct sandbox_record record;
    struct err err = {0};
    int pid_fd;
    if (sandbox_find(h, id) != NULL || state_read(h, id, &record) < 0 ||
        !still_lives(&record, &pid_fd) || !slot_claim_this(h, record.slot))
        return;
    struct sandbox *s = sandbox_new(h, id);
    s->parts = PART_ALL;
    s->kind = record.kind;
    s->pid = record.pid;
    s->pid_start = record.pid_start;
    s->pid_fd = pid_fd;
    (void)net_slot_get(h->options.instance, record.slot, &s->slot); /* both are in range */
    if (log_pipe_watch(h, &s->log, id, s->kind == PRIV_CONTAINER ? "envd" : "machine", &err) < 0)
        log_warning("sandbox %s: %s; its messages are lost", id, err.msg);
    if (sandbox_watch(s, &err) < 0)
        log_error("sandbox %s: %s", id, err.msg);
    log_info("sandbox %s: adopted in slot %u", id, record.slot);
}

static int each_entry(int dir_fd, void (*each)(struct helper *h, const char *name),
                      struct helper *h)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int saved = -errno;
        (void)fd_close(fd);
        return saved;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(h, e->d_name);
    (void)closedir(dir);
    return 0;
}

static void adopt_entry(struct helper *h, const char *name)
{
    if (id_is_sandbox(name))
        adopt(h, name);
}

/* "<id>", ".<id>" or "<id>.log" of a sandbox that is not there; nothing else lies in that folder. */
static void reap_state(struct helper *h, const char *name)
{
    char id[SANDBOX_ID_LEN + 1];
    const char *start = name[0] == '.' ? name + 1 : name;
    (void)snprintf(id, sizeof(id), "%.*s", (int)SANDBOX_ID_LEN, start);
    if (!id_is_sandbox(id) || sandbox_find(h, id) == NULL)
        (void)unlinkat(h->state_fd, name, 0);
}

static void reap_files(struct helper *h, const char *name)
{
    struct err err;
    if (id_is_sandbox(name) && sandbox_find(h, name) != NULL)
        return;
    log_info("removing the files of %s, which is not there any more", name);
    int r = id_is_sandbox(name) ? files_remove(h->sandboxes_fd, h->disks.dir_fd, name, &err)
                                : fs_remove_tree(h->sandboxes_fd, name, &err);
    if (r < 0)
        log_error("%s", err.msg);
}

/* A disk without a folder: its folder went first, or was never made to last. */
static void reap_disk(void *user, const char *id)
{
    struct helper *h = user;
    struct err err;
    if (sandbox_find(h, id) == NULL && files_remove(h->sandboxes_fd, h->disks.dir_fd, id, &err) < 0)
        log_error("%s", err.msg);
}

static void reap_groups(void *user, const char *id)
{
    struct helper *h = user;
    struct err err;
    if (sandbox_find(h, id) == NULL && cgroup_remove(&h->cgroups, id, &err) < 0)
        log_error("%s", err.msg);
}

static void reap_link(void *user, unsigned slot)
{
    struct helper *h = user;
    struct net_slot net;
    struct err err;
    if ((h->slots[slot / 8] & 1u << slot % 8) != 0 ||
        !net_slot_get(h->options.instance, slot, &net))
        return;
    log_info("removing the link %s, whose sandbox is not there any more", net.link);
    if (sandbox_net_remove(h->rtnl, &net, &err) < 0)
        log_error("%s", err.msg);
}

int adopt_all(struct helper *h, struct err *err)
{
    int r = each_entry(h->state_fd, adopt_entry, h);
    if (r < 0)
        return err_sys(err, r, "read the state of the last run");
    r = cgroup_each(&h->cgroups, reap_groups, h, err);
    if (r == 0)
        r = host_links_each(h->options.instance, reap_link, h, err);
    if (r < 0)
        return r;
    machine_reap(h);
    if ((r = each_entry(h->sandboxes_fd, reap_files, h)) < 0 ||
        (r = disks_each(&h->disks, reap_disk, h)) < 0 ||
        (r = each_entry(h->state_fd, reap_state, h)) < 0)
        return err_sys(err, r, "clean up after the last run");
    return 0;
}
