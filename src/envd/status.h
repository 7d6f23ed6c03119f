/* How the end of a process is told to clients: numbers and words of the protocol. */
#pragma once

#include <stdbool.h>

enum { EXIT_STATUS_TEXT_BYTES = 48, EXIT_REASON_BYTES = 96 };

struct exit_status {
    int code;    /* -1 when killed by a signal */
    bool exited; /* false when killed by a signal */
    char text[EXIT_STATUS_TEXT_BYTES];
    char reason[EXIT_REASON_BYTES]; /* a limit of the sandbox that was met meanwhile, or "" */
};

/* From a wait status of a process that ended; no reason is set. */
void exit_status_read(int wait_status, struct exit_status *ret);
