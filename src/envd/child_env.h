/* Argument and environment vectors of a child, layered by the protocol's rules. */
#pragma once

#include "envd/process_rpc.h"
#include "envd/settings.h"
#include "envd/users.h"

struct child_env {
    char **argv, **envp; /* NULL-terminated; owned arrays */
    char *text;          /* owned; the bytes that both point into */
};

/* Later layers win: PATH, HOME, USER, LOGNAME; the globals; the request's envs. 0 or -ENOMEM. */
int child_env_make(const struct settings *s, const char *path, const struct user *user,
                   const struct start_request *q, struct child_env *ret);
void child_env_done(struct child_env *e);
