#include "envd/status.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <sys/wait.h>

/* The protocol's names (Go's syscall table), by the signal's number on Linux. */
static const char *const signal_names[] = {
    [1] = "hangup",
    [2] = "interrupt",
    [3] = "quit",
    [4] = "illegal instruction",
    [5] = "trace/breakpoint trap",
    [6] = "aborted",
    [7] = "bus error",
    [8] = "floating point exception",
    [9] = "killed",
    [10] = "user defined signal 1",
    [11] = "segmentation fault",
    [12] = "user defined signal 2",
    [13] = "broken pipe",
    [14] = "alarm clock",
    [15] = "terminated",
    [16] = "stack fault",
    [17] = "child exited",
    [18] = "continued",
    [19] = "stopped (signal)",
    [20] = "stopped",
    [21] = "stopped (tty input)",
    [22] = "stopped (tty output)",
    [23] = "urgent I/O condition",
    [24] = "CPU time limit exceeded",
    [25] = "file size limit exceeded",
    [26] = "virtual timer expired",
    [27] = "profiling timer expired",
    [28] = "window changed",
    [29] = "I/O possible",
    [30] = "power failure",
    [31] = "bad system call",
};

void exit_status_read(int wait_status, struct exit_status *ret)
{
    int n = 0;
    if (WIFEXITED(wait_status)) {
        ret->code = WEXITSTATUS(wait_status);
        ret->exited = true;
        n = snprintf(ret->text, sizeof(ret->text), "exit status %d", ret->code);
    } else {
        int sig = WTERMSIG(wait_status);
        const char *core = WCOREDUMP(wait_status) ? " (core dumped)" : "";
        ret->code = -1;
        ret->exited = false;
        if (sig > 0 && sig < (int)ARRAY_LEN(signal_names))
            n = snprintf(ret->text, sizeof(ret->text), "signal: %s%s", signal_names[sig], core);
        else
            n = snprintf(ret->text, sizeof(ret->text), "signal: signal %d%s", sig, core);
    }
    if (n < 0)
        ret->text[0] = '\0';
}
