/*
 * One line of QEMU's side of QMP: exactly one of greeting, event, return and error, with all that we
 * use of it present and of its type. Members that we do not use are not looked at: QEMU may add some.
 *
 * src/json bounds the depth (JSON_DEPTH_MAX) before anything recurses; the number of values is bounded
 * by the length of the line. Words that we do not know are the OTHER of their table.
 */
#include "sandbox/microvm/qmp_internal.h"

#include "base/log.h"

#include <assert.h>

enum { QUOTED_BYTES = 200 }; /* of foreign text in one message */

static const char *const event_names[] = {
    [QMP_EVENT_OTHER] = "",
    [QMP_EVENT_STOP] = "STOP",
    [QMP_EVENT_RESUME] = "RESUME",
    [QMP_EVENT_SHUTDOWN] = "SHUTDOWN",
    [QMP_EVENT_RESET] = "RESET",
    [QMP_EVENT_GUEST_PANICKED] = "GUEST_PANICKED",
    [QMP_EVENT_MIGRATION] = "MIGRATION",
    [QMP_EVENT_WATCHDOG] = "WATCHDOG",
    [QMP_EVENT_BLOCK_IO_ERROR] = "BLOCK_IO_ERROR",
};
static_assert(ARRAY_LEN(event_names) == QMP_EVENT_MAX_, "every kind of event has its name");

static const char *const reason_names[] = {
    [QMP_REASON_OTHER] = "",
    [QMP_REASON_HOST_ERROR] = "host-error",
    [QMP_REASON_HOST_QMP_QUIT] = "host-qmp-quit",
    [QMP_REASON_HOST_QMP_RESET] = "host-qmp-system-reset",
    [QMP_REASON_HOST_SIGNAL] = "host-signal",
    [QMP_REASON_HOST_UI] = "host-ui",
    [QMP_REASON_GUEST_SHUTDOWN] = "guest-shutdown",
    [QMP_REASON_GUEST_RESET] = "guest-reset",
    [QMP_REASON_GUEST_PANIC] = "guest-panic",
};
static_assert(ARRAY_LEN(reason_names) == QMP_REASON_MAX_, "every reason has its name");

static const char *const migration_names[] = {
    [QMP_MIGRATION_OTHER] = "",        [QMP_MIGRATION_SETUP] = "setup",
    [QMP_MIGRATION_ACTIVE] = "active", [QMP_MIGRATION_COMPLETED] = "completed",
    [QMP_MIGRATION_FAILED] = "failed", [QMP_MIGRATION_CANCELLED] = "cancelled",
};
static_assert(ARRAY_LEN(migration_names) == QMP_MIGRATION_MAX_, "every status has its name");

/* The index of a word in its table; 0, the OTHER of the table, when it is not there. */
static size_t word_index(const char *word, const char *const *names, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    return 0;
}

static bool has(const struct json_ref *obj, const char *key)
{
    return json_object_get(obj->v, key) != NULL;
}

/* Events. */

static int parse_cause(const struct json_ref *data, struct qmp_event *ev, struct err *err)
{
    const char *reason = NULL;
    int r = json_get_bool(data, "guest", JSON_REQUIRED, &ev->guest, err);
    if (r >= 0)
        r = json_get_str(data, "reason", JSON_REQUIRED, &reason, err);
    if (r >= 0)
        ev->reason = (enum qmp_reason)word_index(reason, reason_names, ARRAY_LEN(reason_names));
    return r;
}

static int parse_migration(const struct json_ref *data, struct qmp_event *ev, struct err *err)
{
    const char *status = NULL;
    int r = json_get_str(data, "status", JSON_REQUIRED, &status, err);
    if (r >= 0)
        ev->migration =
            (enum qmp_migration)word_index(status, migration_names, ARRAY_LEN(migration_names));
    return r;
}

static int parse_panic(const struct json_ref *data, struct qmp_event *ev, struct err *err)
{
    const char *action = NULL;
    int r = json_get_str(data, "action", JSON_REQUIRED, &action, err);
    if (r >= 0)
        ev->stopped = strcmp(action, "pause") == 0;
    return r;
}

static int parse_io_error(const struct json_ref *data, struct qmp_event *ev, struct err *err)
{
    const char *device = "", *action = NULL;
    int r = json_get_str(data, "device", JSON_REQUIRED, &device, err);
    if (r >= 0)
        r = json_get_str(data, "action", JSON_REQUIRED, &action, err);
    if (r >= 0)
        r = json_get_bool(data, "nospace", JSON_OPTIONAL, &ev->no_space, err);
    if (r < 0)
        return r;
    ev->stopped = strcmp(action, "stop") == 0;
    (void)log_quote(slice_str(device), ev->device, sizeof(ev->device));
    return 0;
}

static int parse_event_data(const struct json_ref *top, struct qmp_event *ev, struct err *err)
{
    static int (*const readers[QMP_EVENT_MAX_])(const struct json_ref *, struct qmp_event *,
                                                struct err *) = {
        [QMP_EVENT_SHUTDOWN] = parse_cause,          [QMP_EVENT_RESET] = parse_cause,
        [QMP_EVENT_GUEST_PANICKED] = parse_panic,    [QMP_EVENT_MIGRATION] = parse_migration,
        [QMP_EVENT_BLOCK_IO_ERROR] = parse_io_error,
    };
    struct json_ref data = {0};
    if (readers[ev->kind] == NULL)
        return 0;
    int r = json_get_obj(top, "data", JSON_REQUIRED, &data, err);
    return r < 0 ? r : readers[ev->kind](&data, ev, err);
}

static int parse_event(struct qmp_line *line, struct err *err)
{
    const char *name = NULL;
    int r = json_get_str(&line->top, "event", JSON_REQUIRED, &name, err);
    if (r < 0)
        return r;
    line->kind = QMP_LINE_EVENT;
    line->event.kind = (enum qmp_event_kind)word_index(name, event_names, ARRAY_LEN(event_names));
    (void)log_quote(slice_str(name), line->event.name, sizeof(line->event.name));
    return parse_event_data(&line->top, &line->event, err);
}

/* Answers. */

static int parse_return(struct qmp_line *line, struct err *err)
{
    line->kind = QMP_LINE_RETURN;
    int r = json_get_any(&line->top, "return", JSON_REQUIRED, &line->value, err);
    return r < 0 ? r : json_get_i64(&line->top, "id", JSON_REQUIRED, 1, INT64_MAX, &line->id, err);
}

static const struct {
    const char *class;
    int num;
    enum err_kind kind;
} refusals[] = {
    {"CommandNotFound", -ENOSYS, ERR_INTERNAL}, /* also: not in the present state of QEMU */
    {"DeviceNotFound", -ENOENT, ERR_NOT_FOUND},
    {"DeviceNotActive", -EBUSY, ERR_CONFLICT},
};

static void set_refusal(struct qmp_line *line, const char *class, const char *desc)
{
    char quoted[QUOTED_BYTES];
    int num = -EIO;
    enum err_kind kind = ERR_INTERNAL;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (strcmp(class, refusals[i].class) == 0) {
            num = refusals[i].num;
            kind = refusals[i].kind;
        }
    (void)err_set(&line->refusal, num, kind, "%s",
                  log_quote(slice_str(desc), quoted, sizeof(quoted)));
}

static int parse_error(struct qmp_line *line, struct err *err)
{
    struct json_ref error = {0};
    const char *class = NULL, *desc = NULL;
    line->kind = QMP_LINE_ERROR;
    int r = json_get_obj(&line->top, "error", JSON_REQUIRED, &error, err);
    if (r >= 0)
        r = json_get_str(&error, "class", JSON_REQUIRED, &class, err);
    if (r >= 0)
        r = json_get_str(&error, "desc", JSON_REQUIRED, &desc, err);
    if (r >= 0) /* without an id it is about bytes that are no command: we send none such */
        r = json_get_i64(&line->top, "id", JSON_REQUIRED, 1, INT64_MAX, &line->id, err);
    if (r >= 0)
        set_refusal(line, class, desc);
    return r;
}

/* {"QMP": {"version": {"qemu": {"major": 7, ...}, ...}, "capabilities": [...]}} */
static int parse_greeting(struct qmp_line *line, struct err *err)
{
    struct json_ref qmp = {0}, version = {0}, qemu = {0}, capabilities = {0};
    int64_t major = 0;
    line->kind = QMP_LINE_GREETING;
    int r = json_get_obj(&line->top, "QMP", JSON_REQUIRED, &qmp, err);
    if (r >= 0)
        r = json_get_obj(&qmp, "version", JSON_REQUIRED, &version, err);
    if (r >= 0)
        r = json_get_obj(&version, "qemu", JSON_REQUIRED, &qemu, err);
    if (r >= 0)
        r = json_get_i64(&qemu, "major", JSON_REQUIRED, 0, INT32_MAX, &major, err);
    if (r >= 0)
        r = json_get_arr(&qmp, "capabilities", JSON_REQUIRED, &capabilities, err);
    return r;
}

/* The line. */

static int parse_kind(struct qmp_line *line, struct err *err)
{
    static const struct {
        const char *key;
        int (*parse)(struct qmp_line *line, struct err *err);
    } kinds[] = {
        {"return", parse_return},
        {"event", parse_event},
        {"error", parse_error},
        {"QMP", parse_greeting},
    };
    size_t found = 0, which = 0;
    int r = json_as_obj(&line->top, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (has(&line->top, kinds[i].key)) {
            found++;
            which = i;
        }
    if (found != 1)
        return err_set(err, -EBADMSG, ERR_INTERNAL, "neither one event nor one answer");
    return kinds[which].parse(line, err);
}

int qmp_line_parse(struct slice text, struct qmp_line *line, struct err *err)
{
    char quoted[QUOTED_BYTES];
    struct err why;
    *line = (struct qmp_line){0};
    int r = json_parse(text, &line->root, &why);
    if (r == 0) {
        line->top = json_root(line->root);
        r = parse_kind(line, &why);
    }
    if (r < 0) {
        qmp_line_done(line);
        return err_set(err, -EBADMSG, ERR_INTERNAL, "QEMU sent what is no QMP: %s",
                       log_quote(slice_str(why.msg), quoted, sizeof(quoted)));
    }
    if (line->kind == QMP_LINE_EVENT && text.n > QMP_EVENT_MAX_BYTES) {
        qmp_line_done(line);
        return err_set(err, -EMSGSIZE, ERR_LIMIT, "QEMU sent an event of more than %d bytes",
                       QMP_EVENT_MAX_BYTES);
    }
    return 0;
}

void qmp_line_done(struct qmp_line *line)
{
    json_freep(&line->root);
}
