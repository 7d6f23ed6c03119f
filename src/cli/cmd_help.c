/* `silica help` and `silica version`. */
#include "cli/cli.h"

#include <stdio.h>

int cmd_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("silica %s: sandboxes for agents, on your own machine\n\nUsage: silica COMMAND [...]\n\n"
           "Commands:\n",
           silica_version());
    for (size_t i = 0; i < cli_n_commands; i++)
        printf("  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
    printf("\nEach command explains itself: silica COMMAND --help\n");
    return CLI_OK;
}

int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("silica %s\n", silica_version());
    return CLI_OK;
}
