#include "envd/settings.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* Members of /init that need a machine of the sandbox's own; refused by name, never ignored. */
static const char *const unsupported[] = {"hyperloopIP", "volumeMounts", "caBundle"};

bool env_name_valid(const char *name)
{
    return name[0] != '\0' && strchr(name, '=') == NULL;
}

/* New object; NULL when memory is gone. */
static json_t *make_own_vars(bool in_sandbox, const char *sandbox_id, const char *template_id)
{
    json_t *vars = json_object();
    int r = json_object_set_new(vars, "E2B_SANDBOX", json_string(in_sandbox ? "true" : "false"));
    if (sandbox_id[0] != '\0')
        r |= json_object_set_new(vars, "E2B_SANDBOX_ID", json_string(sandbox_id));
    if (template_id[0] != '\0')
        r |= json_object_set_new(vars, "E2B_TEMPLATE_ID", json_string(template_id));
    if (r != 0)
        json_freep(&vars);
    return vars;
}

/* All but the token; takes the variables. */
static void start_fresh(struct settings *s, json_t *own_vars, json_t *user_vars)
{
    (void)slice_copy(SLICE_LIT("root"), s->default_user, sizeof(s->default_user));
    s->default_workdir[0] = '\0';
    s->have_timestamp = false;
    json_freep(&s->own_vars);
    json_freep(&s->user_vars);
    s->own_vars = own_vars;
    s->user_vars = user_vars;
}

int settings_init(struct settings *s, bool in_sandbox, const char *sandbox_id,
                  const char *template_id)
{
    memset(s, 0, sizeof(*s));
    start_fresh(s, make_own_vars(in_sandbox, sandbox_id, template_id), json_object());
    return s->own_vars == NULL || s->user_vars == NULL ? -ENOMEM : 0;
}

int settings_rename(struct settings *s, const char *sandbox_id, const char *template_id)
{
    _cleanup_json_ json_t *own = make_own_vars(true, sandbox_id, template_id);
    _cleanup_json_ json_t *user = json_object();
    if (own == NULL || user == NULL)
        return -ENOMEM;
    start_fresh(s, take_ptr(&own), take_ptr(&user));
    return 0;
}

void settings_done(struct settings *s)
{
    explicit_bzero(s->token, sizeof(s->token));
    json_freep(&s->own_vars);
    json_freep(&s->user_vars);
}

json_t *settings_globals(const struct settings *s)
{
    json_t *all = json_copy(s->own_vars);
    const char *key;
    json_t *value;
    if (all == NULL)
        return NULL;
    json_object_foreach(s->user_vars, key, value)
    {
        /* The daemon's own names cannot be replaced. */
        if (json_object_get(s->own_vars, key) == NULL && json_object_set(all, key, value) < 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

struct var_sink {
    json_t *vars;
    size_t bytes;
};

static int take_var(const char *key, const char *value, void *user, struct err *err)
{
    struct var_sink *sink = user;
    sink->bytes += strlen(key) + strlen(value) + 2;
    if (!env_name_valid(key))
        return err_set(err, -EINVAL, ERR_INVALID, "envVars: '%.64s' cannot be a variable's name",
                       key);
    if (json_object_size(sink->vars) >= SETTINGS_ENVS_MAX || sink->bytes > SETTINGS_ENVS_MAX_BYTES)
        return err_set(err, -EINVAL, ERR_INVALID, "envVars: more than %d variables or %d bytes",
                       SETTINGS_ENVS_MAX, SETTINGS_ENVS_MAX_BYTES);
    if (json_object_set_new(sink->vars, key, json_string(value)) < 0)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    return 0;
}

/* 1 and *ret (owned) when envVars is there, 0 when not. */
static int get_vars(const struct json_ref *root, json_t **ret, struct err *err)
{
    struct json_ref map;
    int r = json_get_obj(root, "envVars", JSON_OPTIONAL, &map, err);
    if (r <= 0)
        return r;
    _cleanup_json_ json_t *vars = json_object();
    struct var_sink sink = {.vars = vars};
    if (vars == NULL)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    r = json_each_str(&map, take_var, &sink, err);
    if (r < 0)
        return r;
    *ret = take_ptr(&vars);
    return 1;
}

/* A string member that must fit; *ret stays NULL when the member is missing. */
static int get_bounded(const struct json_ref *root, const char *key, size_t max, const char **ret,
                       struct err *err)
{
    int r = json_get_str(root, key, JSON_OPTIONAL, ret, err);
    if (r > 0 && strlen(*ret) > max)
        return err_set(err, -EINVAL, ERR_INVALID, "%s is longer than %zu bytes", key, max);
    return r < 0 ? r : 0;
}

/* 1: apply; 0: an older call that comes late. */
static int check_timestamp(const struct settings *s, const struct json_ref *root, bool *ret_given,
                           int64_t *ret_ns, struct err *err)
{
    const char *text = NULL;
    int r = json_get_str(root, "timestamp", JSON_OPTIONAL, &text, err);
    *ret_given = r > 0;
    if (r <= 0)
        return r < 0 ? r : 1;
    if (rfc3339_parse(slice_str(text), ret_ns) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "timestamp is not an RFC 3339 time");
    return !s->have_timestamp || *ret_ns > s->timestamp_ns;
}

int settings_fresh_timestamp(const struct settings *s, const struct json_ref *root, int64_t *ret_ns)
{
    bool given = false;
    return check_timestamp(s, root, &given, ret_ns, NULL) == 1 && given;
}

static int refuse_unsupported(const struct json_ref *root, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
        struct json_ref ref;
        int r = json_get_any(root, unsupported[i], JSON_OPTIONAL, &ref, err);
        if (r < 0)
            return r;
        if (r > 0 && !(json_is_string(ref.v) && json_string_length(ref.v) == 0) &&
            !(json_is_array(ref.v) && json_array_size(ref.v) == 0))
            return err_set(err, -EINVAL, ERR_INVALID, "%s is not supported", unsupported[i]);
    }
    return 0;
}

int settings_apply(struct settings *s, const struct json_ref *root, struct err *err)
{
    const char *token = NULL, *user = NULL, *workdir = NULL;
    _cleanup_json_ json_t *vars = NULL;
    bool stamped = false;
    int64_t stamp = 0;
    int r, fresh;
    if ((r = refuse_unsupported(root, err)) < 0 ||
        (r = get_bounded(root, "accessToken", SETTINGS_TOKEN_MAX, &token, err)) < 0 ||
        (r = get_bounded(root, "defaultUser", SETTINGS_USER_MAX, &user, err)) < 0 ||
        (r = get_bounded(root, "defaultWorkdir", SETTINGS_WORKDIR_MAX, &workdir, err)) < 0 ||
        (r = get_vars(root, &vars, err)) < 0 ||
        (r = fresh = check_timestamp(s, root, &stamped, &stamp, err)) < 0)
        return r;
    if (token != NULL && token[0] == '\0')
        return err_set(err, -EINVAL, ERR_INVALID, "accessToken must not be empty");
    if (!fresh)
        return 0;
    if (stamped) {
        s->have_timestamp = true;
        s->timestamp_ns = stamp;
    }
    explicit_bzero(s->token, sizeof(s->token));
    if (token != NULL)
        (void)slice_copy(slice_str(token), s->token, sizeof(s->token));
    if (user != NULL && user[0] != '\0')
        (void)slice_copy(slice_str(user), s->default_user, sizeof(s->default_user));
    if (workdir != NULL && workdir[0] != '\0')
        (void)slice_copy(slice_str(workdir), s->default_workdir, sizeof(s->default_workdir));
    if (vars != NULL) {
        json_freep(&s->user_vars);
        s->user_vars = take_ptr(&vars);
    }
    return 0;
}
