/* What the cgroup files share. All return 0 or a negative errno. */
#pragma once

#include "jail/cgroup.h"

enum { CGROUP_PATH_BYTES = 96 };

/* Writes to the file of the group `dir`, relative to dir_fd. */
int cgroup_write(int dir_fd, const char *dir, const char *file, const char *value);
int cgroup_write_number(int dir_fd, const char *dir, const char *file, uint64_t value);

/*
 * cgroup_cpu.c, for hierarchies with the cpu controller: at most `millis` thousandths of a processor,
 * and `weight` (as in version 2, in version 1 its like) against the group's siblings.
 */
int cgroup_weight(const struct cgroup_hierarchy *h, const char *dir, uint64_t weight);
int cgroup_share(const struct cgroup_hierarchy *h, const char *dir, uint64_t millis,
                 uint64_t weight);
/* The same for the group that all sandboxes are in. */
int cgroup_share_all(const struct cgroup_hierarchy *h, const char *dir);

/* Set what the group `dir` of a hierarchy may use: a sandbox, what runs in it, and its envd. */
int cgroup_limit_sandbox(const struct cgroup_hierarchy *h, const char *dir);
int cgroup_limit_user(const struct cgroup_hierarchy *h, const char *dir,
                      const struct cgroup_limits *limits);
int cgroup_limit_envd(const struct cgroup_hierarchy *h, const char *dir);
