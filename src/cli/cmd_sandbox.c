/* `silica sandbox create|list|info|events|kill`. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "json/writer.h"

#include <stdio.h>

enum { JSON_OUT_MAX = 1048576 };

static void print_time(const char *label, int64_t ms)
{
    char text[RFC3339_BYTES];
    rfc3339_format(ms * (int64_t)NS_PER_MS, text);
    printf("%s%s", label, text);
}

static const char *state_name(silica_state s)
{
    switch (s) {
    case SILICA_STATE_RUNNING:
        return "running";
    case SILICA_STATE_PAUSED:
        return "paused";
    case SILICA_STATE_UNKNOWN:
        break;
    }
    return "unknown";
}

static void write_json(struct json_writer *w, const silica_sandbox_info *i)
{
    char text[RFC3339_BYTES];
    jw_obj(w);
    jw_kstr(w, "sandboxID", i->sandbox_id);
    jw_kstr(w, "templateID", i->template_id);
    jw_kstr(w, "alias", i->alias);
    jw_kstr(w, "state", state_name(i->state));
    rfc3339_format(i->started_at_ms * (int64_t)NS_PER_MS, text);
    jw_kstr(w, "startedAt", text);
    rfc3339_format(i->end_at_ms * (int64_t)NS_PER_MS, text);
    jw_kstr(w, "endAt", text);
    jw_ku64(w, "cpuCount", i->cpu_count);
    jw_ku64(w, "memoryMB", i->memory_mb);
    jw_ku64(w, "diskSizeMB", i->disk_mb);
    jw_key(w, "silica");
    jw_obj(w);
    jw_ku64(w, "outOfMemory", i->out_of_memory);
    jw_ku64(w, "processLimit", i->process_limit);
    jw_ku64(w, "diskFull", i->disk_full);
    jw_ku64(w, "inodesFull", i->inodes_full);
    jw_end(w);
    jw_key(w, "metadata");
    jw_obj(w);
    for (size_t k = 0; k < i->n_metadata; k++)
        jw_kstr(w, i->metadata[k].key, i->metadata[k].value);
    jw_end(w);
    jw_end(w);
}

/* Only what happened. */
static void print_totals(const silica_sandbox_info *i)
{
    const struct {
        uint32_t n;
        const char *text;
    } totals[] = {
        {i->out_of_memory, "processes killed for want of memory"},
        {i->process_limit, "starts of a process refused"},
        {i->disk_full, "times the disk was full"},
        {i->inodes_full, "times the disk had no room for more files"},
    };
    for (size_t k = 0; k < ARRAY_LEN(totals); k++)
        if (totals[k].n != 0)
            printf("limit met %u %s\n", totals[k].n, totals[k].text);
}

static void print_info(const silica_sandbox_info *i)
{
    printf("id        %s\ntemplate  %s%s%s%s\nstate     %s\n", i->sandbox_id, i->template_id,
           i->alias[0] != '\0' ? " (" : "", i->alias, i->alias[0] != '\0' ? ")" : "",
           state_name(i->state));
    print_time("started   ", i->started_at_ms);
    print_time("\nends      ", i->end_at_ms);
    printf("\ncpus      %u\nmemory    %u MB\ndisk      %u MB\n", i->cpu_count, i->memory_mb,
           i->disk_mb);
    print_totals(i);
    for (size_t k = 0; k < i->n_metadata; k++)
        printf("metadata  %s=%s\n", i->metadata[k].key, i->metadata[k].value);
}

struct args {
    const char *data, *template_id;
    bool json, no_internet;
    uint64_t timeout_s, max;
    struct cli_list env, metadata;
    const char *word; /* the one word after the options, or NULL */
};

static int show(silica_client *client, const char *id, bool json)
{
    _cleanup_buf_ struct buf out = BUF_INIT(JSON_OUT_MAX);
    struct json_writer w;
    silica_sandbox_info info;
    silica_error err = {SILICA_OK};
    if (silica_client_info(client, id, &info, &err) != SILICA_OK)
        return cli_fail_sdk("sandbox", &err);
    jw_init(&w, &out);
    if (json)
        write_json(&w, &info);
    else
        print_info(&info);
    if (json)
        printf("%s\n", buf_str(&out));
    silica_sandbox_info_free(&info);
    return CLI_OK;
}

static int do_create(silica_client *client, const struct args *a)
{
    silica_kv env[CLI_LIST_MAX], metadata[CLI_LIST_MAX];
    silica_sandbox *sbx = NULL;
    silica_error err = {SILICA_OK};
    struct err e = {0};
    if (cli_split_kv(&a->env, "env", env, &e) != 0 ||
        cli_split_kv(&a->metadata, "metadata", metadata, &e) != 0)
        return cli_fail_usage("sandbox", &e);
    if (silica_open(client,
                    SILICA_OPEN_OPTS(.template_id = a->template_id,
                                     .timeout_ms = (int64_t)a->timeout_s * 1000, .env = env,
                                     .n_env = a->env.n, .metadata = metadata,
                                     .n_metadata = a->metadata.n,
                                     .internet = a->no_internet ? SILICA_OFF : SILICA_DEFAULT),
                    &sbx, &err) != SILICA_OK)
        return cli_fail_sdk("sandbox", &err);
    int status = CLI_OK;
    if (a->json)
        status = show(client, silica_id(sbx), true);
    else
        printf("%s\n", silica_id(sbx));
    silica_close(sbx);
    return status;
}

struct listing {
    struct json_writer w;
    bool json, titled;
};

/* Once, and only when the server has answered. */
static void print_titles(struct listing *l)
{
    if (!l->titled)
        printf("%-24s %-20s %-8s %s\n", "ID", "TEMPLATE", "STATE", "ENDS");
    l->titled = true;
}

static int print_row(void *user, const silica_sandbox_info *i)
{
    struct listing *l = user;
    if (l->json) {
        write_json(&l->w, i);
        return l->w.out->error;
    }
    print_titles(l);
    printf("%-24s %-20s %-8s ", i->sandbox_id, i->alias[0] != '\0' ? i->alias : i->template_id,
           state_name(i->state));
    print_time("", i->end_at_ms);
    printf("\n");
    return 0;
}

static int do_list(silica_client *client, const struct args *a)
{
    _cleanup_buf_ struct buf out = BUF_INIT(64 * (size_t)JSON_OUT_MAX);
    struct listing l = {.json = a->json};
    silica_kv metadata[CLI_LIST_MAX];
    silica_error err = {SILICA_OK};
    struct err e = {0};
    if (cli_split_kv(&a->metadata, "metadata", metadata, &e) != 0)
        return cli_fail_usage("sandbox", &e);
    jw_init(&l.w, &out);
    if (a->json)
        jw_arr(&l.w);
    if (silica_list_sandboxes(client,
                              SILICA_LIST_OPTS(.metadata = metadata, .n_metadata = a->metadata.n),
                              print_row, &l, &err) != SILICA_OK)
        return cli_fail_sdk("sandbox", &err);
    if (out.error != 0) {
        (void)err_set(&e, out.error, ERR_LIMIT, "the list is too long");
        return cli_fail("sandbox", &e);
    }
    if (a->json) {
        jw_end(&l.w);
        printf("%s\n", buf_str(&out));
    } else {
        print_titles(&l);
    }
    return CLI_OK;
}

static int do_info(silica_client *client, const struct args *a)
{
    return show(client, a->word, a->json);
}

static int do_kill(silica_client *client, const struct args *a)
{
    silica_error err = {SILICA_OK};
    int existed = 0;
    if (silica_client_kill(client, a->word, &existed, &err) != SILICA_OK)
        return cli_fail_sdk("sandbox", &err);
    if (a->json)
        printf("{\"sandboxID\":\"%s\",\"killed\":%s}\n", a->word, existed ? "true" : "false");
    else if (!existed)
        (void)fprintf(stderr, "silica sandbox: %s was gone already\n", a->word);
    return CLI_OK;
}

static int do_events(silica_client *client, const struct args *a)
{
    return cli_sandbox_events(client, a->word, a->json, a->max);
}

enum word { NO_WORD, ONE_WORD, MAYBE_WORD };

/* Options, one client, one action. */
static int act(const char *usage, const char *text, enum word word, int argc, char **argv,
               int (*action)(silica_client *client, const struct args *a))
{
    static struct args a; /* the lists are large */
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &a.json, 0, NULL, "print JSON"},
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "take address and key from DIR/credentials"},
        {"metadata", 'm', CLI_LIST, &a.metadata, 0, "K=V", "metadata to set, or to look for"},
        {"template", 't', CLI_TEXT, &a.template_id, 0, "NAME", "template (default base)"},
        {"env", 'e', CLI_LIST, &a.env, 0, "K=V", "environment variable; may be repeated"},
        {"timeout", 0, CLI_NUM, &a.timeout_s, 86400, "S", "life in seconds (default 300)"},
        {"no-internet", 0, CLI_FLAG, &a.no_internet, 0, NULL, "no way out of the sandbox"},
    };
    const struct cli_option event_options[] = {
        options[0],
        options[1],
        {"max", 'n', CLI_NUM, &a.max, 100000, "N", "show at most N events (default 100)"}};
    const struct cli_option *opts = action == do_events ? event_options : options;
    size_t n = action == do_create                        ? ARRAY_LEN(options)
               : action == do_list || action == do_events ? 3
                                                          : 2;
    struct err err = {0};
    silica_error serr = {SILICA_OK};
    silica_client *client = NULL;
    int first;
    if (cli_help_asked(usage, text, opts, n, argc, argv))
        return CLI_OK;
    if (cli_parse(opts, n, true, argc, argv, &first, &err) != 0)
        return cli_fail_usage("sandbox", &err);
    int words = argc - first;
    int most = word == NO_WORD ? 0 : 1;
    if (words > most || (words == 0 && word == ONE_WORD)) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "usage: silica %s", usage);
        return cli_fail_usage("sandbox", &err);
    }
    a.word = words > 0 ? argv[first] : NULL;
    if (cli_client(a.data, &client, &serr) != SILICA_OK)
        return cli_fail_sdk("sandbox", &serr);
    int status = action(client, &a);
    silica_client_free(client);
    return status;
}

static int sub_create(int argc, char **argv)
{
    return act("sandbox create [OPTIONS]", "Create a sandbox and print its id.", NO_WORD, argc,
               argv, do_create);
}

static int sub_list(int argc, char **argv)
{
    return act("sandbox list [OPTIONS]", "List sandboxes, newest first.", NO_WORD, argc, argv,
               do_list);
}

static int sub_info(int argc, char **argv)
{
    return act("sandbox info [OPTIONS] ID", "Show one sandbox.", ONE_WORD, argc, argv, do_info);
}

static int sub_events(int argc, char **argv)
{
    return act(
        "sandbox events [OPTIONS] [ID]",
        "What happened to a sandbox, or to all: starts, ends with their reason, limits that were "
        "met.\nNewest first; kept for a week, also of sandboxes that are gone.",
        MAYBE_WORD, argc, argv, do_events);
}

static int sub_kill(int argc, char **argv)
{
    return act("sandbox kill [OPTIONS] ID", "End a sandbox; success when it is gone already.",
               ONE_WORD, argc, argv, do_kill);
}

int cmd_sandbox(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"create", "create a sandbox and print its id", sub_create},
        {"list", "list sandboxes", sub_list},
        {"info", "show one sandbox", sub_info},
        {"events", "show what happened to sandboxes", sub_events},
        {"kill", "end a sandbox", sub_kill},
    };
    return cli_subcommand("sandbox", table, ARRAY_LEN(table), argc, argv);
}
