/*
 * silica-envd: the daemon inside every sandbox, and its PID 1.
 *
 * The life of the process: read how it was started, close what must not be inherited, make the
 * loop, listen, serve. As PID 1 it reaps every orphan and has no handler for terminating signals,
 * so that the kernel drops those that come from inside; the sandbox ends by SIGKILL from outside.
 * It forwards no signal.
 *
 * Everything runs on one loop thread, except file operations, which run in libuv's pool.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/version.h"
#include "envd/envd.h"
#include "envd/identity.h"
#include "envd/routes.h"
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum {
    BACKLOG = 1024,
    IDLE_TIMEOUT_MS = 640000,      /* protocol: longer than any proxy's, so that they close first */
    PROGRESS_TIMEOUT_MS = 3600000, /* a client may stop reading or sending for that long */
    /* The daemon may have 256 MB in all: two large messages, and little for each of many clients. */
    HELD_MAX_BYTES = 80 << 20,
    QUEUED_MAX_BYTES = 24 << 20,
    CONNECTIONS_MAX = 1280, /* more than the edge makes; each may pin a block of 64 KiB */
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int fail(const struct err *err)
{
    log_error("%s", err->msg);
    return 1;
}

/* Descriptors 0 to 2 exist (children get their own there), all others close on exec. */
static int settle_descriptors(struct err *err)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
            return err_sys(err, -errno, "open /dev/null");
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return err_sys(err, -errno, "close_range");
    return 0;
}

static int open_listener(const struct envd_config *c, struct err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(c->port)};
    int one = 1;
    if (c->listen_fd >= 0)
        return c->listen_fd;
    a.sin_addr.s_addr = htonl(c->standalone ? INADDR_LOOPBACK : INADDR_ANY);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, -errno, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
        return err_sys(err, -errno, "listen on port %u", c->port);
    return take_fd(&fd);
}

static int serve(struct envd *e, struct err *err)
{
    static const struct http_server_opts opts = {
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .body_timeout_ms = PROGRESS_TIMEOUT_MS,
        .write_timeout_ms = PROGRESS_TIMEOUT_MS,
        .max_connections = CONNECTIONS_MAX,
        .held_max_bytes = HELD_MAX_BYTES,
        .queued_max_bytes = QUEUED_MAX_BYTES,
        .half_close_is_close = true, /* protocol: a client that closed its side is gone */
    };
    struct http_server *server;
    int fd = open_listener(&e->config, err);
    if (fd < 0)
        return fd;
    return http_server_new(e->loop, fd, &opts, routes_handle, e, &server, err);
}

static void on_child(uv_signal_t *h, int sig)
{
    struct envd *e = h->data;
    (void)sig;
    process_reap(&e->processes);
}

static void on_stop(uv_signal_t *h, int sig)
{
    (void)sig;
    uv_stop(h->loop);
}

/* The handles live as long as the process. */
static void watch_signals(struct envd *e)
{
    static uv_signal_t child, term, interrupt;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)uv_signal_init(e->loop, &child);
    child.data = e;
    (void)uv_signal_start(&child, on_child, SIGCHLD);
    if (getpid() == 1)
        return;
    (void)uv_signal_init(e->loop, &term);
    (void)uv_signal_start(&term, on_stop, SIGTERM);
    (void)uv_signal_init(e->loop, &interrupt);
    (void)uv_signal_start(&interrupt, on_stop, SIGINT);
}

static void write_marks(const struct envd_config *c)
{
    _cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0)
        identity_write_marks(root, c->sandbox_id, c->template_id);
}

static int prepare(struct envd *e, struct err *err)
{
    const char *path = secure_getenv("PATH");
    if (path == NULL || slice_copy(slice_str(path), e->path, sizeof(e->path)) < 0)
        (void)slice_copy(SLICE_LIT(DEFAULT_PATH), e->path, sizeof(e->path));
    (void)umask(022);
    if (getpid() == 1)
        (void)prctl(PR_SET_DUMPABLE, 0); /* the control secret stays out of ptrace's reach */
    spawn_init();
    int r = settings_init(&e->settings, !e->config.standalone, e->config.sandbox_id,
                          e->config.template_id);
    if (r < 0)
        return err_sys(err, r, "settings");
    limits_init(&e->limits, &e->config);
    process_table_init(&e->processes, e->loop, &e->limits);
    metrics_init(&e->metrics, &e->config);
    machine_init(&e->machine, &e->config, &machine_system, "/");
    if (!e->config.standalone)
        write_marks(&e->config);
    return 0;
}

int main(int argc, char **argv)
{
    static struct envd e;
    struct err err;
    log_setup("silica-envd", LOG_INFO, false);
    json_wipe_freed();
    if (config_read(argc, argv, &e.config, &err) < 0)
        return fail(&err);
    if (e.config.show_version) {
        (void)printf("%s\n", SILICA_ENVD_VERSION);
        return 0;
    }
    if (settle_descriptors(&err) < 0)
        return fail(&err);
    e.loop = uv_default_loop();
    if (prepare(&e, &err) < 0)
        return fail(&err);
    watch_signals(&e);
    if (serve(&e, &err) < 0)
        return fail(&err);
    (void)uv_run(e.loop, UV_RUN_DEFAULT);
    settings_done(&e.settings);
    return 0;
}
