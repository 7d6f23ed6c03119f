/* What cgroup.c and cgroup_limits.c share. All return 0 or a negative errno. */
#pragma once

#include "jail/cgroup.h"

enum { CGROUP_PATH_BYTES = 96 };

/* Writes to the file of the group `dir`, relative to dir_fd. */
int cgroup_write(int dir_fd, const char *dir, const char *file, const char *value);
int cgroup_write_number(int dir_fd, const char *dir, const char *file, uint64_t value);

/* Set what the group `dir` of a hierarchy may use: what runs in a sandbox, and its envd. */
int cgroup_limit_user(const struct cgroup_hierarchy *h, const char *dir,
                      const struct cgroup_limits *limits);
int cgroup_limit_envd(const struct cgroup_hierarchy *h, const char *dir);
