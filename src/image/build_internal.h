/* One build in progress; shared by the files of the build only. */
#pragma once

#include "image/apt_sources.h"
#include "image/build.h"
#include "image/steps.h"

#include <limits.h>

enum { BUILD_DETAIL_INTERVAL_MS = 250, BUILD_SPARSE_INTERVAL_MS = 10000 };

struct build {
    const struct image_build_opts *opts; /* borrowed */
    char id[TEMPLATE_ID_LEN + 1], build_id[37];
    char dir_name[sizeof(".build-") + TEMPLATE_ID_LEN]; /* below the templates folder */
    char dir_path[PATH_MAX], root_path[PATH_MAX];       /* absolute */
    int templates_fd, dir_fd, root_fd;                  /* owned; dir_fd holds the lock */
    int cancel_fd;                                      /* owned; negative: cannot be cancelled */
    uint64_t start_ms, detail_ms, sparse_ms;
    unsigned step, n_steps;
    const char *title;
    uint64_t packages, unpacked, configured; /* counted from the output of apt and dpkg */
};

/* Tell the person who watches. detail NULL: a step begins. Details are thinned out in time. */
void build_tell(struct build *b, const char *detail);

/* Run argv, inside the root or on the host. */
int build_run(struct build *b, bool inside, const char *const *argv, struct err *err);

/* The root file system's first content; see bootstrap.c. */
int build_bootstrap(struct build *b, struct err *err);

/* Acts on one path inside the root; see root.c. */
int root_write(int root_fd, const char *path, const char *content, mode_t mode, struct err *err);
int root_append(int root_fd, const char *path, const char *content, struct err *err);
int root_make_dir(int root_fd, const char *path, mode_t mode, struct err *err);
int root_remove(int root_fd, const char *path, bool keep_dir, struct err *err);
