/*
 * DATA/credentials: where the server is and the first API key, one NAME=VALUE a line, mode 0600.
 * `silica serve` writes it; the client commands read it when the environment says nothing.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { CREDENTIALS_MAX_BYTES = 4096 };

struct field {
    const char *name;
    char *value;
    size_t cap;
};

enum { N_FIELDS = 4 };

static void fields_of(struct credentials *c, struct field ret[static N_FIELDS])
{
    ret[0] = (struct field){"E2B_API_URL", c->api_url, sizeof(c->api_url)};
    ret[1] = (struct field){"E2B_SANDBOX_URL", c->sandbox_url, sizeof(c->sandbox_url)};
    ret[2] = (struct field){"E2B_DOMAIN", c->domain, sizeof(c->domain)};
    ret[3] = (struct field){"E2B_API_KEY", c->api_key, sizeof(c->api_key)};
}

int credentials_read(const char *data, struct credentials *ret, struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(CREDENTIALS_MAX_BYTES);
    char path[512];
    struct credentials c = {{0}};
    struct field fields[N_FIELDS];
    if (fs_join(path, sizeof(path), data, "credentials") != 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return cli_no_state(data, -errno, err);
    int r = fs_read_fd(fd, &text);
    if (r < 0)
        return err_sys(err, r, "read %s", path);
    fields_of(&c, fields);
    struct slice rest = buf_slice(&text), line;
    while (slice_next(&rest, '\n', &line)) {
        size_t eq = slice_find(line, '=');
        for (size_t i = 0; i < N_FIELDS; i++) {
            if (slice_eq_str(slice_sub(line, 0, eq), fields[i].name) &&
                slice_copy(slice_from(line, eq + 1), fields[i].value, fields[i].cap) != 0)
                return err_set(err, -EBADMSG, ERR_INVALID, "%s: %s is too long", path,
                               fields[i].name);
        }
    }
    *ret = c;
    explicit_bzero(&c, sizeof(c));
    return 0;
}

int credentials_write(const char *data, const struct credentials *c, struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(CREDENTIALS_MAX_BYTES);
    struct credentials copy = *c;
    struct field fields[N_FIELDS];
    fields_of(&copy, fields);
    for (size_t i = 0; i < N_FIELDS; i++)
        buf_printf(&text, "%s=%s\n", fields[i].name, fields[i].value);
    explicit_bzero(&copy, sizeof(copy));
    _cleanup_close_ int dir = open(data, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, -errno, "open %s", data);
    if (text.error != 0)
        return err_set(err, text.error, ERR_INTERNAL, "the credentials do not fit");
    return fs_replace_file(dir, "credentials", buf_slice(&text), 0600, err);
}

/* Single quotes; nothing in these values needs them, but a shell reads this. */
static void print_export(const char *name, const char *value)
{
    printf("export %s='", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'')
            printf("'\\''");
        else
            putchar(*p);
    }
    printf("'\n");
}

void credentials_print(const struct credentials *c, bool with_key)
{
    print_export("E2B_API_URL", c->api_url);
    print_export("E2B_SANDBOX_URL", c->sandbox_url);
    print_export("E2B_DOMAIN", c->domain);
    if (with_key)
        print_export("E2B_API_KEY", c->api_key);
}

int cmd_env(int argc, char **argv)
{
    const char *data = CLI_DATA_DEFAULT;
    const struct cli_option options[] = {
        {"data", 0, CLI_TEXT, &data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
    };
    struct credentials c;
    struct err err = {0};
    int first;
    if (cli_help_asked("env [--data DIR]", "Print export lines for clients: eval \"$(silica env)\"",
                       options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), false, argc, argv, &first, &err) != 0)
        return cli_fail_usage("env", &err);
    if (credentials_read(data, &c, &err) != 0)
        return cli_fail("env", &err);
    credentials_print(&c, c.api_key[0] != '\0');
    explicit_bzero(&c, sizeof(c));
    return CLI_OK;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

silica_rc cli_client(const char *data, silica_client **ret, silica_error *err)
{
    struct credentials c = {{0}};
    const char *key = secure_getenv("E2B_API_KEY");
    if (data == NULL && key != NULL && key[0] != '\0')
        return silica_client_new(SILICA_CLIENT_OPTS(.user_agent = "silica-cli"), ret, err);
    /* Without a file the library says what is missing. */
    (void)credentials_read(data != NULL ? data : CLI_DATA_DEFAULT, &c, NULL);
    bool have = c.api_key[0] != '\0';
    silica_rc rc = silica_client_new(
        SILICA_CLIENT_OPTS(.user_agent = "silica-cli", .no_env = have,
                           .api_key = or_null(c.api_key), .api_url = or_null(c.api_url),
                           .sandbox_url = or_null(c.sandbox_url), .domain = or_null(c.domain)),
        ret, err);
    explicit_bzero(&c, sizeof(c));
    return rc;
}
