// deps: base
/* The command line of silica-priv: what is accepted is whole, absolute and within its ranges. */
#include "priv/options.c" /* NOLINT(bugprone-suspicious-include): of a program, not a library */

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { TEXT_MAX_BYTES = 1024, WORDS_MAX = 24 };

static void must(bool good)
{
    if (!good)
        abort();
}

static void look_at(const struct options *o)
{
    must(o->data_dir[0] == '/' && o->templates_dir[0] == '/' && o->socket_path[0] == '/');
    must(o->envd_path[0] == '/' && o->instance < INSTANCE_MAX && o->client_uid != UINT32_MAX);
}

/* The words of the command line are separated by newlines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char text[TEXT_MAX_BYTES], name[] = "silica-priv";
    char *argv[WORDS_MAX + 1] = {name}, *rest = text;
    int argc = 1;
    if (n >= sizeof(text))
        return 0;
    if (n > 0)
        memcpy(text, data, n);
    text[n] = '\0';
    for (char *word; argc < WORDS_MAX && (word = strsep(&rest, "\n")) != NULL;)
        argv[argc++] = word;
    struct options options;
    struct err err = {0};
    if (options_parse(argc, argv, &options, &err) == 0)
        look_at(&options);
    else
        must(err.num < 0 && err.msg[0] != '\0');
    return 0;
}
