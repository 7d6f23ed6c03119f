/* How the end of a process is told to clients: numbers and words of the protocol. */
#pragma once

#include <stdbool.h>

enum { EXIT_STATUS_TEXT_BYTES = 48 };

struct exit_status {
    int code;    /* -1 when killed by a signal */
    bool exited; /* false when killed by a signal */
    char text[EXIT_STATUS_TEXT_BYTES];
};

/* From a wait status of a process that ended. */
void exit_status_read(int wait_status, struct exit_status *ret);
