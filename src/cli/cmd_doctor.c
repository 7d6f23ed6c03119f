/* `silica doctor`: the table of checks and how they are told; see doctor.h. */
#include "cli/cli.h"
#include "cli/doctor.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

static const struct {
    const char *name;
    doctor_check run;
} checks[] = {
    {"rights", doctor_root},
    {"kernel", doctor_kernel},
    {"user namespaces", doctor_userns},
    {"overlay", doctor_overlay},
    {"cgroups", doctor_cgroups},
    {"virtualisation", doctor_kvm},
    {"machines", doctor_machines},
    {"nftables", doctor_nftables},
    {"forwarding", doctor_forward},
    {"programs", doctor_programs},
    {"disk", doctor_disk},
    {"sandbox disks", doctor_pool},
    {"loop devices", doctor_loop},
    {"names", doctor_names},
    {"nameservers", doctor_nameservers},
    {"port", doctor_port},
    {"template", doctor_template},
};

bool doctor_ok(struct doctor *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(d->detail, sizeof(d->detail), fmt, ap); /* a cut detail is still a hint */
    va_end(ap);
    return true;
}

bool doctor_bad(struct doctor *d, const char *fix, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(d->detail, sizeof(d->detail), fmt, ap);
    va_end(ap);
    d->fix = fix;
    return false;
}

int doctor_in_child(int (*try_it)(void))
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(try_it());
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int cmd_doctor(int argc, char **argv)
{
    char templates[PATH_MAX];
    struct doctor d = {.data = CLI_DATA_DEFAULT, .listen = CLI_LISTEN_DEFAULT};
    const struct cli_option options[] = {
        {"data", 0, CLI_TEXT, &d.data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
        {"templates", 0, CLI_TEXT, &d.templates, 0, "DIR", "templates (default DATA/templates)"},
        {"listen", 0, CLI_TEXT, &d.listen, 0, "ADDR:PORT", "default " CLI_LISTEN_DEFAULT},
    };
    struct err err = {0};
    int first, failed = 0;
    if (cli_help_asked("doctor [OPTIONS]",
                       "Check whether this machine can run sandboxes. Status 1 when a check fails.",
                       options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), false, argc, argv, &first, &err) != 0)
        return cli_fail_usage("doctor", &err);
    if (d.templates == NULL && fs_join(templates, sizeof(templates), d.data, "templates") == 0)
        d.templates = templates;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        d.detail[0] = '\0';
        d.fix = NULL;
        bool ok = checks[i].run(&d);
        printf("%-6s  %-16s %s\n", ok ? "ok" : "failed", checks[i].name, d.detail);
        if (!ok)
            printf("%-6s  %-16s -> %s\n", "", "", d.fix);
        failed += !ok;
    }
    return failed == 0 ? CLI_OK : CLI_FAILED;
}
