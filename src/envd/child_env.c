#include "envd/child_env.h"

#include "base/cleanup.h"

#include <errno.h>

/* All variables in one object: insertion keeps the order, a later layer replaces in place. */
static json_t *merge(const struct settings *s, const char *path, const struct user *user,
                     const struct start_request *q)
{
    _cleanup_json_ json_t *globals = settings_globals(s);
    const char *const base[][2] = {
        {"PATH", path}, {"HOME", user->home}, {"USER", user->name}, {"LOGNAME", user->name}};
    json_t *all = json_object();
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(base); i++) /* passwd need not be UTF-8 */
        r |= json_object_set_new(all, base[i][0], json_string_nocheck(base[i][1]));
    if (r != 0 || globals == NULL || json_object_update(all, globals) < 0 ||
        (q->envs != NULL && json_object_update(all, q->envs) < 0)) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static size_t text_bytes(const struct start_request *q, json_t *vars)
{
    const char *key;
    json_t *value;
    size_t i, n = strlen(q->cmd) + 1;
    json_array_foreach(q->args, i, value) n += json_string_length(value) + 1;
    json_object_foreach(vars, key, value) n += strlen(key) + json_string_length(value) + 2;
    return n;
}

/* Appends a string at *at and moves *at behind it. */
static char *put(char **at, const char *s, size_t n, char end)
{
    char *start = *at;
    memcpy(start, s, n);
    start[n] = end;
    *at = start + n + 1;
    return start;
}

static void fill(struct child_env *e, const struct start_request *q, json_t *vars)
{
    char *at = e->text;
    const char *key;
    json_t *value;
    size_t i, n = 0;
    e->argv[0] = put(&at, q->cmd, strlen(q->cmd), '\0');
    json_array_foreach(q->args, i, value) e->argv[i + 1] =
        put(&at, json_string_value(value), json_string_length(value), '\0');
    json_object_foreach(vars, key, value)
    {
        e->envp[n++] = put(&at, key, strlen(key), '=');
        (void)put(&at, json_string_value(value), json_string_length(value), '\0');
    }
}

int child_env_make(const struct settings *s, const char *path, const struct user *user,
                   const struct start_request *q, struct child_env *ret)
{
    _cleanup_json_ json_t *vars = merge(s, path, user, q);
    if (vars == NULL)
        return -ENOMEM;
    ret->argv = calloc(json_array_size(q->args) + 2, sizeof(char *));
    ret->envp = calloc(json_object_size(vars) + 1, sizeof(char *));
    ret->text = malloc(text_bytes(q, vars));
    if (ret->argv == NULL || ret->envp == NULL || ret->text == NULL)
        return -ENOMEM;
    fill(ret, q, vars);
    return 0;
}

void child_env_done(struct child_env *e)
{
    free(e->argv);
    free(e->envp);
    free(e->text);
    *e = (struct child_env){0};
}
