/*
 * silicad: control plane and edge. This file is the life of the process and nothing else:
 *
 *   options -> descriptors opened as root -> narrow -> configuration -> confine -> database ->
 *   driver -> manager adopts what lives -> requests are served -> a signal -> connections cut ->
 *   manager closed -> everything freed
 *
 * SIGINT ends all sandboxes first; SIGTERM leaves them to the next start. Requests that come before
 * the manager is ready wait in the socket's backlog.
 */
#include "api/api.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "confine/narrow.h"
#include "daemon/config.h"
#include "daemon/confine.h"
#include "daemon/options.h"
#include "edge/edge.h"
#include "http/server.h"
#include "image/template.h"
#include "sandbox/container/container.h"
#include "sandbox/microvm/microvm.h"
#include "store/store.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

struct daemon {
    struct options o;
    struct config c;
    uv_loop_t loop;
    uv_signal_t on_int, on_term;
    struct store *store;
    struct driver *driver;
    struct sandbox_manager *manager;
    struct api *api;
    struct edge *edge;
    struct http_server *server;
    char state[PATH_MAX], templates[PATH_MAX], machines[PATH_MAX], host_names[CONFIG_TEXT_BYTES];
    bool stopping, end_all, failed;
};

static void on_notice(void *user, const char *id, const char *text)
{
    (void)user;
    log_context(id);
    log_info("%s", text);
    log_context(NULL);
}

static void on_request(struct http_exchange *x, void *user)
{
    struct daemon *d = user;
    if (edge_wants(d->edge, http_x_head(x)))
        edge_handle(x, d->edge);
    else
        api_handle(x, d->api);
}

/* The end, step by step; each continues when the one before is over. */

static void on_manager_closed(void *user, const struct err *err)
{
    struct daemon *d = user;
    (void)err; /* never set */
    d->manager = NULL;
    api_free(d->api);
    edge_free(d->edge);
    d->driver->ops->free(d->driver);
    uv_close((uv_handle_t *)&d->on_int, NULL);
    uv_close((uv_handle_t *)&d->on_term, NULL);
}

static void on_server_closed(void *user)
{
    struct daemon *d = user;
    sandbox_manager_close(d->manager, d->end_all, on_manager_closed, d);
}

static void stop(struct daemon *d, bool end_all)
{
    if (d->stopping)
        return;
    d->stopping = true;
    d->end_all = end_all;
    if (d->server != NULL)
        http_server_close(d->server, true, on_server_closed, d);
    else
        on_server_closed(d);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct daemon *d = handle->data;
    log_info("%s: stopping, sandboxes %s", signum == SIGINT ? "SIGINT" : "SIGTERM",
             signum == SIGINT ? "end" : "live on");
    stop(d, signum == SIGINT);
}

/* The beginning. */

static int serve(struct daemon *d, struct err *err)
{
    const char *names[CONFIG_HOST_NAMES_MAX];
    memcpy(d->host_names, d->c.host_names, sizeof(d->host_names));
    struct api_opts api = {
        .store = d->store,
        .manager = d->manager,
        .domain = d->o.domain,
        .host_names = names,
        .n_host_names = config_split_names(d->host_names, names),
        .max_timeout_s = (int64_t)d->c.max_timeout_s,
        .strict_fields = d->c.strict_fields,
        .driver = d->driver->ops->name,
        .driver_reason = d->o.driver_reason,
        .accelerator = d->o.accelerator,
        .templates_dir = d->templates,
    };
    struct edge_opts edge = {
        .manager = d->manager,
        .domain = d->o.domain,
        .max_per_sandbox = (uint32_t)d->c.max_requests_per_sandbox,
    };
    struct http_server_opts http = {
        .head_timeout_ms = (unsigned)d->c.head_timeout_ms,
        .idle_timeout_ms = (unsigned)d->c.idle_timeout_ms,
        .body_timeout_ms = (unsigned)d->c.body_timeout_ms,
        .write_timeout_ms = (unsigned)d->c.write_timeout_ms,
        .max_connections = (unsigned)d->c.max_connections,
        .half_close_is_close = true, /* a stream whose client has left must not wait for a write */
    };
    int r = api_new(&api, &d->api, err);
    if (r == 0)
        r = edge_new(&edge, &d->edge, err);
    if (r == 0)
        r = http_server_new(&d->loop, d->o.listen_fd, &http, on_request, d, &d->server, err);
    return r;
}

/* The template that most ask for has clones waiting before anybody asks. */
static void expect_base(struct daemon *d)
{
    struct template_info t;
    struct sandbox_limits limits;
    if (strcmp(d->o.driver, "microvm") != 0 || template_find(d->templates, "base", &t, NULL) < 0)
        return;
    sandbox_template_limits(d->manager, &t, &limits);
    microvm_expect(d->driver, t.id, &limits);
}

static void on_ready(void *user, const struct err *err)
{
    struct daemon *d = user;
    struct err why = {0};
    if (err != NULL)
        why = *err;
    if (err != NULL || serve(d, &why) < 0) {
        log_error("cannot start: %s", why.msg);
        d->failed = true;
        stop(d, false);
        return;
    }
    log_info("ready, driver %s%s%s", d->driver->ops->name,
             d->o.driver_reason[0] != '\0' ? ": " : "", d->o.driver_reason);
    expect_base(d);
}

static int manager_start(struct daemon *d, struct err *err)
{
    struct sandbox_manager_opts opts = {
        .loop = &d->loop,
        .store = d->store,
        .driver = d->driver,
        .templates_dir = d->templates,
        .notice = on_notice,
        .default_limits =
            {
                .memory_bytes = d->c.memory_mb << 20,
                .cpu_millis = (uint32_t)d->c.cpu_count * 1000,
                .pids = (uint32_t)d->c.pids,
                .disk_bytes = d->c.disk_mb << 20,
                .network_rate = d->c.network_mbit * (1000000 / 8),
            },
        .max_sandboxes = (uint32_t)d->c.max_sandboxes,
        .max_life_s = (int64_t)d->c.max_timeout_s,
    };
    return sandbox_manager_new(&opts, on_ready, d, &d->manager, err);
}

static int driver_start(struct daemon *d, struct err *err)
{
    struct microvm_opts vm = {.priv_socket = d->o.priv_socket,
                              .machines_dir = d->machines,
                              .pool = (unsigned)d->c.microvm_pool,
                              .idle_s = (unsigned)d->c.microvm_idle_s,
                              .notice = on_notice};
    if (strcmp(d->o.driver, "microvm") == 0)
        return microvm_driver_new(&d->loop, &vm, &d->driver, err);
    if (strcmp(d->o.driver, "container") != 0)
        return err_set(err, -EINVAL, ERR_INVALID, "unknown driver '%.32s': container or microvm",
                       d->o.driver);
    return container_driver_new(&d->loop, d->o.priv_socket, &d->driver, err);
}

static int name_folders(struct daemon *d, struct err *err)
{
    int n = snprintf(d->state, sizeof(d->state), "%s/state", d->o.data);
    int t = d->o.templates != NULL
                ? snprintf(d->templates, sizeof(d->templates), "%s", d->o.templates)
                : snprintf(d->templates, sizeof(d->templates), "%s/templates", d->o.data);
    int m = snprintf(d->machines, sizeof(d->machines), "%s/run/machines", d->o.data);
    if (n < 0 || n >= PATH_MAX || t < 0 || t >= PATH_MAX || m < 0 || m >= PATH_MAX)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "--data or --templates is too long");
    return 0;
}

/* What can be taken is taken before there is a thread, a connection or a line of the database. */
static int confine_self(const struct daemon *d, struct err *err)
{
    int landlock = 0;
    int r = confine_daemon(d->state, d->templates, &landlock, err);
    if (r == 0 && landlock == 0)
        log_warning("this kernel has no Landlock: files are guarded by their owners alone");
    return r;
}

static int store_start(struct daemon *d, struct err *err)
{
    char path[PATH_MAX];
    if (fs_join(path, sizeof(path), d->state, "silica.db") < 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "--data is too long");
    return store_open(path, &d->store, err);
}

static void signals_start(struct daemon *d)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* these fail for bad arguments only */
    (void)sigaction(SIGHUP, &ignore, NULL);  /* the supervisor says when to stop */
    (void)uv_signal_init(&d->loop, &d->on_int);
    (void)uv_signal_init(&d->loop, &d->on_term);
    d->on_int.data = d->on_term.data = d;
    (void)uv_signal_start(&d->on_int, on_signal, SIGINT);
    (void)uv_signal_start(&d->on_term, on_signal, SIGTERM);
}

/* Opens what needs root, gives root up, then reads what was opened. */
static int narrow_and_configure(struct daemon *d, struct err *err)
{
    _cleanup_close_ int fd = -1;
    if (d->o.config != NULL) {
        fd = open(d->o.config, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
            return err_sys(err, -errno, "open the configuration '%s'", d->o.config);
    }
    const int keep[] = {d->o.listen_fd, fd};
    int r = narrow("silicad", d->o.uid, keep, ARRAY_LEN(keep), err);
    if (r < 0)
        return r;
    config_defaults(&d->c);
    return fd >= 0 ? config_read(fd, d->o.config, &d->c, err) : 0;
}

static int run(struct daemon *d, int argc, char **argv, struct err *err)
{
    int r = options_parse(argc, argv, &d->o, err);
    if (r == 0)
        r = name_folders(d, err);
    if (r == 0)
        r = narrow_and_configure(d, err);
    if (r < 0)
        return r;
    log_setup("silicad", d->c.log_level, d->c.log_json);
    r = confine_self(d, err);
    if (r < 0)
        return r;
    r = uv_loop_init(&d->loop);
    if (r < 0)
        return err_sys(err, r, "start the loop");
    r = store_start(d, err);
    if (r == 0)
        r = driver_start(d, err);
    if (r == 0)
        r = manager_start(d, err);
    if (r < 0)
        return r;
    signals_start(d);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT); /* returns when stop() has closed everything */
    store_close(d->store);
    r = uv_loop_close(&d->loop);
    if (r < 0)
        return err_sys(err, r, "end with every handle closed");
    return d->failed ? -EIO : 0;
}

int main(int argc, char **argv)
{
    struct daemon *d = xnew(struct daemon);
    struct err err = {0};
    log_setup("silicad", LOG_INFO, false);
    int r = run(d, argc, argv, &err);
    if (r < 0 && err.msg[0] != '\0')
        log_error("%s", err.msg);
    free(d);
    return r == 0 ? 0 : err.kind == ERR_INVALID ? 2 : 1;
}
