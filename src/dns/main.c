/*
 * silica-dns: the sandboxes' nameserver. It passes their queries on to the nameservers of the host and
 * keeps nothing: no cache, no names in its log. This file is the life of the process:
 *
 *   options -> the list of nameservers opened as root -> narrow -> confine -> sockets watched ->
 *   SIGTERM -> everything closed
 *
 * The sockets belong to the supervisor, who starts it again when it ends: what sandboxes asked
 * meanwhile waits in them. A list of nameservers that was replaced by another file ends it in order
 * (status 0), because only a fresh start may open files.
 */
#include "base/clock.h"
#include "confine/narrow.h"
#include "dns/confine.h"
#include "dns/dns.h"
#include "dns/front.h"
#include "dns/job.h"
#include "dns/options.h"

#include <inttypes.h>
#include <signal.h>

struct program {
    struct dns dns;
    struct dns_options o;
    struct dns_udp *udp;
    struct dns_tcp *tcp;
    uv_signal_t on_term, on_int;
    uv_timer_t look;
};

static void stop(struct program *p)
{
    if (p->dns.stopping)
        return;
    p->dns.stopping = true;
    if (p->tcp != NULL)
        dns_tcp_stop(take_ptr(&p->tcp));
    dns_jobs_cancel(&p->dns);
    if (p->udp != NULL)
        dns_udp_stop(take_ptr(&p->udp));
    uv_close((uv_handle_t *)&p->on_term, NULL);
    uv_close((uv_handle_t *)&p->on_int, NULL);
    uv_close((uv_handle_t *)&p->look, NULL);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    stop(handle->data);
}

static void on_look(uv_timer_t *timer)
{
    struct program *p = timer->data;
    int r = dns_servers_refresh(&p->dns.servers);
    if (r == 1) {
        log_info("%s changed: %u nameservers", p->o.resolv_conf, p->dns.servers.n);
    } else if (r < 0) {
        log_info("%s is another file now: starting again to read it", p->o.resolv_conf);
        stop(p);
    }
}

static void watch_signals(struct program *p)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* these fail for bad arguments only */
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)uv_signal_init(&p->dns.loop, &p->on_term);
    (void)uv_signal_init(&p->dns.loop, &p->on_int);
    p->on_term.data = p->on_int.data = p;
    (void)uv_signal_start(&p->on_term, on_signal, SIGTERM);
    (void)uv_signal_start(&p->on_int, on_signal, SIGINT);
}

static int start(struct program *p, struct err *err)
{
    int r = uv_loop_init(&p->dns.loop);
    if (r < 0)
        return err_sys(err, r, "start the loop");
    watch_signals(p);
    (void)uv_timer_init(&p->dns.loop, &p->look);
    p->look.data = p;
    (void)uv_timer_start(&p->look, on_look, DNS_FILE_CHECK_MS, DNS_FILE_CHECK_MS);
    r = dns_udp_start(&p->dns, p->o.udp_fd, &p->udp, err);
    if (r == 0)
        r = dns_tcp_start(&p->dns, p->o.tcp_fd, &p->tcp, err);
    if (r < 0)
        stop(p);
    return r;
}

static int narrow_and_confine(struct program *p, struct err *err)
{
    int landlock = 0, r = dns_servers_open(p->o.resolv_conf, &p->dns.servers, err);
    if (r < 0)
        return r;
    const int keep[] = {p->o.udp_fd, p->o.tcp_fd, p->dns.servers.fd};
    r = narrow("silica-dns", p->o.uid, keep, ARRAY_LEN(keep), err);
    if (r == 0)
        r = confine_dns(&landlock, err);
    if (r == 0 && landlock == 0)
        log_warning("this kernel has no Landlock: files are guarded by their owners alone");
    return r;
}

static void tell_counts(const struct dns_counts *c)
{
    log_info("ends: %" PRIu64 " answered, %" PRIu64 " failed, %" PRIu64 " refused; dropped %" PRIu64
             " over the rate, %" PRIu64 " over the share, %" PRIu64 " from elsewhere, %" PRIu64
             " unreadable",
             c->answered, c->failed, c->refused, c->rate, c->share, c->foreign, c->unread);
}

static int run(struct program *p, int argc, char **argv, struct err *err)
{
    int r = dns_options_parse(argc, argv, &p->o, err);
    if (r == 0)
        r = narrow_and_confine(p, err);
    if (r < 0)
        return r;
    p->dns.instance = p->o.instance;
    list_init(&p->dns.jobs);
    r = start(p, err);
    if (r == 0)
        log_info("ready, %u nameservers", p->dns.servers.n);
    (void)uv_run(&p->dns.loop, UV_RUN_DEFAULT); /* returns when stop() has closed everything */
    if (r < 0)
        return r;
    tell_counts(&p->dns.counts);
    dns_servers_close(&p->dns.servers);
    r = uv_loop_close(&p->dns.loop);
    return r == 0 ? 0 : err_sys(err, r, "end with every handle closed");
}

int main(int argc, char **argv)
{
    struct program *p = xnew(struct program);
    struct err err = {0};
    log_setup("silica-dns", LOG_INFO, false);
    int r = run(p, argc, argv, &err);
    if (r < 0 && err.msg[0] != '\0')
        log_error("%s", err.msg);
    free(p);
    return r == 0 ? 0 : err.kind == ERR_INVALID ? 2 : 1;
}
