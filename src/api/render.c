/*
 * Sandboxes as JSON. What Python's generated client must not see as null (network, lifecycle) is
 * left out when there is none; `domain` is always told, so that getHost() names lead back here.
 */
#include "api/api_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/version.h"

#include <assert.h>

/* Deprecated on the wire but required by every client; its value means nothing. */
static const char CLIENT_ID[] = "51110000";

static void put_common(const struct sandbox_info *info, struct json_writer *w)
{
    jw_kstr(w, "sandboxID", info->id);
    jw_kstr(w, "templateID", info->template_id);
    jw_kstr(w, "clientID", CLIENT_ID);
    jw_kstr(w, "envdVersion", SILICA_ENVD_VERSION);
    if (info->alias != NULL && info->alias[0] != '\0')
        jw_kstr(w, "alias", info->alias);
}

static void put_time(struct json_writer *w, const char *key, int64_t wall_ns)
{
    char text[RFC3339_BYTES];
    rfc3339_format(wall_ns, text);
    jw_kstr(w, key, text);
}

static void put_state(const struct sandbox_info *info, struct json_writer *w)
{
    put_time(w, "startedAt", info->started_wall_ns);
    put_time(w, "endAt", info->end_wall_ns);
    jw_ku64(w, "cpuCount", info->cpu_count);
    jw_ku64(w, "memoryMB", info->memory_mb);
    jw_ku64(w, "diskSizeMB", info->disk_mb);
    jw_kstr(w, "state", "running");
    jw_key(w, "metadata");
    jw_obj(w);
    for (size_t i = 0; i < info->n_metadata; i++)
        jw_kstr(w, info->metadata[i].key, info->metadata[i].value);
    jw_end(w);
}

void api_render_sandbox(const struct api *api, const struct sandbox_info *info,
                        struct json_writer *w)
{
    jw_obj(w);
    put_common(info, w);
    jw_kstr(w, "envdAccessToken", info->envd_token);
    if (info->traffic_token != NULL)
        jw_kstr(w, "trafficAccessToken", info->traffic_token);
    jw_kstr(w, "domain", api->domain);
    jw_end(w);
}

/* An extension of ours: how often it met its limits. */
static void put_totals(const struct sandbox_info *info, struct json_writer *w)
{
    static const char *const names[] = {
        [DRIVER_EVENT_MEMORY] = "outOfMemory",
        [DRIVER_EVENT_PIDS] = "processLimit",
        [DRIVER_EVENT_DISK] = "diskFull",
        [DRIVER_EVENT_INODES] = "inodesFull",
    };
    static_assert(ARRAY_LEN(names) == DRIVER_EVENT_MAX_, "a total without a name");
    jw_key(w, "silica");
    jw_obj(w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        jw_ku64(w, names[i], info->limit_hits[i]);
    jw_end(w);
}

void api_render_detail(const struct api *api, const struct sandbox_info *info,
                       struct json_writer *w)
{
    jw_obj(w);
    put_common(info, w);
    put_state(info, w);
    jw_kstr(w, "envdAccessToken", info->envd_token);
    jw_kstr(w, "domain", api->domain);
    jw_key(w, "allowInternetAccess");
    if (info->internet < 0)
        jw_null(w);
    else
        jw_bool(w, info->internet != 0);
    if (info->network_json != NULL) {
        jw_key(w, "network");
        jw_raw(w, slice_str(info->network_json));
    }
    jw_key(w, "lifecycle");
    jw_obj(w);
    jw_kbool(w, "autoResume", false);
    jw_kstr(w, "onTimeout", "kill");
    jw_end(w);
    put_totals(info, w);
    jw_end(w);
}

void api_render_listed(const struct sandbox_info *info, struct json_writer *w)
{
    jw_obj(w);
    put_common(info, w);
    put_state(info, w);
    jw_end(w);
}
