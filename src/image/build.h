/*
 * Building the `base` template: Debian 12 by mmdebstrap, then a table of finishing steps.
 *
 * The root file system grows in <templates>/.build-<id>/, is synced, and appears as
 * <templates>/<id> by rename; the alias file is replaced last. A build that fails, is cancelled or
 * is killed publishes nothing; what a killed build leaves on disk the next one removes.
 *
 * All foreign programs run in a mount and pid namespace of their own: when the build ends, however
 * it ends, no process and no mount of it is left. Needs root. Blocks the calling thread for
 * minutes; not for use on a loop's thread.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    IMAGE_DEFAULT_CPU_COUNT = 2,
    IMAGE_DEFAULT_MEMORY_MB = 1024,
    IMAGE_DEFAULT_DISK_MB = 10240,
};

/* What a build is doing; borrowed for the call. */
struct image_progress {
    unsigned step, n_steps; /* 1 to n_steps */
    const char *title;      /* of the step */
    const char *detail;     /* a condensed line of its output, NULL at the step's start */
    uint64_t elapsed_ms;    /* since the build began */
    bool sparse;            /* a detail that is worth a line in a log: one in ten seconds */
};

/* Zero means default for every member. Strings are borrowed for the call. */
struct image_build_opts {
    const char *templates_dir; /* required; made when missing */
    const char *alias;         /* default "base" */
    /* Where packages come from: an http(s) URL, or NULL to take Debian's from apt_dir. */
    const char *mirror;
    const char *keyring; /* signs `mirror`; default Debian's archive keyring */
    const char *apt_dir; /* default "/etc/apt" */
    uint32_t cpu_count;  /* default IMAGE_DEFAULT_CPU_COUNT, and so on */
    uint32_t memory_mb, disk_mb;
    /* SIGINT and SIGTERM cancel the build: they are blocked in this thread while it runs. */
    bool catch_signals;
    /* Called on the same thread, often; NULL for silence. */
    void (*progress)(void *user, const struct image_progress *p);
    void *progress_user;
    char *ret_id; /* NULL, or TEMPLATE_ID_LEN + 1 bytes for the new template's id */
};

/*
 * Build and publish. Returns 0; -ECANCELED after a signal; -ENOENT when mmdebstrap or a source of
 * packages is missing (the message says what to do); other negative errno. On failure nothing of
 * the build is left.
 */
int image_build_base(const struct image_build_opts *opts, struct err *err);

/* A progress function that prints to `user`, a FILE *: one line a step; details rewrite
 * one line on a terminal, and are sparse elsewhere. */
void image_progress_print(void *user, const struct image_progress *p);
