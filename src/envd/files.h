/* GET and POST /files: whole files in and out, streamed with constant memory. */
#pragma once

#include "base/err.h"
#include "envd/paths.h"
#include "envd/users.h"

struct request;

enum {
    FILES_PIECE_BYTES = 131072, /* read from disk at a time */
    FILES_UPLOAD_FILES_MAX = 4096,
    FILES_DISCARD_MAX_BYTES = 64 << 20, /* of a failed upload, so that its sender hears why */
};

void files_get(struct request *r);
void files_post(struct request *r);

/*
 * The part that both have in common: token, account (query `username`, else the default user).
 * False when answered.
 */
bool files_check(struct request *r, struct user *ret_user);

/*
 * Query parameter, "" when absent. 1 found, 0 absent, -1 when answered 400. dst is terminated.
 */
int files_query(struct request *r, const char *name, char *dst, size_t cap);

/* Media type by the extension of a file's name, NULL when unknown. */
const char *media_type_by_name(struct slice name);
/* By the first bytes, never NULL. */
const char *media_type_by_content(struct slice head);
