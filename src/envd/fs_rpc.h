/* filesystem.Filesystem: the methods. All unary; the work runs in the pool. */
#pragma once

#include "envd/rpc.h"

void fs_rpc_stat(struct unary *u, const struct json_ref *body);
void fs_rpc_make_dir(struct unary *u, const struct json_ref *body);
void fs_rpc_move(struct unary *u, const struct json_ref *body);
void fs_rpc_list_dir(struct unary *u, const struct json_ref *body);
void fs_rpc_remove(struct unary *u, const struct json_ref *body);
