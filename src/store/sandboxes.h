/*
 * Rows of sandboxes: what must survive a restart. States are the names of sandbox_state_name().
 *
 * The tokens and the control secret are here because an adopted sandbox needs them; the database
 * is a 0600 file of the daemon. Environment values are not kept. Writes wait for the disk: they
 * belong on a worker thread.
 */
#pragma once

#include "store/store.h"

#include <stdint.h>

enum { SANDBOX_HITS = 4 }; /* limits whose meetings are counted: memory, processes, disk, inodes */

/* Strings are borrowed: from the caller for writing, from the query until the callback returns. */
struct sandbox_row {
    const char *id, *team, *template_id, *alias, *driver, *state;
    int64_t created_ns, started_ns, end_ns;
    uint64_t lifecycle; /* set by store_sandbox_insert() */
    uint64_t memory_bytes, disk_bytes;
    uint32_t cpu_millis, pids;
    int internet; /* -1, 0, 1 */
    const char *envd_token, *control_secret;
    const char *traffic_token, *mask_host, *network_json; /* or NULL */
    const char *metadata;                                 /* a JSON object of strings */
    uint32_t slot;
    int32_t pid;
    uint64_t pid_start;
    const char *build_id; /* of the template, "" unknown */
    uint32_t hits[SANDBOX_HITS];
    const char *end_cause, *end_text; /* of one that is ending, or NULL */
    int64_t ended_ns;
};

/* Adds the row under a new lifecycle number. -EEXIST when the id is taken. */
int store_sandbox_insert(struct store *s, const struct sandbox_row *row, uint64_t *ret_lifecycle,
                         struct err *err);
/* -ENOENT when there is no such row; the same for those below. */
int store_sandbox_set_state(struct store *s, const char *id, const char *state, struct err *err);
/* Writes state, started_ns, end_ns, slot, pid and pid_start of `row`. */
int store_sandbox_set_started(struct store *s, const struct sandbox_row *row, struct err *err);
/* Writes state, end_cause, end_text and ended_ns of `row`. */
int store_sandbox_set_ending(struct store *s, const struct sandbox_row *row, struct err *err);
int store_sandbox_set_hits(struct store *s, const char *id,
                           const uint32_t hits[static SANDBOX_HITS], struct err *err);
int store_sandbox_set_end(struct store *s, const char *id, int64_t end_ns, struct err *err);
/* 1: it is gone; 0: there was none. */
int store_sandbox_delete(struct store *s, const char *id, struct err *err);
/* In order of creation; a negative return of each() stops and is passed on. */
int store_sandbox_each(struct store *s, int (*each)(const struct sandbox_row *row, void *user),
                       void *user, struct err *err);
