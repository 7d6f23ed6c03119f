/*
 * The configuration file: an INI file of typed keys. Every key has a default, an unknown or repeated
 * key or a value out of range is an error that names it and what to write instead. The table in
 * config.c is the list; docs/configuration.md describes it to people.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CONFIG_MAX_BYTES = 65536,
    CONFIG_HOST_NAMES_MAX = 32,
    CONFIG_TEXT_BYTES = 256,
};

struct config {
    /* [server] */
    enum log_level log_level;
    bool log_json;
    bool strict_fields;
    char host_names[CONFIG_TEXT_BYTES]; /* as written: separated by commas */
    uint64_t max_connections;
    uint64_t head_timeout_ms, idle_timeout_ms, body_timeout_ms, write_timeout_ms;
    uint64_t max_requests_per_sandbox;
    /* Belongs to `silica serve`, which reads the same file; checked for its form only. */
    char listen[CONFIG_TEXT_BYTES], data[CONFIG_TEXT_BYTES], driver[CONFIG_TEXT_BYTES];
    char domain[CONFIG_TEXT_BYTES], resolv_conf[CONFIG_TEXT_BYTES];
    /* [sandbox] */
    uint64_t max_sandboxes, max_timeout_s;
    uint64_t memory_mb, cpu_count, pids, disk_mb, network_mbit;
    /* [microvm] */
    uint64_t microvm_pool, microvm_idle_s;
};

void config_defaults(struct config *ret);
/* Reads and parses `fd` over the defaults. `name` is what errors call the file. */
int config_read(int fd, const char *name, struct config *ret, struct err *err);
/* The host names as a list in `dst`; they point into `names`, which is cut into pieces. */
unsigned config_split_names(char *names, const char *dst[static CONFIG_HOST_NAMES_MAX]);
