/*
 * What makes a bare Debian into the `base` template: a table of small acts on the root file system,
 * in order. Acts that share a title are one step to the person who watches.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum step_kind {
    STEP_BOOTSTRAP, /* mmdebstrap with base_packages */
    STEP_RUN,       /* argv inside the root */
    STEP_WRITE,     /* path gets content, mode */
    STEP_APPEND,    /* content at the end of path */
    STEP_MAKE_DIR,  /* path with mode, its parent exists */
    STEP_EMPTY_DIR, /* remove what is in path */
    STEP_REMOVE,    /* file or tree; missing is fine */
    STEP_IDENTITY,  /* /.e2b: the ids of this very template */
    STEP_PUBLISH,   /* template.json, sync, rename, alias */
    STEP_KIND_MAX_
};

enum { STEP_ARGS_MAX = 12 };

struct build_step {
    const char *title; /* NULL: goes on with the step before */
    enum step_kind kind;
    const char *path; /* inside the root, absolute */
    const char *content;
    mode_t mode;
    const char *argv[STEP_ARGS_MAX];
};

extern const struct build_step base_steps[];
extern const size_t n_base_steps;

/* Separated by commas, as mmdebstrap takes them. */
extern const char base_packages[];
