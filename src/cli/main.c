/*
 * silica: the command line. This file is the table of commands and how their failures are told; each
 * command is a file of its own, cmd_<name>.c, and does its work through libsilica or the libraries
 * below.
 */
#include "cli/cli.h"

#include "base/cleanup.h"

#include <signal.h>
#include <stdio.h>

const struct cli_command cli_commands[] = {
    {"serve", "run the server in the foreground", cmd_serve},
    {"env", "print what clients must export", cmd_env},
    {"run", "run one command in a fresh sandbox", cmd_run},
    {"sandbox", "create, list, info, kill", cmd_sandbox},
    {"key", "create, list, revoke API keys", cmd_key},
    {"template", "build, list templates, prepare micro-VMs", cmd_template},
    {"doctor", "check whether this machine can run sandboxes", cmd_doctor},
    {"version", "print the version", cmd_version},
    {"help", "print this", cmd_help},
};
const size_t cli_n_commands = ARRAY_LEN(cli_commands);

int cli_fail(const char *command, const struct err *err)
{
    (void)fprintf(stderr, "silica %s: %s\n", command, err->msg);
    switch (err->kind) {
    case ERR_DENIED:
        return CLI_AUTH;
    case ERR_NOT_FOUND:
        return CLI_NOT_FOUND;
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
        return CLI_UNREACHABLE;
    case ERR_LIMIT:
        return CLI_LIMIT;
    case ERR_INTERNAL:
    case ERR_INVALID:
    case ERR_CONFLICT:
    case ERR_KIND_MAX_:
        break;
    }
    return CLI_FAILED;
}

int cli_no_state(const char *data, int num, struct err *err)
{
    if (num == -ENOENT)
        return err_set(err, num, ERR_NOT_FOUND,
                       "no server has run on %s yet: start `silica serve`, or name its folder "
                       "with --data",
                       data);
    if (num == -EACCES)
        return err_set(err, num, ERR_DENIED, "%s may not be read by this user: use sudo", data);
    return err_sys(err, num, "%s", data);
}

int cli_fail_usage(const char *command, const struct err *err)
{
    (void)fprintf(stderr, "silica %s: %s (see 'silica %s --help')\n", command, err->msg, command);
    return CLI_USAGE;
}

int cli_fail_sdk(const char *command, const silica_error *err)
{
    (void)fprintf(stderr, "silica %s: %s\n", command, err->message);
    if (err->rc == SILICA_E_NETWORK)
        (void)fprintf(stderr,
                      "silica %s: is the server running? `silica serve` starts one, and "
                      "E2B_API_URL names another\n",
                      command);
    switch (err->rc) {
    case SILICA_E_AUTH:
        return CLI_AUTH;
    case SILICA_E_NOT_FOUND:
    case SILICA_E_GONE:
        return CLI_NOT_FOUND;
    case SILICA_E_NETWORK:
    case SILICA_E_TIMEOUT:
    case SILICA_E_UNAVAILABLE:
    case SILICA_E_TLS:
        return CLI_UNREACHABLE;
    case SILICA_E_RATE_LIMIT:
    case SILICA_E_QUOTA:
        return CLI_LIMIT;
    case SILICA_OK:
    case SILICA_E_INVALID:
    case SILICA_E_CONFLICT:
    case SILICA_E_PROTOCOL:
    case SILICA_E_NO_SPACE:
    case SILICA_E_CANCELLED:
    case SILICA_E_UNSUPPORTED:
    case SILICA_E_TOO_LARGE:
    case SILICA_E_IO:
    case SILICA_E_NO_MEMORY:
    case SILICA_E_INTERNAL:
        break;
    }
    return CLI_FAILED;
}

int cli_flush(int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    (void)fprintf(stderr, "silica: cannot write to standard output\n");
    return status != CLI_OK ? status : CLI_FAILED;
}

int cli_subcommand(const char *what, const struct cli_command *table, size_t n, int argc,
                   char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0)
            return table[i].run(argc - 1, argv + 1);
    }
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    FILE *out = asked ? stdout : stderr;
    if (!asked && name[0] != '\0')
        (void)fprintf(out, "silica %s: unknown command '%s'\n", what, name);
    (void)fprintf(out, "Usage: silica %s COMMAND\n\nCommands:\n", what);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "  %-10s %s\n", table[i].name, table[i].summary);
    return asked ? CLI_OK : CLI_USAGE;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a closed pipe is a failed write */
    if (strcmp(name, "--version") == 0)
        return cli_flush(cmd_version(1, argv + 1));
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return cli_flush(cmd_help(1, argv + 1));
    for (size_t i = 0; i < cli_n_commands; i++) {
        if (strcmp(cli_commands[i].name, name) == 0)
            return cli_flush(cli_commands[i].run(argc - 1, argv + 1));
    }
    if (name[0] != '\0')
        (void)fprintf(stderr, "silica: unknown command '%s' (see 'silica help')\n", name);
    else
        (void)fprintf(stderr, "silica: a command is missing (see 'silica help')\n");
    return CLI_USAGE;
}
