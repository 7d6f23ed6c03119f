/*
 * Which of its limits the sandbox ran into while something failed, in words for who sees the failure.
 *
 * Processes killed for want of memory and starts of a process that were refused are counted by the
 * kernel; the launcher passes files that tell the counts. What is said is that a count rose during
 * the life of the process that failed: another process of the same sandbox may have been the one.
 * Whether the disk is full is looked at when the process has ended.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct envd_config;

enum { LIMITS_TEXT_BYTES = 96 };

struct limits {
    int memory_fd, pids_fd; /* borrowed from the configuration; -1: nobody counts */
    uint64_t memory_bytes, disk_bytes;
    uint32_t pids; /* of each limit 0: unknown */
};

struct limit_counts {
    uint64_t kills, refusals;
};

void limits_init(struct limits *l, const struct envd_config *c);
/* The counts now; 0 for what cannot be read. */
void limits_count(const struct limits *l, struct limit_counts *ret);
/*
 * "the sandbox ran out of memory (limit 512 MiB)", ..., or "" when no limit was met since `before`
 * and there is room on the disk of `cwd` and of the root.
 */
void limits_explain(const struct limits *l, const struct limit_counts *before, const char *cwd,
                    char ret[static LIMITS_TEXT_BYTES]);
/* Append to an error of -ENOSPC or -EDQUOT on `path` what is full; leaves other errors alone. */
void limits_explain_space(const struct limits *l, int num, const char *path, struct err *err);
