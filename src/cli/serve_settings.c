/*
 * Where `silica serve` gets its settings from: option, environment (SILICA_DRIVER), the [server]
 * section of the configuration file, default. All other keys of that file are the daemon's, which
 * checks them when it starts.
 */
#include "cli/accelerator.h"
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"
#include "http/url.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ini.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONFIG_FILE_MAX_BYTES = 65536 };

struct given {
    const char *data, *templates, *listen, *config, *driver, *domain;
    bool insecure, tls, help;
};

struct from_file {
    char data[SERVE_TEXT_MAX], listen[SERVE_TEXT_MAX], driver[SERVE_TEXT_MAX],
        domain[SERVE_TEXT_MAX], resolv_conf[SERVE_TEXT_MAX];
    bool too_long;
};

static const char help_text[] =
    "Run Silica in the foreground: takes an instance number, makes its folders, starts "
    "silica-priv\n"
    "and silicad and looks after them. SIGINT (Ctrl-C) ends all sandboxes and leaves nothing\n"
    "behind; SIGTERM stops the server and leaves sandboxes to the next start. Needs root.";

static int read_options(int argc, char **argv, struct given *g, struct err *err)
{
    const struct cli_option options[] = {
        {"data", 0, CLI_TEXT, &g->data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
        {"templates", 0, CLI_TEXT, &g->templates, 0, "DIR", "templates (default DATA/templates)"},
        {"listen", 0, CLI_TEXT, &g->listen, 0, "ADDR:PORT", "default " CLI_LISTEN_DEFAULT},
        {"domain", 0, CLI_TEXT, &g->domain, 0, "HOST:PORT",
         "what sandbox names end with (default localhost:PORT)"},
        {"driver", 0, CLI_TEXT, &g->driver, 0, "NAME", "auto, container or microvm"},
        {"config", 0, CLI_TEXT, &g->config, 0, "FILE", "configuration file"},
        {"insecure", 0, CLI_FLAG, &g->insecure, 0, NULL,
         "allow plain HTTP beyond this machine (keys travel readable)"},
        {"tls", 0, CLI_FLAG, &g->tls, 0, NULL, "not in this version: put a TLS proxy in front"},
    };
    int first = argc;
    g->help = cli_help_asked("serve [OPTIONS]", help_text, options, ARRAY_LEN(options), argc, argv);
    if (g->help)
        return 0;
    if (cli_parse(options, ARRAY_LEN(options), false, argc, argv, &first, err) != 0)
        return -EINVAL;
    if (first < argc)
        return err_set(err, -EINVAL, ERR_INVALID, "unexpected word '%.60s'", argv[first]);
    if (g->tls)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "--tls is not in this version; listen on loopback and put a TLS proxy in "
                       "front");
    return 0;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct from_file *f = user;
    const struct {
        const char *name;
        char *dst;
    } keys[] = {
        {"data", f->data},     {"listen", f->listen},           {"driver", f->driver},
        {"domain", f->domain}, {"resolv_conf", f->resolv_conf},
    };
    for (size_t i = 0; strcmp(section, "server") == 0 && i < ARRAY_LEN(keys); i++) {
        if (strcmp(keys[i].name, name) == 0 &&
            slice_copy(slice_str(value), keys[i].dst, SERVE_TEXT_MAX) != 0)
            f->too_long = true;
    }
    return 1;
}

static int read_config(const char *path, struct from_file *f, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(CONFIG_FILE_MAX_BYTES);
    if (path == NULL)
        return 0;
    int r = fs_read_file(AT_FDCWD, path, &text, err);
    if (r < 0)
        return r;
    int line = ini_parse_string(buf_str(&text), on_key, f);
    if (line != 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "configuration '%s', line %d: not of the form 'key = value'", path, line);
    if (f->too_long)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "configuration '%s': a [server] value is too long", path);
    return 0;
}

static const char *pick(const char *a, const char *b, const char *c, const char *preset)
{
    if (a != NULL && a[0] != '\0')
        return a;
    if (b != NULL && b[0] != '\0')
        return b;
    return c != NULL && c[0] != '\0' ? c : preset;
}

/* Absolute form of a path; it need not exist. */
static int absolute(const char *path, char dst[static PATH_MAX], struct err *err)
{
    char cwd[PATH_MAX];
    if (path[0] == '/')
        return slice_copy(slice_str(path), dst, PATH_MAX);
    if (getcwd(cwd, sizeof(cwd)) == NULL)
        return err_sys(err, -errno, "read the working directory");
    if (fs_join(dst, PATH_MAX, cwd, path) != 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the path '%.60s' is too long", path);
    return 0;
}

static int set_driver(struct serve_settings *s, const char *driver, struct err *err)
{
    struct accelerator a;
    bool chosen = strcmp(driver, "auto") != 0;
    if (chosen && strcmp(driver, "container") != 0 && strcmp(driver, "microvm") != 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "unknown driver '%.40s': auto, container or microvm", driver);
    accelerator_probe(&a);
    s->driver_chosen = chosen;
    s->accelerator = "";
    if (strcmp(driver, "container") == 0 || (!chosen && !a.kvm)) {
        (void)snprintf(
            s->driver_reason, sizeof(s->driver_reason), "%s%s",
            chosen ? "it was chosen" : "no hardware virtualisation: ", chosen ? "" : a.reason);
        return slice_copy(SLICE_LIT("container"), s->driver, sizeof(s->driver));
    }
    s->accelerator = a.kvm ? "kvm" : "tcg";
    (void)snprintf(s->driver_reason, sizeof(s->driver_reason), "%s; %s%s",
                   chosen ? "it was chosen" : "hardware virtualisation works",
                   a.kvm ? "" : "by software emulation, since ", a.reason);
    return slice_copy(SLICE_LIT("microvm"), s->driver, sizeof(s->driver));
}

static int set_v4(struct serve_settings *s, const char *host)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(s->port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        return -EINVAL;
    uint32_t ip = ntohl(a.sin_addr.s_addr);
    memcpy(&s->addr, &a, sizeof(a));
    s->addr_len = sizeof(a);
    s->beyond_loopback = ip >> 24 != 127;
    (void)snprintf(s->host, sizeof(s->host), "%s", ip == INADDR_ANY ? "127.0.0.1" : host);
    return 0;
}

static int set_v6(struct serve_settings *s, const char *host)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(s->port)};
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, host, &a.sin6_addr) != 1 ||
        inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof(text)) == NULL)
        return -EINVAL;
    memcpy(&s->addr, &a, sizeof(a));
    s->addr_len = sizeof(a);
    s->beyond_loopback = !IN6_IS_ADDR_LOOPBACK(&a.sin6_addr);
    (void)snprintf(s->host, sizeof(s->host), "[%s]",
                   IN6_IS_ADDR_UNSPECIFIED(&a.sin6_addr) ? "::1" : text);
    return 0;
}

static int set_listen(struct serve_settings *s, const char *listen, bool insecure, struct err *err)
{
    struct slice host, port;
    char name[SERVE_TEXT_MAX];
    uint32_t n = 0;
    size_t colon = strlen(listen);
    while (colon > 0 && listen[colon - 1] != ':')
        colon--;
    host = slice_of(listen, colon > 0 ? colon - 1 : 0);
    port = slice_str(listen + colon);
    if (colon == 0 || parse_u32(port, 65535, &n) != 0)
        return err_set(err, -EINVAL, ERR_INVALID, "--listen '%.60s' is not ADDRESS:PORT", listen);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = slice_sub(host, 1, host.n - 2);
    s->port = (uint16_t)n;
    if (slice_eq_str(host, "localhost"))
        host = SLICE_LIT("127.0.0.1");
    if (slice_copy(host, name, sizeof(name)) != 0 || (set_v4(s, name) != 0 && set_v6(s, name) != 0))
        return err_set(err, -EINVAL, ERR_INVALID,
                       "--listen '%.60s': the address must be an IP address", listen);
    if (s->beyond_loopback && !insecure)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "--listen %.60s is reachable from other machines and there is no TLS yet: "
                       "keys would travel readable; say --insecure if that is meant",
                       listen);
    return slice_copy(slice_str(listen), s->listen, sizeof(s->listen));
}

int serve_settings_load(int argc, char **argv, struct serve_settings *ret, struct err *err)
{
    struct given g = {0};
    struct from_file f = {{0}};
    struct serve_settings s = {.help = false};
    if (read_options(argc, argv, &g, err) != 0)
        return -EINVAL;
    ret->help = g.help;
    if (g.help)
        return 0;
    int r = read_config(g.config, &f, err);
    if (r == 0 && g.config != NULL)
        r = absolute(g.config, s.config, err);
    if (r == 0)
        r = absolute(pick(g.data, f.data, NULL, CLI_DATA_DEFAULT), s.data, err);
    if (r == 0 && f.resolv_conf[0] != '\0')
        r = absolute(f.resolv_conf, s.resolv_conf, err);
    s.own_templates = g.templates == NULL;
    if (r == 0 && s.own_templates)
        r = fs_join(s.templates, sizeof(s.templates), s.data, "templates");
    else if (r == 0)
        r = absolute(g.templates, s.templates, err);
    if (r == 0)
        r = set_driver(&s, pick(g.driver, secure_getenv("SILICA_DRIVER"), f.driver, "auto"), err);
    if (r == 0)
        r = set_listen(&s, pick(g.listen, f.listen, NULL, CLI_LISTEN_DEFAULT), g.insecure, err);
    if (r == 0)
        r = slice_copy(slice_str(pick(g.domain, f.domain, NULL, "")), s.domain, sizeof(s.domain));
    if (r == 0)
        *ret = s;
    else if (err->num == 0)
        (void)err_set(err, r, ERR_INVALID, "a setting is too long");
    return r;
}

int serve_settings_complete(struct serve_settings *s, struct err *err)
{
    struct slice host;
    uint16_t port;
    if (s->domain[0] == '\0')
        (void)snprintf(s->domain, sizeof(s->domain), "localhost:%u", (unsigned)s->port);
    if (url_split_host(slice_str(s->domain), &host, &port) != 0 || host.n == 0)
        return err_set(err, -EINVAL, ERR_INVALID, "--domain '%.60s' is not HOST or HOST:PORT",
                       s->domain);
    return 0;
}
