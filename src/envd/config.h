/* How the daemon was started: flags, or the JSON object on descriptor 3 (docs/design/0001). */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_MAX_BYTES = 65536,
    CONFIG_CGROUP_FDS_MAX = 16,
    CONFIG_SECRET_MAX = 128,
    CONFIG_ENTROPY_BYTES = 32,
    CONFIG_LAUNCH_PATH_MAX = 255,
    CONFIG_LAUNCH_FILE_MAX_BYTES = 4096,
    CONFIG_LAUNCH_FD = 3,
};

struct envd_config {
    bool standalone;   /* -port: outside a sandbox, no control secret, E2B_SANDBOX=false */
    bool show_version; /* -version */
    char sandbox_id[64], template_id[64];
    char control_secret[CONFIG_SECRET_MAX + 1]; /* "" only when standalone */
    int listen_fd;                              /* -1: open one */
    uint16_t port;
    int cgroup_fds[CONFIG_CGROUP_FDS_MAX]; /* cgroup.procs files that children write "0" to */
    size_t n_cgroup_fds;
    /* Optional, for /metrics: the sandbox's limits, and files that tell what its group uses. */
    uint64_t memory_bytes; /* 0: unknown */
    uint32_t cpu_millis;   /* 0: unknown */
    uint64_t disk_bytes;   /* 0: unknown */
    uint32_t pids;         /* 0: unknown */
    int own_memory_fd;     /* memory.stat of the daemon's own group; -1: none */
    int memory_usage_fd;   /* memory.current or memory.usage_in_bytes; -1: none */
    int cpu_usage_fd;      /* cpuacct.usage (nanoseconds) or cpu.stat (usage_usec); -1: none */
    /* Optional, to say why a process ended: files that count how often a limit was met; -1: none. */
    int memory_events_fd; /* memory.events or memory.oom_control: oom_kill N */
    int pids_events_fd;   /* pids.events: max N */
    /* A machine of its own: who it is stands in a file, and changes when a snapshot wakes as a clone. */
    bool machine;
    char launch_file[CONFIG_LAUNCH_PATH_MAX + 1]; /* "" unless machine */
    bool has_entropy;
    unsigned char entropy[CONFIG_ENTROPY_BYTES]; /* for the kernel's generator; all 0 when none */
};

/*
 * Read flags, and descriptor 3 unless they say standalone. Descriptor 3 is closed. The secret's
 * other copies are wiped. Returns 0 or a negative errno with a sentence for the log.
 */
int config_read(int argc, char **argv, struct envd_config *ret, struct err *err);

/* The JSON object alone; descriptors are not looked at. */
int config_parse(struct slice json, struct envd_config *ret, struct err *err);

/*
 * What a machine's launch file says: the object of a machine, with a sandbox id and entropy and
 * without descriptors, padded with white space. No error quotes the text, which is secret.
 */
int config_parse_machine(struct slice json, struct envd_config *ret, struct err *err);
/* The same from the file, of at most CONFIG_LAUNCH_FILE_MAX_BYTES. No copy of the text is left. */
int config_read_machine(const char *path, struct envd_config *ret, struct err *err);
