/*
 * run PROGRAM QUESTION: another copy of the probe, as a program with rights of its own may be one,
 * answers the question. To be asked with "as UID", since the process becomes that program.
 */
#include "probe.h"

#include <unistd.h>

static void run(char *const *arg)
{
    (void)fflush(probe_out);
    if (dup2(fileno(probe_out), STDOUT_FILENO) >= 0)
        (void)execl(arg[0], arg[0], arg[1], NULL);
    probe_tell("run", -1);
}

const struct probe_question probe_run[] = {{"run", 2, run}, {NULL, 0, NULL}};
