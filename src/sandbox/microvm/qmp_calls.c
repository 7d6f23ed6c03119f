/* Calls: making, finding and answering them. qmp.c says when. */
#include "sandbox/microvm/qmp_internal.h"

#include "base/cleanup.h"
#include "json/writer.h"

uint64_t qmp_now_ms(struct qmp *q)
{
    uv_update_time(q->loop);
    return uv_now(q->loop);
}

struct call *qmp_call_first(const struct list *calls)
{
    return list_empty(calls) ? NULL : container_of(calls->next, struct call, node);
}

struct call *qmp_call_awaited(const struct qmp *q)
{
    struct call *c = qmp_call_first(&q->calls);
    return c != NULL && c->sent ? c : NULL;
}

struct call *qmp_call_overdue(const struct qmp *q)
{
    struct call *best = NULL;
    list_for_each_safe(it, next, &q->calls)
    {
        struct call *c = container_of(it, struct call, node);
        if (best == NULL || c->until_ms < best->until_ms)
            best = c;
    }
    return best;
}

struct call *qmp_call_new(struct qmp *q, const char *command, unsigned limit_ms)
{
    struct call *c = xnew(struct call);
    list_init(&c->node);
    buf_init(&c->text, QMP_CALL_MAX_BYTES);
    (void)snprintf(c->command, sizeof(c->command), "%s", command);
    c->id = q->next_id++;
    c->limit_ms = limit_ms;
    c->until_ms = qmp_now_ms(q) + limit_ms;
    return c;
}

int qmp_call_put(struct call *c, const char *arguments)
{
    struct json_writer w;
    jw_init(&w, &c->text);
    jw_obj(&w);
    jw_kstr(&w, "execute", c->command);
    if (arguments != NULL) {
        jw_key(&w, "arguments");
        jw_raw(&w, slice_str(arguments));
    }
    jw_ku64(&w, "id", c->id);
    jw_end(&w);
    return buf_put_char(&c->text, '\n');
}

static bool is_object(const char *arguments)
{
    _cleanup_json_ json_t *root = NULL;
    return json_parse(slice_str(arguments), &root, NULL) == 0 && json_is_object(root);
}

static bool is_full(const struct qmp *q)
{
    size_t n = 0;
    list_for_each_safe(it, next, &q->calls) n++;
    return n >= QMP_CALLS_MAX;
}

int qmp_call_fill(const struct qmp *q, struct call *c, const char *command, const char *arguments)
{
    if (q->state == QMP_ENDED)
        return err_set(&c->why, -EPIPE, ERR_UNAVAILABLE, "the connection to QEMU has ended");
    if (is_full(q))
        return err_set(&c->why, -ENOBUFS, ERR_LIMIT, "%d calls wait for QEMU already",
                       QMP_CALLS_MAX);
    if (command[0] == '\0' || strcmp(command, c->command) != 0)
        return err_set(&c->why, -EINVAL, ERR_INVALID, "a QMP command has 1 to %d bytes",
                       QMP_COMMAND_BYTES - 1);
    if (arguments != NULL && !is_object(arguments))
        return err_set(&c->why, -EINVAL, ERR_INVALID, "the arguments of %s are no JSON object",
                       command);
    int r = qmp_call_put(c, arguments);
    if (r == -ENOBUFS)
        return err_set(&c->why, -EINVAL, ERR_INVALID, "%s has more than %d bytes", command,
                       QMP_CALL_MAX_BYTES);
    return r < 0 ? err_set(&c->why, r, ERR_INTERNAL, "no memory to call QEMU") : 0;
}

static void call_free(struct call *c)
{
    buf_done(&c->text);
    free(c);
}

void qmp_calls_drop(struct list *calls)
{
    list_for_each_safe(it, next, calls)
    {
        list_remove(it);
        call_free(container_of(it, struct call, node));
    }
}

/* Takes it off its list first: the callback may make the next one, or close all. */
void qmp_call_finish(struct call *c, const struct json_ref *ret, const struct err *err)
{
    list_remove(&c->node);
    if (c->done != NULL)
        c->done(c->user, ret, err);
    call_free(c);
}

void qmp_calls_tell_refused(struct qmp *q)
{
    uint64_t before = q->next_id;
    for (struct call *c; (c = qmp_call_first(&q->refused)) != NULL && c->id < before;)
        qmp_call_finish(c, NULL, &c->why);
}
