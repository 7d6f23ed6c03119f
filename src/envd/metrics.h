/*
 * GET /metrics: CPU, memory and disk of the sandbox. Where the launcher passed the sandbox's limits
 * and usage files they count; else the machine's own numbers, as in a sandbox with a kernel of its
 * own.
 */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct envd_config;
struct request;

struct metrics {
    uint64_t last_ns;      /* monotonic time of the last look */
    uint64_t last_busy_ns; /* CPU time used until then, over all CPUs */
    unsigned cpus;
    int memory_fd, cpu_fd; /* borrowed from the configuration; -1: none */
    uint64_t memory_bytes; /* limit, 0: none */
};

void metrics_init(struct metrics *m, const struct envd_config *c);
void metrics_get(struct request *r);

/* "name: N kB" in /proc/meminfo, in bytes; 0 when missing. */
uint64_t meminfo_bytes(struct slice text, const char *name);
/* Busy CPU time of the first line of /proc/stat, in nanoseconds. */
uint64_t procstat_busy_ns(struct slice text, uint64_t ticks_per_s);
/* cpuacct.usage (a number of nanoseconds) or cpu.stat (a line usage_usec N). 0 when neither. */
uint64_t cgroup_cpu_ns(struct slice text);
