/*
 * What all parts of the daemon share: one object, made in main, living as long as the process.
 *
 * Everything here belongs to the loop's thread. Work that may block (file operations) runs in
 * libuv's pool on copies and never sees this object.
 */
#pragma once

#include "envd/config.h"
#include "envd/machine.h"
#include "envd/metrics.h"
#include "envd/process.h"
#include "envd/settings.h"

#include <uv.h>

struct envd {
    uv_loop_t *loop;
    struct envd_config config;
    struct settings settings; /* what /init told */
    struct process_table processes;
    struct metrics metrics;
    struct limits limits;
    struct machine machine;
    char path[4096]; /* PATH given to children */
};
