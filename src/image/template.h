/*
 * Templates on disk: <templates>/<template id>/{rootfs/, template.json}. A template appears by
 * rename and is never changed afterwards; a rebuild under the same alias is a new id, and the alias
 * is the symbolic-link-free file <templates>/aliases/<alias> that holds the id.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"

#include <stdint.h>

enum { TEMPLATE_DISK_MIN_MB = 64, TEMPLATE_DISK_MAX_MB = 16777216 }; /* as [sandbox] disk_mb */

struct template_info {
    char id[TEMPLATE_ID_LEN + 1];
    char alias[TEMPLATE_ALIAS_MAX + 1]; /* "" when none */
    char build_id[37];
    uint32_t cpu_count, memory_mb, disk_mb;
};

/*
 * Resolve an id or alias ("base", "base:default" and "<id>:default" too). -ENOENT with
 * "template 'x' not found"; -EINVAL for what is no reference. A few small reads, no caching.
 */
int template_find(const char *templates_dir, const char *ref, struct template_info *ret,
                  struct err *err);
int template_each(const char *templates_dir, int (*each)(const struct template_info *t, void *user),
                  void *user, struct err *err);
