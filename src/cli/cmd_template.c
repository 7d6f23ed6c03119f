/* `silica template build|list|machine`: on the data folder itself; all but listing needs root. */
#include "cli/cli.h"
#include "cli/machine_setup.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/build.h"
#include "image/template.h"
#include "json/writer.h"

#include <limits.h>
#include <stdio.h>

enum { JSON_OUT_MAX = 4194304 };

struct args {
    const char *data, *templates, *mirror, *keyring;
    uint64_t cpus, memory_mb, disk_mb;
    bool json, offline;
    char folder[PATH_MAX]; /* of the templates */
};

static int set_folder(struct args *a, struct err *err)
{
    int r = a->templates != NULL ? slice_copy(slice_str(a->templates), a->folder, sizeof(a->folder))
                                 : fs_join(a->folder, sizeof(a->folder), a->data, "templates");
    return r == 0 ? 0 : err_set(err, r, ERR_INVALID, "the templates folder's name is too long");
}

static int sub_build(int argc, char **argv)
{
    static struct args a = {.data = CLI_DATA_DEFAULT};
    const struct cli_option options[] = {
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
        {"templates", 0, CLI_TEXT, &a.templates, 0, "DIR", "templates (default DATA/templates)"},
        {"mirror", 0, CLI_TEXT, &a.mirror, 0, "URL", "Debian mirror (default: this host's)"},
        {"keyring", 0, CLI_TEXT, &a.keyring, 0, "FILE", "keys that sign the mirror"},
        {"cpus", 0, CLI_NUM, &a.cpus, 1024, "N", "cpus of a sandbox (default 2)"},
        {"memory", 0, CLI_NUM, &a.memory_mb, 1048576, "MB", "memory of a sandbox (default 1024)"},
        {"disk", 0, CLI_NUM, &a.disk_mb, 16777216, "MB", "disk of a sandbox (default 10240)"},
    };
    struct err err = {0};
    char id[TEMPLATE_ID_LEN + 1] = "";
    int first;
    if (cli_help_asked("template build [OPTIONS] base",
                       "Build the base template (Debian 12 with developers' tools). Needs root.",
                       options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), true, argc, argv, &first, &err) != 0)
        return cli_fail_usage("template", &err);
    if (argc - first != 1 || strcmp(argv[first], "base") != 0) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "the only template that can be built is 'base'");
        return cli_fail_usage("template", &err);
    }
    struct image_build_opts o = {
        .templates_dir = a.folder,
        .mirror = a.mirror,
        .keyring = a.keyring,
        .cpu_count = (uint32_t)a.cpus,
        .memory_mb = (uint32_t)a.memory_mb,
        .disk_mb = (uint32_t)a.disk_mb,
        .catch_signals = true,
        .progress = image_progress_print,
        .progress_user = stderr,
        .ret_id = id,
    };
    if (set_folder(&a, &err) != 0 || image_build_base(&o, &err) != 0)
        return cli_fail("template", &err);
    printf("%s\n", id);
    return CLI_OK;
}

struct listing {
    struct json_writer w;
    bool json;
};

static int print_template(const struct template_info *t, void *user)
{
    struct listing *l = user;
    if (!l->json) {
        printf("%-20s  %-20s  %4u  %7u  %7u\n", t->id, t->alias, t->cpu_count, t->memory_mb,
               t->disk_mb);
        return 0;
    }
    jw_obj(&l->w);
    jw_kstr(&l->w, "templateID", t->id);
    jw_kstr(&l->w, "alias", t->alias);
    jw_kstr(&l->w, "buildID", t->build_id);
    jw_ku64(&l->w, "cpuCount", t->cpu_count);
    jw_ku64(&l->w, "memoryMB", t->memory_mb);
    jw_ku64(&l->w, "diskSizeMB", t->disk_mb);
    jw_end(&l->w);
    return l->w.out->error;
}

static int sub_list(int argc, char **argv)
{
    static struct args a = {.data = CLI_DATA_DEFAULT};
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &a.json, 0, NULL, "print JSON"},
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
        {"templates", 0, CLI_TEXT, &a.templates, 0, "DIR", "templates (default DATA/templates)"},
    };
    _cleanup_buf_ struct buf out = BUF_INIT(JSON_OUT_MAX);
    struct listing l = {.json = false};
    struct err err = {0};
    int first;
    if (cli_help_asked("template list [OPTIONS]", "List the templates of this machine.", options,
                       ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), true, argc, argv, &first, &err) != 0)
        return cli_fail_usage("template", &err);
    if (first < argc) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "unexpected word '%.60s'", argv[first]);
        return cli_fail_usage("template", &err);
    }
    l.json = a.json;
    jw_init(&l.w, &out);
    if (a.json)
        jw_arr(&l.w);
    else
        printf("%-20s  %-20s  %4s  %7s  %7s\n", "ID", "ALIAS", "CPUS", "MEM MB", "DISK MB");
    if (set_folder(&a, &err) != 0 || template_each(a.folder, print_template, &l, &err) != 0)
        return cli_fail("template", &err);
    if (a.json) {
        jw_end(&l.w);
        printf("%s\n", buf_str(&out));
    }
    return CLI_OK;
}

static void tell(void *user, const char *line)
{
    (void)user;
    (void)fprintf(stderr, "silica template: %s\n", line);
}

static int prepare_machines(struct args *a, struct err *err)
{
    char id[MACHINE_ID_LEN + 1];
    struct machine_setup setup = {.data = a->data, .offline = a->offline, .tell = tell};
    int r = set_folder(a, err);
    setup.templates = a->folder;
    if (r == 0)
        r = machine_setup_run(&setup, id, err);
    if (r == 0)
        printf("%s\n", id);
    return r;
}

static int sub_machine(int argc, char **argv)
{
    static struct args a = {.data = CLI_DATA_DEFAULT};
    const struct cli_option options[] = {
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
        {"templates", 0, CLI_TEXT, &a.templates, 0, "DIR", "templates (default DATA/templates)"},
        {"offline", 0, CLI_FLAG, &a.offline, 0, NULL, "download nothing"},
    };
    struct err err = {0};
    int first;
    if (cli_help_asked("template machine [OPTIONS]",
                       "Prepare QEMU, a kernel and all templates for micro-VMs. Needs root.",
                       options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), true, argc, argv, &first, &err) != 0)
        return cli_fail_usage("template", &err);
    if (first < argc) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "unexpected word '%.60s'", argv[first]);
        return cli_fail_usage("template", &err);
    }
    return prepare_machines(&a, &err) == 0 ? CLI_OK : cli_fail("template", &err);
}

int cmd_template(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"build", "build the base template", sub_build},
        {"list", "list templates", sub_list},
        {"machine", "prepare micro-VMs", sub_machine},
    };
    return cli_subcommand("template", table, ARRAY_LEN(table), argc, argv);
}
