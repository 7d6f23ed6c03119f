/* What must be there before the first virtual machine: for `silica template machine` and `silica serve`. */
#pragma once

#include "base/err.h"
#include "image/machine.h"

#include <stdbool.h>

struct machine_setup {
    const char *data, *templates;               /* folders */
    bool offline;                               /* download nothing */
    void (*tell)(void *user, const char *line); /* a line for a person about what begins */
    void *user;
};

/*
 * QEMU, kernel and initial file system, and the image of every template, as far as they are not there.
 * Needs root, may download and take minutes. A template whose image cannot be made is told and skipped.
 */
int machine_setup_run(const struct machine_setup *setup, char ret_id[static MACHINE_ID_LEN + 1],
                      struct err *err);
