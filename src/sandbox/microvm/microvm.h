/*
 * The micro-VM driver: the daemon's side. silica-priv makes QEMUs and what they need; this drives them.
 *
 * A template is booted once and snapshotted; every sandbox of it is a clone. Some clones wait, ready
 * but for their identity, so that a creation is a word to one of them; others take their place behind
 * the answer. See docs/design/0009-micro-vms.md.
 */
#pragma once

#include "sandbox/driver.h"

#include <uv.h>

enum { MICROVM_POOL_MAX = 256 };

struct microvm_opts {
    const char *priv_socket;  /* as container_driver_new() */
    const char *machines_dir; /* where silica-priv puts the sockets for QMP; copied */
    unsigned pool;            /* clones that wait, of each template in use; 0: none */
    unsigned
        idle_s; /* a template that nobody asked for that long has no clones waiting; 0: never */
    /* What happened to machines that are nobody's sandbox yet, for the log; borrowed. May be NULL. */
    void (*notice)(void *user, const char *id, const char *text);
    void *user;
};

/* Free by ops->free(); waiting clones are ended first, while the loop runs on. */
int microvm_driver_new(uv_loop_t *loop, const struct microvm_opts *opts, struct driver **ret,
                       struct err *err);

/* Clones of that template, with these limits, are going to be asked for: have some waiting. */
void microvm_expect(struct driver *d, const char *template_id, const struct sandbox_limits *limits);

struct microvm_counts {
    unsigned running, waiting,
        preparing; /* machines: sandboxes; clones that wait; what is on its way */
    unsigned templates;
    uint64_t claimed, cold; /* creations that found one waiting, and that did not */
};
void microvm_count(struct driver *d, struct microvm_counts *ret);
