/*
 * `silica serve`: the life of the supervisor as named steps; see serve.h.
 */
#include "cli/machine_setup.h"
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

struct announcement {
    const struct serve_settings *s;
    struct credentials *c;
    bool new_key;
};

/* The key is shown when it is made; later it is not put into what may be a log. */
static void announce(void *user)
{
    struct announcement *a = user;
    credentials_print(a->c, a->new_key);
    if (!a->new_key)
        printf("# the API key: silica env --data %s\n", a->s->data);
    explicit_bzero(a->c->api_key, sizeof(a->c->api_key));
    printf("silica: ready on %s\n", a->c->api_url);
    (void)fflush(stdout); /* a reader that went away does not stop the server */
}

static void tell(void *user, const char *line)
{
    (void)user;
    log_info("%s", line);
}

/* What nobody has chosen does not keep the server from starting. */
static int prepare_machines(struct serve_settings *s, struct err *err)
{
    char id[MACHINE_ID_LEN + 1];
    const struct machine_setup setup = {.data = s->data, .templates = s->templates, .tell = tell};
    int r = machine_setup_run(&setup, id, err);
    if (r == 0 || s->driver_chosen)
        return r;
    log_warning("micro-VMs cannot be prepared, containers are taken: %s", err->msg);
    (void)snprintf(s->driver, sizeof(s->driver), "container");
    (void)snprintf(s->driver_reason, sizeof(s->driver_reason),
                   "micro-VMs could not be prepared, see the log");
    s->accelerator = "";
    return 0;
}

static int serve(struct serve_settings *s, struct err *err)
{
    struct instance instance = {.lock_fd = -EBADF, .data_fd = -EBADF};
    struct credentials c = {{0}};
    struct announcement a = {.s = s, .c = &c};
    struct serve_sockets sockets = {.listen_fd = -EBADF, .dns = {-EBADF, -EBADF}};
    int r = fs_mkdir_all(s->data, 0755, err);
    if (r == 0)
        r = instance_take(s->data, &instance, err);
    uint32_t uid = DAEMON_UID_BASE + instance.number;
    if (r == 0)
        r = serve_folders(s, uid, err);
    if (r == 0)
        r = serve_listen(s, &sockets.listen_fd, err);
    if (r == 0)
        r = serve_dns_listen(instance.number, &sockets.dns, err);
    if (r == 0)
        r = serve_settings_complete(s, err);
    if (r == 0)
        r = serve_first_key(s, uid, &c, &a.new_key, err);
    if (r == 0 && strcmp(s->driver, "microvm") == 0)
        r = prepare_machines(s, err);
    if (r == 0) {
        log_info("instance %u, driver %s (%s), data in %s", instance.number, s->driver,
                 s->driver_reason, s->data);
        r = supervise(s, &instance, &sockets, announce, &a, err);
    }
    explicit_bzero(&c, sizeof(c));
    sockets.listen_fd = fd_close(sockets.listen_fd);
    serve_dns_close(&sockets.dns);
    instance_release(&instance);
    return r;
}

int cmd_serve(int argc, char **argv)
{
    struct serve_settings s = {.help = false};
    struct err err = {0};
    log_setup("silica", LOG_INFO, false);
    if (serve_settings_load(argc, argv, &s, &err) != 0)
        return cli_fail_usage("serve", &err);
    if (s.help)
        return CLI_OK;
    if (geteuid() != 0) {
        (void)err_set(&err, -EPERM, ERR_DENIED,
                      "making sandboxes needs root: run it with sudo (the parts that face the "
                      "network give it up)");
        return cli_fail("serve", &err);
    }
    int r = serve(&s, &err);
    return r == 0 ? CLI_OK : cli_fail("serve", &err);
}
