/*
 * silica-priv: the only privileged program of Silica.
 *
 * It makes and ends sandboxes on request of the daemon, which owns no privilege. A numbered list of
 * fixed requests (protocol.h), one file an operation (op_*.c); it derives every name itself, never
 * parses HTTP, JSON or an image, and reads nothing that a sandbox could write but its log lines.
 *
 * One thread, one epoll loop. Its death ends no sandbox: the next start adopts what lives.
 */
#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "priv/host_files.h"
#include "priv/narrow.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { EVENTS_PER_TURN = 1 }; /* so that no event can outlive what an earlier one has freed */

/*
 * Five descriptors a sandbox, and more for a moment. Without them sandboxes that live could not be
 * adopted, and the firewall's library ends the program when it can open no socket.
 */
static int raise_limits(struct err *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_sys(err, -errno, "read the limit of descriptors");
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) < 0
               ? err_sys(err, -errno, "raise the limit of descriptors")
               : 0;
}

/* Told as what it is, and no reason to give up: on most hosts there is nothing to raise. */
static void raise_host_files(void)
{
    uint64_t was, is;
    struct err err;
    if (host_files_raise(&was, &is, &err) < 0)
        log_warning("%s: one sandbox may open all files that this host can; raise fs.file-max",
                    err.msg);
    else if (was != 0)
        log_info("fs.file-max was %llu and is %llu now: one sandbox could have opened them all",
                 (unsigned long long)was, (unsigned long long)is);
}

static int run(struct helper *h, struct err *err)
{
    while (!h->quit) {
        struct epoll_event e;
        int n = epoll_wait(h->epoll_fd, &e, EVENTS_PER_TURN, -1);
        if (n < 0 && errno != EINTR)
            return err_sys(err, -errno, "wait for events");
        if (n > 0) {
            struct watch *w = e.data.ptr;
            w->on_event(w, e.events);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options;
    static struct helper helper;
    struct err err;
    log_setup("silica-priv", LOG_INFO, false);
    (void)umask(022);
    if (options_parse(argc, argv, &options, &err) < 0) {
        log_error("%s", err.msg);
        return 2;
    }
    int r = narrow(&err);
    if (r == 0)
        r = raise_limits(&err);
    if (r == 0)
        r = helper_open(&helper, &options, &err);
    if (r == 0)
        raise_host_files();
    if (r == 0)
        r = adopt_all(&helper, &err);
    if (r == 0)
        r = server_open(&helper, &err);
    if (r == 0)
        r = run(&helper, &err);
    if (r < 0)
        log_error("%s", err.msg);
    helper_close(&helper);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
