/*
 * Accounts, read from the sandbox's own /etc/passwd and /etc/group. No NSS: the daemon is static,
 * and what a sandbox configures there must not run as code inside us.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    USER_NAME_MAX = 255,
    USER_HOME_MAX = 1023,
    USER_GROUPS_MAX = 256,
    USER_DB_MAX_BYTES = 1 << 20, /* a larger passwd or group file is refused */
};

struct user {
    char name[USER_NAME_MAX + 1];
    char home[USER_HOME_MAX + 1];
    uint32_t uid, gid;
};

/* Supplementary groups, the primary one first. */
struct user_groups {
    uint32_t gid[USER_GROUPS_MAX];
    size_t n;
};

/* Searches over the text of the files. Lines that are not well formed do not exist. */
bool passwd_find_name(struct slice passwd, struct slice name, struct user *ret);
/* The name of the first entry with that number; an empty slice when there is none. */
struct slice passwd_name_of(struct slice passwd, uint32_t uid);
struct slice group_name_of(struct slice group, uint32_t gid);
/* -E2BIG when the user is in more than USER_GROUPS_MAX groups. */
int group_list_of(struct slice group, const struct user *user, struct user_groups *ret);

/* The same on the files. Returns 0, -ENOENT (no such account), or why the file is unreadable. */
int users_find(const char *name, struct user *ret);
int users_groups(const struct user *user, struct user_groups *ret);

/* Both files for turning many numbers into names. */
struct user_names {
    char *passwd, *group;
    size_t passwd_n, group_n;
};
void user_names_load(struct user_names *n); /* files that cannot be read count as empty */
void user_names_done(struct user_names *n);
