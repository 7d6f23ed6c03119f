/*
 * The host's firewall during the life of this program: put up at its start, looked at again when
 * somebody changes the host's rules (a firewall was reloaded, Docker was started), taken down at the
 * end if no sandbox lives.
 *
 * A notification starts a short timer, so that a burst of changes is one look; a look that failed is
 * repeated after a longer one. Our own rules in sandboxes are in other namespaces and notify nobody here.
 */
#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <sys/timerfd.h>

enum { SETTLE_MS = 200, RETRY_MS = 2000, LINES_PER_S = 5 };

static void look_in(struct firewall *f, unsigned ms)
{
    struct itimerspec t = {
        .it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
    (void)timerfd_settime(f->timer_fd, 0, &t, NULL); /* fails for a bad time only */
}

static void told(void *user, const char *family, const char *table, const char *chain)
{
    static struct log_rate rate;
    (void)user;
    if (log_allow(&rate, LINES_PER_S))
        log_info(
            "chain %s of table %s %s drops what it does not know: rules for our links were added",
            chain, family, table);
}

static void on_change(struct watch *w, uint32_t events)
{
    struct firewall *f = container_of(w, struct firewall, change_watch);
    (void)events;
    beside_drain(f->change_fd);
    look_in(f, SETTLE_MS);
}

static void on_timer(struct watch *w, uint32_t events)
{
    static struct log_rate rate;
    struct firewall *f = container_of(w, struct firewall, timer_watch);
    struct host_net_changes changes;
    struct err err;
    uint64_t n;
    (void)events;
    (void)!read(f->timer_fd, &n, sizeof(n)); /* its number says nothing */
    int r = host_net_check(&f->net, &changes, told, NULL, &err);
    if (r == 0 && changes.others_again)
        log_info("another firewall takes part in forwarding: what others forward is not dropped "
                 "any more");
    if (r < 0 && r != -EAGAIN && log_allow(&rate, 1))
        log_warning("the host's firewall rules: %s; looked at again in 2 s", err.msg);
    if (r < 0)
        look_in(f, RETRY_MS);
}

static int watch(struct helper *h, struct err *err)
{
    struct firewall *f = &h->firewall;
    int r = beside_watch(&f->change_fd, err);
    if (r < 0)
        return r;
    f->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    f->change_watch.on_event = on_change;
    f->timer_watch.on_event = on_timer;
    r = f->timer_fd < 0 ? -errno : helper_watch(h, f->timer_fd, &f->timer_watch);
    if (r == 0)
        r = helper_watch(h, f->change_fd, &f->change_watch);
    return r < 0 ? err_sys(err, r, "watch the host's firewall rules") : 0;
}

int firewall_open(struct helper *h, struct err *err)
{
    const struct host_policy policy = {.instance = h->options.instance,
                                       .daemon_uid = h->options.client_uid,
                                       .dns_uid = DNS_UID_BASE + h->options.instance};
    struct host_net_changes changes;
    int r = watch(h, err); /* first: no change is missed */
    if (r == 0)
        r = host_net_open(&policy, &h->firewall.net, &changes, told, NULL, err);
    if (r < 0)
        return r;
    h->firewall.is_up = true;
    if (changes.forwarding_on)
        log_info("net.ipv4.ip_forward was off and is on now: sandboxes need it%s",
                 h->firewall.net.alone ? "; what others want forwarded is dropped as before" : "");
    return 0;
}

void firewall_close(struct helper *h, bool take_down)
{
    struct firewall *f = &h->firewall;
    struct err err;
    if (f->is_up && take_down && host_net_close(&f->net, &err) < 0)
        log_warning("%s", err.msg);
    f->is_up = false;
    f->change_fd = fd_close(f->change_fd);
    f->timer_fd = fd_close(f->timer_fd);
}
