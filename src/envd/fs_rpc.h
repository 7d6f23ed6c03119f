/* filesystem.Filesystem: the methods. All unary; the work runs in the pool. */
#pragma once

#include "envd/paths.h"
#include "envd/rpc.h"

void fs_rpc_stat(struct unary *u, const struct json_ref *body);
void fs_rpc_make_dir(struct unary *u, const struct json_ref *body);
void fs_rpc_move(struct unary *u, const struct json_ref *body);
void fs_rpc_list_dir(struct unary *u, const struct json_ref *body);
void fs_rpc_remove(struct unary *u, const struct json_ref *body);

/*
 * The path that member `key` means for a user with that home; a missing one is "". The two return 0,
 * or a negative errno with a Connect code.
 */
int fs_read_path(const struct json_ref *body, const char *key, const char *home,
                 const char *workdir, char ret[static ENVD_PATH_MAX + 1], struct err *err);
/* "depth", a uint32 as a number or a decimal string; *ret is left alone without it. */
int fs_read_depth(const struct json_ref *body, uint32_t *ret, struct err *err);
