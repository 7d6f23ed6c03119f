/*
 * `silica run`: one command in a fresh sandbox, which is killed when the command is over, or when
 * SIGINT or SIGTERM says so. Output is streamed, stdin passed, the exit status returned; death by
 * signal n is 128 + n, as shells have it.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static silica_cancel *cancel;
static volatile sig_atomic_t got_signal;

static void on_signal(int signum)
{
    got_signal = signum;
    silica_cancel_trigger(cancel);
}

static int catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal};
    (void)sigemptyset(&act.sa_mask);
    return sigaction(SIGINT, &act, NULL) != 0 || sigaction(SIGTERM, &act, NULL) != 0 ||
                   sigaction(SIGHUP, &act, NULL) != 0
               ? -errno
               : 0;
}

static int on_output(void *user, silica_stream stream, const void *data, size_t n)
{
    bool *broken = user;
    if (fs_write_all(stream == SILICA_STDOUT ? STDOUT_FILENO : STDERR_FILENO, data, n) == 0)
        return 0;
    *broken = true; /* as a pipe that closes ends a local command */
    return 1;
}

static int status_of(const silica_exit *e)
{
    switch (e->kind) {
    case SILICA_EXITED:
        return e->code & 0xff;
    case SILICA_SIGNALED:
        return e->signal > 0 ? 128 + e->signal : 128;
    case SILICA_TIMED_OUT:
        (void)fprintf(stderr, "silica run: the command was killed when its timeout passed\n");
        return CLI_RUN_TIMEOUT;
    case SILICA_EXIT_UNKNOWN:
        break;
    }
    return CLI_RUN_FAILED;
}

struct run_args {
    const char *template_id, *user, *cwd, *data, *driver;
    uint64_t timeout_s, life_s;
    struct cli_list env, metadata;
    bool no_internet;
};

static int run_command(silica_sandbox *sbx, const struct run_args *a, const char *const *argv)
{
    silica_error err = {SILICA_OK};
    silica_result res;
    bool broken = false;
    silica_rc rc = silica_execv(
        sbx, argv,
        SILICA_EXEC_OPTS(.timeout_ms = a->timeout_s > 0 ? (int64_t)a->timeout_s * 1000 : -1,
                         .user = a->user, .cwd = a->cwd, .stdin_mode = SILICA_STDIN_FD,
                         .stdin_fd = STDIN_FILENO, .on_output = on_output, .user_data = &broken,
                         .cancel = cancel),
        &res, &err);
    int status = rc == SILICA_OK ? status_of(&res.exit) : CLI_RUN_FAILED;
    if (rc == SILICA_OK && res.exit.reason[0] != '\0' && got_signal == 0 && !broken)
        (void)fprintf(stderr, "silica run: %s\n", res.exit.reason);
    silica_result_free(&res);
    if (got_signal != 0)
        return 128 + got_signal;
    if (broken)
        return 128 + SIGPIPE;
    if (rc != SILICA_OK)
        (void)cli_fail_sdk("run", &err);
    return status;
}

/* Whether the server isolates sandboxes as --driver wants it. */
static silica_rc check_driver(silica_client *client, const char *wanted, silica_error *err)
{
    char driver[SILICA_DRIVER_BYTES];
    silica_rc rc = wanted != NULL ? silica_get_driver(client, driver, err) : SILICA_OK;
    if (rc != SILICA_OK || wanted == NULL || strcmp(driver, wanted) == 0)
        return rc;
    *err = (silica_error){.rc = SILICA_E_UNSUPPORTED};
    (void)snprintf(err->message, sizeof(err->message),
                   "the server's driver is %s, not %.40s (silica serve --driver %.40s)", driver,
                   wanted, wanted);
    return SILICA_E_UNSUPPORTED;
}

static int run_in_sandbox(const struct run_args *a, const char *const *argv)
{
    silica_client *client = NULL;
    silica_sandbox *sbx = NULL;
    silica_error err = {SILICA_OK};
    silica_kv env[CLI_LIST_MAX], metadata[CLI_LIST_MAX];
    struct err e = {0};
    if (cli_split_kv(&a->env, "env", env, &e) != 0 ||
        cli_split_kv(&a->metadata, "metadata", metadata, &e) != 0)
        return cli_fail_usage("run", &e);
    silica_rc rc = cli_client(a->data, &client, &err);
    if (rc == SILICA_OK)
        rc = check_driver(client, a->driver, &err);
    if (rc == SILICA_OK)
        rc = silica_open(client,
                         SILICA_OPEN_OPTS(.template_id = a->template_id,
                                          .timeout_ms = (int64_t)a->life_s * 1000, .env = env,
                                          .n_env = a->env.n, .metadata = metadata,
                                          .n_metadata = a->metadata.n,
                                          .internet = a->no_internet ? SILICA_OFF : SILICA_DEFAULT),
                         &sbx, &err);
    int status = CLI_RUN_FAILED;
    if (rc != SILICA_OK)
        (void)cli_fail_sdk("run", &err);
    else if (got_signal != 0)
        status = 128 + got_signal;
    else
        status = run_command(sbx, a, argv);
    if (sbx != NULL && silica_kill(sbx, &err) != SILICA_OK)
        (void)fprintf(stderr, "silica run: sandbox %s is not killed: %s\n", silica_id(sbx),
                      err.message);
    silica_close(sbx);
    silica_client_free(client);
    return status;
}

int cmd_run(int argc, char **argv)
{
    static struct run_args a; /* the lists are large */
    const struct cli_option options[] = {
        {"template", 't', CLI_TEXT, &a.template_id, 0, "NAME", "template (default base)"},
        {"env", 'e', CLI_LIST, &a.env, 0, "K=V", "environment variable; may be repeated"},
        {"metadata", 'm', CLI_LIST, &a.metadata, 0, "K=V", "metadata; may be repeated"},
        {"timeout", 0, CLI_NUM, &a.timeout_s, 86400, "S",
         "kill the command after S seconds (status 124)"},
        {"life", 0, CLI_NUM, &a.life_s, 86400, "S",
         "longest life of the sandbox (default: the timeout and a minute, else 3600)"},
        {"user", 'u', CLI_TEXT, &a.user, 0, "NAME", "run as this user (default: the template's)"},
        {"cwd", 'w', CLI_TEXT, &a.cwd, 0, "DIR", "working directory"},
        {"no-internet", 0, CLI_FLAG, &a.no_internet, 0, NULL, "no way out of the sandbox"},
        {"driver", 0, CLI_TEXT, &a.driver, 0, "NAME",
         "only on a server that isolates sandboxes so: container or microvm"},
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "take address and key from DIR/credentials"},
    };
    struct err err = {0};
    silica_error serr = {SILICA_OK};
    int first;
    if (cli_help_asked("run [OPTIONS] -- COMMAND [ARGS]",
                       "Run one command in a fresh sandbox: its output is streamed, stdin is "
                       "passed,\nits exit status returned (128+n for signal n, 124 after "
                       "--timeout, 125 when Silica\nitself failed). The sandbox is killed after.",
                       options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), false, argc, argv, &first, &err) != 0)
        return cli_fail_usage("run", &err);
    if (first == argc) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "a command is missing");
        return cli_fail_usage("run", &err);
    }
    if (a.life_s == 0)
        a.life_s = a.timeout_s > 0 ? a.timeout_s + 60 : 3600;
    if (a.life_s > 86400)
        a.life_s = 86400;
    if (silica_cancel_new(&cancel, &serr) != SILICA_OK)
        return cli_fail_sdk("run", &serr);
    if (catch_signals() != 0) {
        (void)fprintf(stderr, "silica run: cannot catch signals\n");
        return CLI_RUN_FAILED;
    }
    return run_in_sandbox(&a, (const char *const *)&argv[first]);
}
