/*
 * The sandboxes of this node: the only place where their state lives and changes.
 *
 * API and edge see it through this header. Everything runs on the loop's thread; completions come
 * by callback, never from inside the call. Nothing is reported done before it is done and durable.
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "sandbox/driver.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct sandbox_manager;
struct store;

enum sandbox_state {
    SANDBOX_CREATING, /* row written, driver at work, not visible to clients */
    SANDBOX_RUNNING,
    SANDBOX_KILLING, /* kill accepted and persisted; answers "not found" */
    SANDBOX_STATE_MAX_
};
const char *sandbox_state_name(enum sandbox_state s);

struct kv {
    char *key, *value;
};

/* What a client asks for. Strings and arrays are borrowed for the call. */
struct sandbox_spec {
    const char *team;     /* team id of the API key */
    const char *template; /* alias or id as given, e.g. "base" */
    int64_t timeout_s;    /* > 0, already checked against the limit */
    const struct kv *metadata, *envs;
    size_t n_metadata, n_envs;
    int internet;             /* -1 not given, 0, 1 */
    bool public_traffic;      /* false: ports other than envd's need the traffic token */
    const char *mask_host;    /* network.maskRequestHost or NULL */
    const char *network_json; /* the network object as given, or NULL */
};

/* A sandbox as seen from outside; borrowed until the next return to the loop. */
struct sandbox_info {
    const char *id, *team, *template_id, *alias; /* alias "" when none */
    enum sandbox_state state;
    int64_t started_wall_ns, end_wall_ns;
    uint32_t cpu_count, memory_mb, disk_mb;
    const char *envd_token;
    const char *traffic_token; /* NULL unless public traffic is off */
    const char *mask_host;     /* NULL unless set */
    const struct kv *metadata;
    size_t n_metadata;
    int internet;             /* as given: -1, 0, 1 */
    const char *network_json; /* or NULL */
    struct sockaddr_in addr;
    uint64_t lifecycle;                     /* a new number for each start */
    uint32_t limit_hits[DRIVER_EVENT_MAX_]; /* how often it met a limit, by enum driver_event */
};

typedef void (*sandbox_info_cb)(void *user, const struct sandbox_info *info, const struct err *err);
typedef void (*sandbox_done_cb)(void *user, const struct err *err);

/* done(info) once the sandbox is running, initialised and reachable; or done(NULL, err). */
void sandbox_create(struct sandbox_manager *m, const struct sandbox_spec *spec,
                    sandbox_info_cb done, void *user);

/* A running sandbox of that team (team NULL: any, for the edge), else -ENOENT with the message. */
int sandbox_get(struct sandbox_manager *m, const char *team, const char *id,
                struct sandbox_info *ret, struct err *err);

/*
 * When and why a sandbox of that team ended, or is about to have ended: "its init was killed (signal
 * 9)". 1: *ret is set; 0: there was none, or its events are no longer kept. A short read.
 */
enum { SANDBOX_END_TEXT_BYTES = 160 };
struct sandbox_ended {
    int64_t wall_ns;
    char text[SANDBOX_END_TEXT_BYTES];
};
int sandbox_ended(struct sandbox_manager *m, const char *team, const char *id,
                  struct sandbox_ended *ret);

/* Ends it; -ENOENT when there is none (or it is being killed already). */
void sandbox_kill(struct sandbox_manager *m, const char *team, const char *id, sandbox_done_cb done,
                  void *user);

/* end = now + timeout_s, clamped to the longest life; extend_only: never shortens. */
void sandbox_set_timeout(struct sandbox_manager *m, const char *team, const char *id,
                         int64_t timeout_s, bool extend_only, sandbox_info_cb done, void *user);

/* Visits the running sandboxes of a team in order of (started, id), oldest first; false stops. */
void sandbox_each(struct sandbox_manager *m, const char *team,
                  bool (*each)(void *user, const struct sandbox_info *info), void *user);

/*
 * A connection through the edge holds a link; on_gone is called once when the sandbox's life ends
 * (kill, timeout, crash), so that the connection is cut at once. The link is embedded, owned by
 * the caller, removed by sandbox_unlink() (safe when on_gone was called already).
 */
struct sandbox_link {
    struct list node;
    void (*on_gone)(struct sandbox_link *link);
};
int sandbox_link(struct sandbox_manager *m, const char *id, uint64_t lifecycle,
                 struct sandbox_link *link);
void sandbox_unlink(struct sandbox_link *link);

struct template_info;
/* What a sandbox of that template is limited to: its own limits, and defaults for the rest. */
void sandbox_template_limits(const struct sandbox_manager *m, const struct template_info *t,
                             struct sandbox_limits *ret);

struct sandbox_manager_opts {
    uv_loop_t *loop;
    struct store *store;       /* borrowed */
    struct driver *driver;     /* borrowed */
    const char *templates_dir; /* copied */
    /* Told what happened to which sandbox (NULL: to several), both borrowed; may be NULL. */
    void (*notice)(void *user, const char *id, const char *text);
    void *notice_user;
    struct sandbox_limits default_limits; /* where the template says nothing */
    uint32_t max_sandboxes;               /* for each team; more is 429 */
    int64_t max_life_s;                   /* start to end */
};
/* Adopts what lives, reaps what does not; ready(err) once that is done. */
int sandbox_manager_new(const struct sandbox_manager_opts *opts, sandbox_done_cb ready, void *user,
                        struct sandbox_manager **ret, struct err *err);
/* end_all: kill every sandbox first. done once, then the manager is gone. */
void sandbox_manager_close(struct sandbox_manager *m, bool end_all, sandbox_done_cb done,
                           void *user);
