#include "envd/status.h"

#include "base/signals.h"

#include <stdio.h>
#include <sys/wait.h>

void exit_status_read(int wait_status, struct exit_status *ret)
{
    int n = 0;
    ret->reason[0] = '\0';
    if (WIFEXITED(wait_status)) {
        ret->code = WEXITSTATUS(wait_status);
        ret->exited = true;
        n = snprintf(ret->text, sizeof(ret->text), "exit status %d", ret->code);
    } else {
        int sig = WTERMSIG(wait_status);
        const char *core = WCOREDUMP(wait_status) ? " (core dumped)" : "";
        ret->code = -1;
        ret->exited = false;
        const char *word = signal_word(sig);
        if (word != NULL)
            n = snprintf(ret->text, sizeof(ret->text), "signal: %s%s", word, core);
        else
            n = snprintf(ret->text, sizeof(ret->text), "signal: signal %d%s", sig, core);
    }
    if (n < 0)
        ret->text[0] = '\0';
}
