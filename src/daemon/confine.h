/* What silicad keeps of the kernel and of the file system when it is narrowed. */
#pragma once

#include "base/err.h"

/*
 * `state_dir` (the database) stays readable and writable, `templates_dir` readable; see confine.c.
 * As confine() otherwise.
 */
int confine_daemon(const char *state_dir, const char *templates_dir, int *ret_landlock,
                   struct err *err);
