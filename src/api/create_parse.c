/*
 * Reading the create body. Options of the protocol that this server does not support are refused by
 * name as soon as they ask for something: a client that got a sandbox may rely on what it asked
 * for. Their neutral values (false, null, empty) are accepted, because clients send them unasked.
 */
#include "api/create_parse.h"

static const char *const known_fields[] = {
    "templateID", "timeout",  "autoPause",    "autoPauseMemory", "autoResume",
    "secure",     "metadata", "envVars",      "network",         "allow_internet_access",
    "mcp",        "iam",      "volumeMounts",
};

void create_request_done(struct create_request *r)
{
    json_decref(r->root);
    free(r->metadata);
    free(r->envs);
    buf_done(&r->network_json);
    *r = (struct create_request){0};
}

bool create_asks_for_something(const json_t *v)
{
    if (json_is_null(v) || json_is_false(v))
        return false;
    if (json_is_array(v))
        return json_array_size(v) > 0;
    return !json_is_object(v) || json_object_size(v) > 0;
}

int create_not_supported(const struct json_ref *ref, struct err *err)
{
    (void)json_refuse(ref, err, "is not supported by this server");
    err_code(err, API_CODE_NOT_SUPPORTED);
    return -EINVAL;
}

static int refuse_if_asked(const struct json_ref *root, const char *key, struct err *err)
{
    struct json_ref ref;
    int r = json_get_any(root, key, JSON_OPTIONAL, &ref, err);
    if (r > 0 && create_asks_for_something(ref.v))
        return create_not_supported(&ref, err);
    return r < 0 ? r : 0;
}

static int check_lifecycle(const struct json_ref *root, const struct api_fields *fields,
                           struct err *err)
{
    static const char *const resume_fields[] = {"enabled"};
    bool pause = false, memory = true, enabled = false;
    struct json_ref resume;
    int r = json_get_bool(root, "autoPause", JSON_OPTIONAL, &pause, err);
    if (r >= 0)
        r = json_get_bool(root, "autoPauseMemory", JSON_OPTIONAL, &memory, err);
    if (r < 0)
        return r;
    if (pause)
        return create_not_supported(&(struct json_ref){.up = root, .key = "autoPause"}, err);
    if (!memory)
        return json_refuse(&(struct json_ref){.up = root, .key = "autoPauseMemory"}, err,
                           "may be false only with autoPause true");
    r = json_get_obj(root, "autoResume", JSON_OPTIONAL, &resume, err);
    if (r <= 0)
        return r;
    r = api_fields_check(fields, &resume, resume_fields, ARRAY_LEN(resume_fields), err);
    if (r >= 0)
        r = json_get_bool(&resume, "enabled", JSON_REQUIRED, &enabled, err);
    if (r >= 0 && enabled)
        return create_not_supported(&resume, err);
    return r;
}

static int check_unsupported(const struct json_ref *root, const struct api_fields *fields,
                             struct err *err)
{
    struct json_ref mounts;
    int r = json_get_arr(root, "volumeMounts", JSON_OPTIONAL, &mounts, err);
    if (r > 0 && json_arr_len(&mounts) > 0)
        return create_not_supported(&mounts, err);
    if (r >= 0)
        r = refuse_if_asked(root, "mcp", err);
    if (r >= 0)
        r = refuse_if_asked(root, "iam", err);
    return r < 0 ? r : check_lifecycle(root, fields, err);
}

/* State of reading one map of strings. */
struct map_reader {
    const char *name;
    struct kv *kv;
    size_t n, max, bytes, max_bytes;
    bool env_names;
};

static int map_add(const char *key, const char *value, void *user, struct err *err)
{
    struct map_reader *m = user;
    if (m->n == m->max)
        return err_set(err, -EINVAL, ERR_INVALID, "%s must have at most %zu entries", m->name,
                       m->max);
    m->bytes += strlen(key) + strlen(value); /* cannot wrap: the body has a maximum */
    if (m->bytes > m->max_bytes)
        return err_set(err, -EINVAL, ERR_INVALID, "%s must be at most %zu bytes in all", m->name,
                       m->max_bytes);
    if (m->env_names && (key[0] == '\0' || strchr(key, '=') != NULL))
        return err_set(err, -EINVAL, ERR_INVALID, "%s has a name that is empty or contains '='",
                       m->name);
    /* The document outlives the array; manager.h's struct kv is not const for its other users. */
    m->kv[m->n++] = (struct kv){(char *)(uintptr_t)key, (char *)(uintptr_t)value};
    return 0;
}

/* Reads the map `m->name`; the array is allocated for as many entries as it has. */
static int read_map(const struct json_ref *root, struct map_reader *m, struct kv **ret,
                    struct err *err)
{
    struct json_ref map;
    int r = json_get_obj(root, m->name, JSON_OPTIONAL, &map, err);
    if (r <= 0)
        return r;
    size_t n = json_object_size(map.v);
    if (n == 0)
        return 0;
    *ret = m->kv = calloc(n < m->max ? n : m->max, sizeof(*m->kv));
    if (m->kv == NULL)
        return err_set(err, -ENOMEM, ERR_INTERNAL, "out of memory");
    return json_each_str(&map, map_add, m, err);
}

static int read_maps(const struct json_ref *root, struct create_request *ret, struct err *err)
{
    struct map_reader metadata = {
        .name = "metadata", .max = CREATE_METADATA_MAX, .max_bytes = CREATE_METADATA_MAX_BYTES};
    struct map_reader envs = {.name = "envVars",
                              .max = CREATE_ENVS_MAX,
                              .max_bytes = CREATE_ENVS_MAX_BYTES,
                              .env_names = true};
    int r = read_map(root, &metadata, &ret->metadata, err);
    if (r >= 0)
        r = read_map(root, &envs, &ret->envs, err);
    ret->spec.metadata = ret->metadata;
    ret->spec.n_metadata = metadata.n;
    ret->spec.envs = ret->envs;
    ret->spec.n_envs = envs.n;
    return r;
}

static int read_internet(const struct json_ref *root, struct create_request *ret, struct err *err)
{
    bool internet = true;
    int r = json_get_bool(root, "allow_internet_access", JSON_OPTIONAL, &internet, err);
    ret->spec.internet = r > 0 ? (int)internet : -1;
    return r;
}

static int read_fields(const struct json_ref *root, const struct create_limits *limits,
                       const struct api_fields *fields, struct create_request *ret, struct err *err)
{
    struct json_ref network;
    bool secure = true; /* every sandbox is secured; the member is only checked for its type */
    ret->spec.timeout_s = limits->default_timeout_s;
    ret->spec.public_traffic = true;
    int r = json_get_str(root, "templateID", JSON_REQUIRED, &ret->spec.template, err);
    if (r >= 0 && ret->spec.template[0] == '\0')
        r = json_refuse(&(struct json_ref){.up = root, .key = "templateID"}, err,
                        "must not be empty");
    if (r >= 0)
        r = api_timeout_get(root, "timeout", JSON_OPTIONAL, 1, limits->max_timeout_s,
                            &ret->spec.timeout_s, err);
    if (r >= 0)
        r = json_get_bool(root, "secure", JSON_OPTIONAL, &secure, err);
    if (r >= 0)
        r = read_internet(root, ret, err);
    if (r >= 0)
        r = read_maps(root, ret, err);
    if (r >= 0)
        r = check_unsupported(root, fields, err);
    if (r >= 0)
        r = json_get_obj(root, "network", JSON_OPTIONAL, &network, err);
    return r <= 0 ? r : create_network_parse(&network, fields, ret, err);
}

int create_request_parse(struct slice body, const struct create_limits *limits,
                         const struct api_fields *fields, struct create_request *ret,
                         struct err *err)
{
    *ret = (struct create_request){0};
    int r = api_body_parse(body, false, &ret->root, err);
    if (r < 0)
        return r;
    struct json_ref root = json_root(ret->root);
    r = api_fields_check(fields, &root, known_fields, ARRAY_LEN(known_fields), err);
    if (r >= 0)
        r = read_fields(&root, limits, fields, ret, err);
    return r < 0 ? r : 0;
}
