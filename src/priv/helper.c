#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "net/netns.h"
#include "net/rtnl.h"
#include "priv/folders.h"
#include "priv/machine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

int helper_watch(struct helper *h, int fd, struct watch *w)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = w};
    return epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

void helper_unwatch(struct helper *h, int fd)
{
    (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* fails only if it was not watched */
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct helper *h = container_of(w, struct helper, signal_watch);
    struct signalfd_siginfo info;
    (void)events;
    if (read(h->signal_fd, &info, sizeof(info)) == sizeof(info))
        h->quit = true;
}

static int open_loop(struct helper *h, struct err *err)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a dead reader is an error code, not our end */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll_fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_sys(err, -errno, "make the loop");
    h->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    h->signal_watch.on_event = on_signal;
    int r = h->signal_fd < 0 ? -errno : helper_watch(h, h->signal_fd, &h->signal_watch);
    return r < 0 ? err_sys(err, r, "watch for signals") : 0;
}

/* A folder below the data folder, made if missing. */
static int open_part(const char *data, const char *name, mode_t mode, int *ret_fd, struct err *err)
{
    char path[256];
    if (fs_join(path, sizeof(path), data, name) < 0)
        return err_sys(err, -ENAMETOOLONG, "%s", data);
    return folder_open(path, true, mode, ret_fd, err);
}

static int open_folders(struct helper *h, struct err *err)
{
    const char *data = h->options.data_dir;
    _cleanup_close_ int top = -EBADF, run = -EBADF, stage = -EBADF;
    int r = folder_open(data, true, 0755, &top, err);
    if (r == 0)
        r = open_part(data, "run", 0755, &run, err);
    if (r == 0)
        r = open_part(data, "sandboxes", 0700, &h->sandboxes_fd, err);
    if (r == 0)
        r = open_part(data, "run/sandboxes", 0700, &h->state_fd, err);
    if (r == 0)
        r = open_part(data, "run/stage", 0700, &stage, err);
    if (r == 0)
        r = folder_check_of(h->options.socket_path, err);
    if (r < 0)
        return r;
    (void)fs_join(h->stage, sizeof(h->stage), data, "run/stage"); /* fitted a moment ago */
    return folder_open(h->options.templates_dir, false, 0, &h->templates_fd, err);
}

static int open_host(struct helper *h, struct err *err)
{
    int r = netns_init(err);
    if (r == 0)
        r = rtnl_open(&h->rtnl, err);
    if (r == 0)
        r = cgroups_open(&h->cgroups, h->options.instance, err);
    if (r == 0 && h->cgroups.favoured)
        log_info("the control groups' mount has the option favordynmods now: commands start faster "
                 "beside busy processors");
    return r == 0 ? firewall_open(h, err) : r;
}

int helper_open(struct helper *h, const struct options *options, struct err *err)
{
    *h = (struct helper){.options = *options};
    h->epoll_fd = h->listen_fd = h->signal_fd = h->meters_fd = -EBADF;
    h->firewall.change_fd = h->firewall.timer_fd = -EBADF;
    h->sandboxes_fd = h->state_fd = h->templates_fd = h->envd_fd = -EBADF;
    h->disks.dir_fd = h->disks.data_fd = -EBADF;
    h->machines.vmms_fd = h->machines.snapshots_fd = h->machines.qmp_fd = -EBADF;
    h->machines.vmm_fd = -EBADF;
    list_init(&h->machines.memories);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        h->clients[i].fd = -EBADF;
    list_init(&h->sandboxes);
    int r = open_loop(h, err);
    if (r == 0)
        r = meters_open(h, err);
    if (r == 0)
        r = open_folders(h, err);
    if (r == 0)
        r = disks_open(options->data_dir, &h->disks, err);
    if (r == 0)
        r = machines_open(h, err);
    if (r == 0)
        r = jail_program_open(options->envd_path, &h->envd_fd, err);
    if (r == 0)
        r = jail_filters_make(&h->filters, err);
    return r == 0 ? open_host(h, err) : r;
}

/* Sandboxes live on. With none left, the host is as it was before. */
void helper_close(struct helper *h)
{
    bool empty = h->n_sandboxes == 0;
    server_close(h);
    list_for_each_safe(it, next, &h->sandboxes)
        sandbox_forget(container_of(it, struct sandbox, node));
    firewall_close(h, empty);
    meters_close(h);
    cgroups_close(&h->cgroups, empty);
    rtnl_close(h->rtnl);
    jail_filters_done(&h->filters);
    machines_close(h);
    disks_close(&h->disks);
    int *const fds[] = {&h->envd_fd,      &h->templates_fd, &h->state_fd,
                        &h->sandboxes_fd, &h->signal_fd,    &h->epoll_fd};
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        *fds[i] = fd_close(*fds[i]);
}
