/*
 * What /init tells the daemon and everything else reads: access token, global variables, default
 * user and folder. Belongs to the loop's thread.
 */
#pragma once

#include "json/json.h"

#include <stdbool.h>

enum {
    SETTINGS_TOKEN_MAX = 1024,
    SETTINGS_USER_MAX = 255,
    SETTINGS_WORKDIR_MAX = 4095,
    SETTINGS_ENVS_MAX = 1024,
    SETTINGS_ENVS_MAX_BYTES = 1 << 20,
};

struct settings {
    char token[SETTINGS_TOKEN_MAX + 1]; /* "" : none installed, everything is open */
    char default_user[SETTINGS_USER_MAX + 1];
    char default_workdir[SETTINGS_WORKDIR_MAX + 1]; /* "" : the user's home */
    json_t *own_vars;                               /* owned; the daemon's own globals */
    json_t *user_vars;                              /* owned; envVars of /init */
    bool have_timestamp;
    int64_t timestamp_ns; /* of the last /init that was applied */
};

int settings_init(struct settings *s, bool in_sandbox, const char *sandbox_id,
                  const char *template_id);
void settings_done(struct settings *s);

/*
 * Become those of another sandbox: its name in the daemon's own variables, everything else as after
 * settings_init(), but for the token: it stands until the /init that follows replaces or clears it.
 * Returns 0 or -ENOMEM, then nothing has changed.
 */
int settings_rename(struct settings *s, const char *sandbox_id, const char *template_id);

/* 1 and the time of an /init body that carries one and would be applied; else 0. */
int settings_fresh_timestamp(const struct settings *s, const struct json_ref *root,
                             int64_t *ret_ns);

/*
 * Apply the members of an /init body, all or none. `root` is an object. Returns 0 (also for a
 * stale timestamp, which applies nothing) or -EINVAL/-ENOMEM with err naming the member.
 */
int settings_apply(struct settings *s, const struct json_ref *root, struct err *err);

/* New object of all global variables, the user's over ours. Caller's; NULL when memory is gone. */
json_t *settings_globals(const struct settings *s);

/* A name that an environment can carry: not empty, no '='. */
bool env_name_valid(const char *name);
