/*
 * What the commands of `silica` share: the table, the option parser, credentials, error printing.
 *
 * Exit status, for all commands but `run` (which returns the command's own): see enum cli_exit.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <silica/silica.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* anything that has no number of its own */
    CLI_USAGE = 2,       /* wrong arguments */
    CLI_AUTH = 3,        /* key missing or refused */
    CLI_NOT_FOUND = 4,   /* no such sandbox, template, key */
    CLI_UNREACHABLE = 5, /* network, time-out, service busy */
    CLI_LIMIT = 6,       /* rate limit or quota */
    /* `silica run` only */
    CLI_RUN_TIMEOUT = 124, /* the command was killed by --timeout */
    CLI_RUN_FAILED = 125,  /* Silica, not the command, failed */
};

#define CLI_DATA_DEFAULT   "/var/lib/silica"
#define CLI_LISTEN_DEFAULT "127.0.0.1:3000"

struct cli_command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit status */
};
extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

int cmd_serve(int argc, char **argv);
int cmd_env(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sandbox(int argc, char **argv);
/* `silica sandbox events`: of one, or of all (id NULL). Returns the exit status. */
int cli_sandbox_events(silica_client *client, const char *id, bool json, uint64_t max);
int cmd_key(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* Run the entry of `table` that argv[1] names; `what` is the command's own name. */
int cli_subcommand(const char *what, const struct cli_command *table, size_t n, int argc,
                   char **argv);

/* ---- options (options.c) */

enum cli_type {
    CLI_FLAG, /* bool */
    CLI_TEXT, /* const char *, borrowed from argv */
    CLI_NUM,  /* uint64_t, at most `max` */
    CLI_LIST, /* struct cli_list */
};

enum { CLI_LIST_MAX = 256 };
struct cli_list {
    const char *items[CLI_LIST_MAX];
    size_t n;
};

struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* or 0 */
    enum cli_type type;
    void *ret;
    uint64_t max;     /* CLI_NUM */
    const char *arg;  /* what the help calls the value */
    const char *help; /* one line */
};

/*
 * Parse "--name value", "--name=value", "-x value" and flags, up to "--" or the first word that is
 * no option. *ret_first is the index of the first word after them. With `mixed`, options may also
 * follow words; the words are then moved to the end of argv in their order. -EINVAL: `err` names
 * the option.
 */
int cli_parse(const struct cli_option *options, size_t n, bool mixed, int argc, char **argv,
              int *ret_first, struct err *err);
/* True after printing the help when argv asks for it (--help or -h before "--"). */
bool cli_help_asked(const char *usage, const char *text, const struct cli_option *options, size_t n,
                    int argc, char **argv);
/* Split "K=V" (K not empty); the copies live as long as the process. Returns 0 or -EINVAL. */
int cli_split_kv(const struct cli_list *list, const char *what, silica_kv *ret, struct err *err);

/* ---- errors (main.c) */

/* "silica: <command>: <message>" on stderr; returns the exit status. */
int cli_fail(const char *command, const struct err *err);
int cli_fail_usage(const char *command, const struct err *err);
int cli_fail_sdk(const char *command, const silica_error *err);
/* Why what a server keeps in its data folder could not be opened, and what to do. Returns num. */
int cli_no_state(const char *data, int num, struct err *err);
/* Write out what is buffered for stdout; CLI_FAILED when it did not all go out. */
int cli_flush(int status);

/* ---- credentials (credentials.c) */

/* What clients need, as DATA/credentials holds it (mode 0600) and `silica env` prints it. */
struct credentials {
    char api_url[300], sandbox_url[300], domain[256], api_key[128];
};
/* -ENOENT when there is no file. */
int credentials_read(const char *data, struct credentials *ret, struct err *err);
int credentials_write(const char *data, const struct credentials *c, struct err *err);
void credentials_print(const struct credentials *c, bool with_key);

/*
 * A client from the environment, else from the credentials of `data` (NULL: the default folder)
 * when they can be read.
 */
silica_rc cli_client(const char *data, silica_client **ret, silica_error *err);
