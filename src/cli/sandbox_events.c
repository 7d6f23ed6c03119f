/* `silica sandbox events`: what happened, one line an event. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "json/json.h"
#include "json/writer.h"

#include <stdio.h>
#include <string.h>

enum { JSON_OUT_MAX = 256 << 20 };

struct listing {
    struct json_writer w;
    bool json, titled;
};

static const char *text_of(const struct json_ref *data, const char *key)
{
    const char *s = NULL;
    return json_get_str(data, key, JSON_OPTIONAL, &s, NULL) > 0 ? s : NULL;
}

/* The part of the data that people want to see. */
static void print_details(const char *text)
{
    _cleanup_json_ json_t *doc = NULL;
    int64_t total = 0;
    if (json_parse(slice_str(text), &doc, NULL) < 0)
        return;
    struct json_ref data = json_root(doc);
    const char *message = text_of(&data, "message"), *end = text_of(&data, "endAt");
    if (message != NULL)
        printf("%s", message);
    else if (json_get_i64(&data, "total", JSON_OPTIONAL, 0, UINT32_MAX, &total, NULL) > 0)
        printf("%lld in all", (long long)total);
    else if (end != NULL)
        printf("ends %s", end);
}

static void write_json(struct json_writer *w, const silica_sandbox_event *e, const char *time)
{
    jw_obj(w);
    jw_kstr(w, "id", e->id);
    jw_kstr(w, "type", e->type);
    jw_kstr(w, "timestamp", time);
    jw_kstr(w, "sandboxId", e->sandbox_id);
    jw_kstr(w, "sandboxTemplateId", e->template_id);
    jw_key(w, "eventData");
    if (e->data[0] != '\0')
        jw_raw(w, slice_str(e->data));
    else
        jw_null(w);
    jw_end(w);
}

/* Once, and only when the server has answered. */
static void print_titles(struct listing *l)
{
    if (!l->titled)
        printf("%-20s %-22s %-14s %s\n", "TIME", "SANDBOX", "EVENT", "");
    l->titled = true;
}

static int print_event(void *user, const silica_sandbox_event *e)
{
    struct listing *l = user;
    char time[RFC3339_BYTES];
    const char *dot = strrchr(e->type, '.');
    if (l->json) {
        rfc3339_format(e->time_ms * (int64_t)NS_PER_MS, time);
        write_json(&l->w, e, time);
        return l->w.out->error;
    }
    print_titles(l);
    rfc3339_format(e->time_ms / 1000 * (int64_t)NS_PER_S, time);
    printf("%-20s %-22s %-14s ", time, e->sandbox_id, dot != NULL ? dot + 1 : e->type);
    print_details(e->data);
    printf("\n");
    return 0;
}

int cli_sandbox_events(silica_client *client, const char *id, bool json, uint64_t max)
{
    _cleanup_buf_ struct buf out = BUF_INIT(JSON_OUT_MAX);
    struct listing l = {.json = json};
    silica_error err = {SILICA_OK};
    struct err e = {0};
    jw_init(&l.w, &out);
    if (json)
        jw_arr(&l.w);
    if (silica_list_events(client, SILICA_EVENT_OPTS(.sandbox_id = id, .max = (uint32_t)max),
                           print_event, &l, &err) != SILICA_OK)
        return cli_fail_sdk("sandbox", &err);
    if (out.error != 0) {
        (void)err_set(&e, out.error, ERR_LIMIT, "the list is too long; ask for less with --max");
        return cli_fail("sandbox", &e);
    }
    if (json) {
        jw_end(&l.w);
        printf("%s\n", buf_str(&out));
    } else {
        print_titles(&l);
    }
    return CLI_OK;
}
