/*
 * The API on a live server over a manager and a store that the test plays, and one request to it.
 */
#pragma once

#include "api/api.h"
#include "base/codec.h"
#include "image/template.h"
#include "store/events.h"
#include "store/keys.h"
#include "test_live.h"
#include "json/json.h"

#define KEY  "e2b_0123456789abcdef0123456789abcdef01234567"
#define AUTH "X-API-Key: " KEY "\r\n"
#define TEAM "11111111-1111-4111-8111-111111111111"

enum { FAKE_MAX = 8 };

static struct fake {
    struct api *api;
    struct sandbox_info box[FAKE_MAX]; /* oldest first */
    size_t n;
    /* what the last call asked for */
    char called[32], team[UUID_BYTES], template[64];
    int64_t timeout_s;
    bool extend_only, public_traffic;
    int internet;
    size_t n_envs;
    struct err fail;          /* kind and message of the next create */
    struct event_query asked; /* its numbers; the strings are borrowed */
    char asked_sandbox[64];
    bool hold; /* keep the create's callback */
    sandbox_info_cb held;
    void *held_user;
} fake;

static char key_a[] = "k", value_a[] = "v";
static struct kv metadata[] = {{key_a, value_a}};

int store_key_find(struct store *s, struct slice key, struct key_info *ret, struct err *err)
{
    (void)s;
    if (!slice_eq_str(key, KEY))
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "unknown key");
    *ret = (struct key_info){.team = TEAM};
    return 0;
}

int store_event_each(struct store *s, const struct event_query *q,
                     int (*each)(const struct event *event, void *user), void *user,
                     struct err *err)
{
    (void)s, (void)err;
    fake.asked = *q;
    (void)snprintf(fake.asked_sandbox, sizeof(fake.asked_sandbox), "%s",
                   q->sandbox != NULL ? q->sandbox : "");
    (void)snprintf(fake.team, sizeof(fake.team), "%s", q->team);
    if (q->sandbox != NULL && strcmp(q->sandbox, "iended") != 0)
        return 0;
    const struct event e = {.id = "33333333-3333-4333-8333-333333333333",
                            .sandbox = "iended",
                            .team = TEAM,
                            .template_id = "tttttttttttttttttttt",
                            .build_id = "44444444-4444-4444-8444-444444444444",
                            .lifecycle = 255,
                            .type = EVENT_OUT_OF_MEMORY,
                            .time_ns = 1000000000,
                            .data = "{\"total\":3}"};
    return each(&e, user);
}

/* The real ones are in the store's library, which would bring the rest of it. */
const char *event_type_name(enum event_type type)
{
    return type == EVENT_OUT_OF_MEMORY ? "silica.sandbox.out_of_memory" : "?";
}

enum event_type event_type_parse(const char *name)
{
    return strcmp(name, "silica.sandbox.out_of_memory") == 0 ? EVENT_OUT_OF_MEMORY
           : strcmp(name, "sandbox.lifecycle.killed") == 0   ? EVENT_KILLED
                                                             : (enum event_type)0;
}

int sandbox_ended(struct sandbox_manager *m, const char *team, const char *id,
                  struct sandbox_ended *ret)
{
    (void)m;
    if (strcmp(id, "iended") != 0 || strcmp(team, TEAM) != 0)
        return 0;
    *ret = (struct sandbox_ended){.wall_ns = 1000000000, .text = "its init was killed (signal 9)"};
    return 1;
}

int template_each(const char *dir, int (*each)(const struct template_info *t, void *user),
                  void *user, struct err *err)
{
    (void)dir, (void)err;
    const struct template_info t = {
        .id = "tttttttttttttttttttt", .alias = "base", .cpu_count = 2, .memory_mb = 512};
    return each(&t, user);
}

static inline struct sandbox_info *find(const char *id)
{
    for (size_t i = 0; i < fake.n; i++)
        if (slice_eq(slice_str(fake.box[i].id), slice_str(id)))
            return &fake.box[i];
    return NULL;
}

void sandbox_create(struct sandbox_manager *m, const struct sandbox_spec *spec,
                    sandbox_info_cb done, void *user)
{
    (void)m;
    (void)snprintf(fake.called, sizeof(fake.called), "create");
    (void)snprintf(fake.team, sizeof(fake.team), "%s", spec->team);
    (void)snprintf(fake.template, sizeof(fake.template), "%s", spec->template);
    fake.timeout_s = spec->timeout_s;
    fake.public_traffic = spec->public_traffic;
    fake.internet = spec->internet;
    fake.n_envs = spec->n_envs;
    if (fake.hold) {
        fake.held = done;
        fake.held_user = user;
    } else if (fake.fail.num != 0) {
        done(user, NULL, &fake.fail);
    } else {
        done(user, &fake.box[0], NULL);
    }
}

int sandbox_get(struct sandbox_manager *m, const char *team, const char *id,
                struct sandbox_info *ret, struct err *err)
{
    (void)m;
    const struct sandbox_info *box = find(id);
    if (box == NULL || !slice_eq(slice_str(team), slice_str(TEAM)))
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "not here");
    *ret = *box;
    return 0;
}

void sandbox_kill(struct sandbox_manager *m, const char *team, const char *id, sandbox_done_cb done,
                  void *user)
{
    struct sandbox_info info;
    struct err err = {0};
    (void)snprintf(fake.called, sizeof(fake.called), "kill");
    if (sandbox_get(m, team, id, &info, &err) < 0)
        done(user, &err);
    else
        done(user, NULL);
}

void sandbox_set_timeout(struct sandbox_manager *m, const char *team, const char *id,
                         int64_t timeout_s, bool extend_only, sandbox_info_cb done, void *user)
{
    struct sandbox_info info;
    struct err err = {0};
    (void)snprintf(fake.called, sizeof(fake.called), "set_timeout");
    fake.timeout_s = timeout_s;
    fake.extend_only = extend_only;
    if (sandbox_get(m, team, id, &info, &err) < 0)
        done(user, NULL, &err);
    else
        done(user, &info, NULL);
}

void sandbox_each(struct sandbox_manager *m, const char *team,
                  bool (*each)(void *user, const struct sandbox_info *info), void *user)
{
    (void)m, (void)team;
    for (size_t i = 0; i < fake.n; i++)
        if (!each(user, &fake.box[i]))
            return;
}

static inline void handler(struct http_exchange *x, void *user)
{
    (void)user;
    api_handle(x, fake.api);
}

static const char *const ids[FAKE_MAX] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};

static inline int setup(void **state)
{
    (void)state;
    static const char *const names[] = {"api.example.test"};
    fake = (struct fake){.n = 5};
    for (size_t i = 0; i < FAKE_MAX; i++)
        fake.box[i] = (struct sandbox_info){
            .id = ids[i],
            .team = TEAM,
            .template_id = "tttttttttttttttttttt",
            .alias = i % 2 == 0 ? "base" : "",
            .state = SANDBOX_RUNNING,
            .started_wall_ns = 1790000000000000000 + (int64_t)(i / 2) * 1000, /* with ties */
            .end_wall_ns = 1790000300000000000,
            .cpu_count = 2,
            .memory_mb = 512,
            .disk_mb = 1024,
            .envd_token = "envdtoken",
            .metadata = metadata,
            .n_metadata = 1,
            .internet = -1,
        };
    const struct api_opts opts = {.domain = "localhost:3000",
                                  .host_names = names,
                                  .n_host_names = 1,
                                  .max_timeout_s = 86400,
                                  .templates_dir = "/nonexistent"};
    assert_int_equal(api_new(&opts, &fake.api, NULL), 0);
    live_start(handler, NULL);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    live_stop();
    api_free(fake.api);
    return 0;
}

/* One request; returns the status, the body is in *ret_body. */
static inline int ask(const char *line, const char *headers, const char *body,
                      const char **ret_body)
{
    char head[4096];
    int n = snprintf(head, sizeof(head),
                     "%s HTTP/1.1\r\nHost: localhost:3000\r\nConnection: close\r\n%s"
                     "Content-Length: %zu\r\n\r\n",
                     line, headers, strlen(body));
    assert_true(n > 0 && (size_t)n < sizeof(head));
    _cleanup_close_ int fd = live_connect();
    live_put(fd, head);
    live_put(fd, body);
    live_get(fd, NULL);
    assert_int_equal(strncmp(live_text, "HTTP/1.1 ", 9), 0);
    char *at = memmem(live_text, live_n, "\r\n\r\n", 4);
    assert_non_null(at);
    *ret_body = at + 4;
    return (live_text[9] - '0') * 100 + (live_text[10] - '0') * 10 + live_text[11] - '0';
}

static inline void check_error(const char *body, int status, const char *message)
{
    _cleanup_json_ json_t *doc = NULL;
    assert_int_equal(json_parse(slice_str(body), &doc, NULL), 0);
    assert_int_equal(json_integer_value(json_object_get(doc, "code")), status);
    assert_non_null(json_string_value(json_object_get(doc, "message")));
    if (message != NULL)
        assert_string_equal(json_string_value(json_object_get(doc, "message")), message);
    live_has("Content-Type: application/json\r\n");
    live_has("Access-Control-Allow-Origin: *\r\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
