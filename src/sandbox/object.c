/*
 * The sandbox object: made, described to others, and turned into a row and back.
 */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"
#include "json/json.h"
#include "json/writer.h"

#include <string.h>

struct sandbox *sandbox_new(struct sandbox_manager *m, const char *id, enum sandbox_state state)
{
    struct sandbox *sb = calloc(1, sizeof(*sb));
    if (sb == NULL)
        return NULL;
    sb->m = m;
    sb->state = state;
    sb->moving = -1;
    (void)snprintf(sb->id, sizeof(sb->id), "%s", id);
    list_init(&sb->node);
    list_init(&sb->links);
    return sb;
}

static void wipe_free(char *s)
{
    if (s != NULL)
        explicit_bzero(s, strlen(s));
    free(s);
}

void sandbox_free(struct sandbox *sb)
{
    if (sb == NULL)
        return;
    for (size_t i = 0; i < sb->n_metadata; i++) {
        free(sb->metadata[i].key);
        free(sb->metadata[i].value);
    }
    free(sb->metadata);
    wipe_free(sb->envs_json);
    free(sb->team);
    free(sb->alias);
    free(sb->mask_host);
    free(sb->network_json);
    free(sb->metadata_json);
    free(sb->driver);
    explicit_bzero(sb, sizeof(*sb)); /* the tokens */
    free(sb);
}

void sandbox_describe(const struct sandbox *sb, struct sandbox_info *ret)
{
    *ret = (struct sandbox_info){
        .id = sb->id,
        .team = sb->team,
        .template_id = sb->template_id,
        .alias = sb->alias,
        .state = sb->state,
        .started_wall_ns = sb->started_wall_ns,
        .end_wall_ns = sb->end.wall_ns,
        .cpu_count = sb->limits.cpu_millis < 1000 ? 1 : sb->limits.cpu_millis / 1000,
        .memory_mb = (uint32_t)(sb->limits.memory_bytes >> 20),
        .disk_mb = (uint32_t)(sb->limits.disk_bytes >> 20),
        .envd_token = sb->envd_token,
        .traffic_token = sb->traffic_token[0] != '\0' ? sb->traffic_token : NULL,
        .mask_host = sb->mask_host,
        .metadata = sb->metadata,
        .n_metadata = sb->n_metadata,
        .internet = sb->internet,
        .network_json = sb->network_json,
        .addr = sb->inst.addr,
        .lifecycle = sb->lifecycle,
    };
    memcpy(ret->limit_hits, sb->hits, sizeof(ret->limit_hits));
}

struct sandbox_row sandbox_row_of(const struct sandbox *sb)
{
    return (struct sandbox_row){
        .id = sb->id,
        .team = sb->team,
        .template_id = sb->template_id,
        .alias = sb->alias,
        .driver = sb->driver,
        .state = sandbox_state_name(sb->state),
        .created_ns = sb->created_wall_ns,
        .started_ns = sb->started_wall_ns,
        .end_ns = sb->end.wall_ns,
        .lifecycle = sb->lifecycle,
        .memory_bytes = sb->limits.memory_bytes,
        .disk_bytes = sb->limits.disk_bytes,
        .cpu_millis = sb->limits.cpu_millis,
        .pids = sb->limits.pids,
        .internet = sb->internet,
        .envd_token = sb->envd_token,
        .control_secret = sb->control_secret,
        .traffic_token = sb->traffic_token[0] != '\0' ? sb->traffic_token : NULL,
        .mask_host = sb->mask_host,
        .network_json = sb->network_json,
        .metadata = sb->metadata_json,
        .slot = sb->inst.slot,
        .pid = sb->inst.pid,
        .pid_start = sb->inst.pid_start,
        .build_id = sb->build_id,
        .end_cause = end_cause_name(sb->end_cause),
        .end_text = sb->end_text,
        .ended_ns = sb->ended_wall_ns,
    };
}

int kv_to_json(const struct kv *kv, size_t n, const char *what, size_t max, char **ret,
               struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(max + 1);
    struct json_writer w;
    jw_init(&w, &text);
    jw_obj(&w);
    for (size_t i = 0; i < n; i++)
        jw_kstr(&w, kv[i].key, kv[i].value);
    jw_end(&w);
    if (text.error == -ENOBUFS)
        return err_set(err, -E2BIG, ERR_INVALID, "%s is larger than %zu bytes", what, max);
    char *s = buf_take(&text, NULL);
    if (s == NULL)
        return err_sys(err, -ENOMEM, "keep %s", what);
    *ret = s;
    return 0;
}

static int kv_add(struct sandbox *sb, const char *key, const char *value)
{
    struct kv *at = &sb->metadata[sb->n_metadata++];
    at->key = strdup(key);
    at->value = strdup(value);
    return at->key == NULL || at->value == NULL ? -ENOMEM : 0;
}

int kv_copy(struct sandbox *sb, const struct kv *kv, size_t n)
{
    sb->metadata = calloc(n + 1, sizeof(*kv));
    if (sb->metadata == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (kv_add(sb, kv[i].key, kv[i].value) < 0)
            return -ENOMEM;
    return 0;
}

static int add_member(const char *key, const char *value, void *user, struct err *err)
{
    int r = kv_add(user, key, value);
    return r < 0 ? err_sys(err, r, "keep metadata") : 0;
}

static int metadata_parse(struct sandbox *sb, const char *text, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    int r = json_parse(slice_str(text), &doc, err);
    if (r < 0)
        return r;
    sb->metadata = calloc(json_object_size(doc) + 1, sizeof(*sb->metadata));
    if (sb->metadata == NULL)
        return err_sys(err, -ENOMEM, "keep metadata");
    struct json_ref root = json_root(doc);
    return json_each_str(&root, add_member, sb, err);
}

/* strdup that lets NULL through. */
static int keep(char **dst, const char *s)
{
    if (s == NULL)
        return 0;
    *dst = strdup(s);
    return *dst == NULL ? -ENOMEM : 0;
}

static int keep_strings(struct sandbox *sb, const struct sandbox_row *row)
{
    (void)snprintf(sb->template_id, sizeof(sb->template_id), "%s", row->template_id);
    (void)snprintf(sb->envd_token, sizeof(sb->envd_token), "%s", row->envd_token);
    (void)snprintf(sb->control_secret, sizeof(sb->control_secret), "%s", row->control_secret);
    (void)snprintf(sb->build_id, sizeof(sb->build_id), "%s", row->build_id);
    if (row->end_text != NULL)
        (void)snprintf(sb->end_text, sizeof(sb->end_text), "%s", row->end_text);
    if (row->traffic_token != NULL)
        (void)snprintf(sb->traffic_token, sizeof(sb->traffic_token), "%s", row->traffic_token);
    if (keep(&sb->team, row->team) < 0 || keep(&sb->alias, row->alias) < 0 ||
        keep(&sb->mask_host, row->mask_host) < 0 ||
        keep(&sb->network_json, row->network_json) < 0 ||
        keep(&sb->metadata_json, row->metadata) < 0 || keep(&sb->driver, row->driver) < 0)
        return -ENOMEM;
    return 0;
}

static void sandbox_freep(struct sandbox **sb)
{
    sandbox_free(*sb);
}

int sandbox_from_row(struct sandbox_manager *m, const struct sandbox_row *row, struct sandbox **ret,
                     struct err *err)
{
    int state = sandbox_state_parse(row->state);
    if (!id_is_sandbox(row->id) || state < 0)
        return err_set(err, -EUCLEAN, ERR_INTERNAL, "a sandbox's row has no valid id or state");
    _cleanup_(sandbox_freep)
    struct sandbox *sb = sandbox_new(m, row->id, (enum sandbox_state)state);
    if (sb == NULL || keep_strings(sb, row) < 0)
        return err_sys(err, -ENOMEM, "load sandbox '%s'", row->id);
    int r = metadata_parse(sb, row->metadata, err);
    if (r < 0)
        return err_wrap(err, "metadata of sandbox '%s'", row->id);
    sb->created_wall_ns = row->created_ns;
    sb->started_wall_ns = row->started_ns;
    int64_t left = row->end_ns - clock_wall_ns();
    sb->end = life_end_after(left > 0 ? (uint64_t)left : 0);
    sb->end.wall_ns = row->end_ns;
    sb->planned = sb->end;
    sb->lifecycle = row->lifecycle;
    memcpy(sb->hits, row->hits, sizeof(sb->hits));
    memcpy(sb->told, row->hits, sizeof(sb->told));
    sb->end_cause = end_cause_parse(row->end_cause);
    sb->ended_wall_ns = row->ended_ns;
    sb->internet = row->internet;
    sb->limits = (struct sandbox_limits){
        .memory_bytes = row->memory_bytes,
        .cpu_millis = row->cpu_millis,
        .pids = row->pids,
        .disk_bytes = row->disk_bytes,
    };
    sb->inst =
        (struct driver_instance){.slot = row->slot, .pid = row->pid, .pid_start = row->pid_start};
    *ret = take_ptr(&sb);
    return 0;
}

struct life_end life_end_after(uint64_t ns)
{
    return (struct life_end){
        .wall_ns = clock_wall_ns() + (int64_t)ns,
        .mono_ns = clock_monotonic_ns() + ns,
    };
}
