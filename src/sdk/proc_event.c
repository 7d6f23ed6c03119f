/*
 * Messages of a process stream: start, output, end, keep-alive, and the frame that ends it.
 */
#include "base/codec.h"
#include "base/signals.h"
#include "sdk/proc_internal.h"

/*
 * What stands behind the status in the member "error". The guest has written it: what is no printable
 * character does not reach the caller's terminal.
 */
static void take_reason(const char *error, const char *status, char *dst, size_t cap)
{
    size_t n = strlen(status), at = 0;
    if (strncmp(error, status, n) == 0)
        error += n;
    if (strncmp(error, ": ", 2) == 0)
        error += 2;
    for (; *error != '\0' && at + 1 < cap; error++)
        dst[at++] = *error >= ' ' && *error < 0x7f ? *error : '?';
    dst[at] = '\0';
}

static int parse_end(silica_proc *p, const struct json_ref *end, struct err *e)
{
    int64_t code = 0;
    bool exited = false;
    const char *status = "", *error = "";
    if (json_get_i64(end, "exitCode", JSON_OPTIONAL, INT32_MIN, INT32_MAX, &code, e) < 0 ||
        json_get_bool(end, "exited", JSON_OPTIONAL, &exited, e) < 0 ||
        json_get_str(end, "status", JSON_OPTIONAL, &status, e) < 0 ||
        json_get_str(end, "error", JSON_OPTIONAL, &error, e) < 0)
        return -EBADMSG;
    if (exited) {
        p->exit = (silica_exit){.kind = SILICA_EXITED, .code = (int)code};
        take_reason(error, status, p->exit.reason, sizeof(p->exit.reason));
        return 0;
    }
    struct slice name = slice_str(status);
    if (slice_has_prefix(name, "signal: "))
        name = slice_from(name, strlen("signal: "));
    if (slice_has_suffix(name, " (core dumped)"))
        name.n -= strlen(" (core dumped)");
    p->exit = (silica_exit){.kind = SILICA_SIGNALED, .code = -1, .signal = signal_of_word(name)};
    take_reason(error, status, p->exit.reason, sizeof(p->exit.reason));
    return 0;
}

static int parse_data(silica_proc *p, const struct json_ref *data, silica_event *ev, struct err *e)
{
    const char *text = NULL;
    int r = json_get_str(data, "stdout", JSON_OPTIONAL, &text, e);
    ev->stream = SILICA_STDOUT;
    if (r == 0) {
        r = json_get_str(data, "pty", JSON_OPTIONAL, &text, e); /* one stream; shown as output */
    }
    if (r == 0) {
        ev->stream = SILICA_STDERR;
        r = json_get_str(data, "stderr", JSON_OPTIONAL, &text, e);
    }
    if (r <= 0)
        return r;
    buf_clear(&p->data);
    r = base64_get(&p->data, slice_str(text));
    if (r < 0)
        return err_set(e, r, ERR_INVALID, "output is not base64");
    ev->kind = p->data.n > 0 ? SILICA_EVENT_OUTPUT : SILICA_EVENT_NONE;
    ev->data = buf_str(&p->data);
    ev->len = p->data.n;
    return 0;
}

static int parse_members(silica_proc *p, const struct json_ref *event, silica_event *ev,
                         struct err *e)
{
    struct json_ref member;
    int64_t pid = 0;
    int r = json_get_obj(event, "start", JSON_OPTIONAL, &member, e);
    if (r == 1) {
        if (json_get_i64(&member, "pid", JSON_REQUIRED, 1, UINT32_MAX, &pid, e) < 0)
            return -EBADMSG;
        if (p->pid != 0 && p->pid != pid)
            return err_set(e, -EBADMSG, ERR_INVALID, "the process changed its pid");
        p->pid = (uint32_t)pid;
        return 0;
    }
    if (r == 0 && p->pid == 0 && json_object_get(event->v, "keepalive") == NULL)
        return err_set(e, -EBADMSG, ERR_INVALID, "the stream does not begin with the start event");
    if (r == 0)
        r = json_get_obj(event, "data", JSON_OPTIONAL, &member, e);
    if (r == 1)
        return parse_data(p, &member, ev, e);
    if (r == 0)
        r = json_get_obj(event, "end", JSON_OPTIONAL, &member, e);
    return r == 1 ? parse_end(p, &member, e) : r;
}

silica_rc proc_parse_event(silica_proc *p, struct slice text, silica_event *ret, silica_error *err)
{
    _cleanup_json_ json_t *root = NULL;
    struct err e = {0};
    struct json_ref obj, event = {0};
    *ret = (silica_event){.kind = SILICA_EVENT_NONE};
    int r = json_parse(text, &root, &e);
    if (r == 0) {
        obj = json_root(root);
        r = json_get_obj(&obj, "event", JSON_OPTIONAL, &event, &e);
    }
    if (r == 1)
        r = parse_members(p, &event, ret, &e);
    return r < 0 ? sdk_fail_base(err, &e, SILICA_E_PROTOCOL) : SILICA_OK;
}
