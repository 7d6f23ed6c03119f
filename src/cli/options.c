/*
 * The one option parser of the command line: tables in, values out. It knows no command.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <stdio.h>

static const struct cli_option *find(const struct cli_option *options, size_t n, const char *word,
                                     size_t *ret_name_len)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    *ret_name_len = len;
    for (size_t i = 0; i < n; i++) {
        if (word[1] == '-' && strlen(options[i].name) == len &&
            memcmp(options[i].name, name, len) == 0)
            return &options[i];
        if (word[1] != '-' && options[i].letter == word[1] && word[2] == '\0')
            return &options[i];
    }
    return NULL;
}

static int set_value(const struct cli_option *o, const char *value, struct err *err)
{
    struct cli_list *list = o->ret;
    uint64_t v;
    switch (o->type) {
    case CLI_FLAG:
        *(bool *)o->ret = true;
        return 0;
    case CLI_TEXT:
        *(const char **)o->ret = value;
        return 0;
    case CLI_NUM:
        if (parse_u64(slice_str(value), o->max, &v) != 0)
            return err_set(err, -EINVAL, ERR_INVALID, "--%s must be a number from 0 to %llu",
                           o->name, (unsigned long long)o->max);
        *(uint64_t *)o->ret = v;
        return 0;
    case CLI_LIST:
        if (list->n == CLI_LIST_MAX)
            return err_set(err, -EINVAL, ERR_INVALID, "--%s is given more than %d times", o->name,
                           CLI_LIST_MAX);
        list->items[list->n++] = value;
        return 0;
    }
    return -EINVAL;
}

/* One option at argv[*i], which moves to its last word. */
static int take(const struct cli_option *options, size_t n, int argc, char **argv, int *i,
                struct err *err)
{
    size_t len;
    const char *word = argv[*i];
    const struct cli_option *o = find(options, n, word, &len);
    if (o == NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "unknown option '%.60s'", word);
    const char *value = NULL;
    if (word[1] == '-' && word[2 + len] == '=')
        value = word + 3 + len;
    if (o->type == CLI_FLAG && value != NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "--%s takes no value", o->name);
    if (o->type != CLI_FLAG && value == NULL) {
        if (*i + 1 >= argc)
            return err_set(err, -EINVAL, ERR_INVALID, "--%s needs a value", o->name);
        value = argv[++*i];
    }
    return set_value(o, value, err);
}

int cli_parse(const struct cli_option *options, size_t n, bool mixed, int argc, char **argv,
              int *ret_first, struct err *err)
{
    int words = 0, i = 1;
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take(options, n, argc, argv, &i, err) != 0)
                return -EINVAL;
        } else if (mixed) {
            argv[1 + words++] = argv[i]; /* its place is free: it was read already */
        } else {
            break;
        }
    }
    /* Words that came before options go in front of the rest. */
    int first = i - words;
    memmove(&argv[first], &argv[1], (size_t)words * sizeof(*argv));
    *ret_first = first;
    return 0;
}

bool cli_help_asked(const char *usage, const char *text, const struct cli_option *options, size_t n,
                    int argc, char **argv)
{
    bool asked = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        asked = asked || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (!asked)
        return false;
    printf("Usage: silica %s\n\n%s\n", usage, text);
    if (n > 0)
        printf("\nOptions:\n");
    for (size_t i = 0; i < n; i++) {
        char left[64];
        char letter[8] = "   ";
        if (options[i].letter != 0)
            (void)snprintf(letter, sizeof(letter), "-%c,", options[i].letter);
        (void)snprintf(left, sizeof(left), "%s --%s %s", letter, options[i].name,
                       options[i].arg != NULL ? options[i].arg : "");
        printf("  %-28s %s\n", left, options[i].help);
    }
    return true;
}

/* Names cut out of NAME=VALUE words; they live as long as the process. */
static char *kv_names[2 * CLI_LIST_MAX];
static size_t n_kv_names;

int cli_split_kv(const struct cli_list *list, const char *what, silica_kv *ret, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        size_t key = strcspn(list->items[i], "=");
        if (key == 0 || list->items[i][key] != '=')
            return err_set(err, -EINVAL, ERR_INVALID, "--%s '%.60s' is not of the form NAME=VALUE",
                           what, list->items[i]);
        char *copy = NULL;
        if (n_kv_names < ARRAY_LEN(kv_names))
            copy = kv_names[n_kv_names++] = strndup(list->items[i], key);
        if (copy == NULL)
            return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
        ret[i] = (silica_kv){.key = copy, .value = list->items[i] + key + 1};
    }
    return 0;
}
