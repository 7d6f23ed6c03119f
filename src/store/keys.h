/* API keys. The database holds SHA-256 of a key only; the text is shown once, at creation. */
#pragma once

#include "base/slice.h"
#include "store/store.h"

#include <stdint.h>

enum { API_KEY_BYTES = 45, UUID_BYTES = 37, KEY_NAME_BYTES = 64 };

struct key_info {
    char id[UUID_BYTES];
    char team[UUID_BYTES]; /* owner of what the key creates; one default team for now */
    char name[KEY_NAME_BYTES];
    char mask[16]; /* "e2b_1234…cdef" without the middle */
    int64_t created_wall_ns;
};

/* New key "e2b_" + 40 hex digits in ret_key (wipe it after use). */
int store_key_create(struct store *s, const char *name, char ret_key[static API_KEY_BYTES],
                     struct key_info *ret, struct err *err);
/* -ENOENT when the key is unknown or revoked. Compares hashes; a read of microseconds. */
int store_key_find(struct store *s, struct slice key, struct key_info *ret, struct err *err);
int store_key_list(struct store *s, int (*each)(const struct key_info *key, void *user), void *user,
                   struct err *err);
/* By id, or by name when exactly one key has it. -ENOENT; -EEXIST when the name is not unique. */
int store_key_revoke(struct store *s, const char *id_or_name, struct err *err);
