/*
 * Requests of process.Process, from JSON to structs. Nothing here knows of running processes, so
 * that it can be tested and fuzzed alone.
 */
#include "base/codec.h"
#include "base/num.h"
#include "envd/process_rpc.h"
#include "envd/settings.h"

#include <errno.h>
#include <signal.h>

enum {
    START_ARGS_MAX = 65536,
    START_BYTES_MAX = 2 << 20, /* Linux: arguments and environment together, at the usual stack */
    START_STRING_MAX = 131071, /* Linux: MAX_ARG_STRLEN without the terminator */
};

static int invalid(struct err *err, int r)
{
    if (r < 0)
        (void)err_code(err, RPC_INVALID_ARGUMENT);
    return r;
}

/* uint32 as protobuf JSON has it: a number or a decimal string. 1, 0 (missing), <0. */
static int get_pid(const struct json_ref *obj, int *ret, struct err *err)
{
    struct json_ref ref;
    uint32_t v = 0;
    int r = json_get_any(obj, "pid", JSON_OPTIONAL, &ref, err);
    if (r <= 0)
        return r;
    if (json_is_string(ref.v)) {
        if (parse_u32(slice_str(json_string_value(ref.v)), UINT32_MAX, &v) < 0)
            return json_refuse(&ref, err, "must be a whole number from 0 to 4294967295");
    } else {
        int64_t n;
        if ((r = json_get_i64(obj, "pid", JSON_REQUIRED, 0, UINT32_MAX, &n, err)) < 0)
            return r;
        v = (uint32_t)n;
    }
    *ret = v <= INT32_MAX ? (int)v : -1; /* no process has such a pid */
    return 1;
}

int process_read_selector(const struct json_ref *body, struct selector *ret, struct err *err)
{
    struct json_ref process;
    *ret = (struct selector){0};
    int r = json_get_obj(body, "process", JSON_OPTIONAL, &process, err);
    if (r < 0)
        return invalid(err, r);
    if (r > 0) {
        int pid = get_pid(&process, &ret->pid, err);
        int tag = pid < 0 ? pid : json_get_str(&process, "tag", JSON_OPTIONAL, &ret->tag, err);
        if (tag < 0)
            return invalid(err, tag);
        if (pid > 0 && tag > 0)
            return rpc_fail(err, RPC_INVALID_ARGUMENT,
                            "unmarshal message: process has both pid and tag");
        if (pid > 0 || tag > 0)
            return 0;
    }
    return rpc_fail(err, RPC_UNIMPLEMENTED, "invalid input type: no process selector");
}

int process_not_found(const struct selector *s, struct err *err)
{
    if (s->tag != NULL)
        return rpc_fail(err, RPC_NOT_FOUND, "process with tag %.128s not found", s->tag);
    return rpc_fail(err, RPC_NOT_FOUND, "process with pid %u not found", (unsigned)s->pid);
}

static int count_string(const struct json_ref *ref, size_t *total, struct err *err)
{
    const char *s;
    int r = json_as_str(ref, &s, err);
    if (r < 0)
        return r;
    size_t n = json_string_length(ref->v);
    if (n > START_STRING_MAX)
        return json_refuse(ref, err, "is longer than %d bytes", START_STRING_MAX);
    *total += n + 1 + sizeof(char *);
    return 0;
}

static int get_args(const struct json_ref *process, struct start_request *q, size_t *total,
                    struct err *err)
{
    struct json_ref arr;
    int r = json_get_arr(process, "args", JSON_OPTIONAL, &arr, err);
    if (r <= 0)
        return r;
    if (json_arr_len(&arr) > START_ARGS_MAX)
        return json_refuse(&arr, err, "has more than %d members", START_ARGS_MAX);
    for (size_t i = 0; i < json_arr_len(&arr); i++) {
        struct json_ref it = json_arr_at(&arr, i);
        if ((r = count_string(&it, total, err)) < 0)
            return r;
    }
    q->args = arr.v;
    return 0;
}

static int count_env(const char *key, const char *value, void *user, struct err *err)
{
    size_t *total = user;
    if (!env_name_valid(key))
        return err_set(err, -EINVAL, ERR_INVALID,
                       "process.envs: '%.64s' cannot be a variable's name", key);
    if (strlen(key) + strlen(value) + 1 > START_STRING_MAX)
        return err_set(err, -EINVAL, ERR_INVALID, "process.envs.%.64s is longer than %d bytes", key,
                       START_STRING_MAX);
    *total += strlen(key) + strlen(value) + 2 + sizeof(char *);
    return 0;
}

static int get_envs(const struct json_ref *process, struct start_request *q, size_t *total,
                    struct err *err)
{
    struct json_ref map;
    int r = json_get_obj(process, "envs", JSON_OPTIONAL, &map, err);
    if (r <= 0)
        return r;
    q->envs = map.v;
    return json_each_str(&map, count_env, total, err);
}

/* What List shows: the known members only, so that unknown ones cost no memory. */
static json_t *make_config(const struct start_request *q, bool has_cwd)
{
    json_t *c = json_object();
    int r = c == NULL ? -1 : json_object_set_new(c, "cmd", json_string(q->cmd));
    if (r == 0 && q->args != NULL && json_array_size(q->args) != 0)
        r = json_object_set(c, "args", q->args);
    if (r == 0 && q->envs != NULL && json_object_size(q->envs) != 0)
        r = json_object_set(c, "envs", q->envs);
    if (r == 0 && has_cwd)
        r = json_object_set_new(c, "cwd", json_string(q->cwd));
    if (r != 0) {
        json_decref(c);
        return NULL;
    }
    return c;
}

static int parse_start(const struct json_ref *body, struct start_request *q, bool *ret_has_cwd,
                       struct err *err)
{
    struct json_ref process, pty;
    size_t total = 0;
    int r = json_get_obj(body, "process", JSON_REQUIRED, &process, err);
    if (r < 0 || (r = json_get_str(&process, "cmd", JSON_OPTIONAL, &q->cmd, err)) < 0 ||
        (r = get_args(&process, q, &total, err)) < 0 ||
        (r = get_envs(&process, q, &total, err)) < 0 ||
        (r = json_get_str(&process, "cwd", JSON_OPTIONAL, &q->cwd, err)) < 0)
        return r;
    *ret_has_cwd = r > 0;
    if ((r = json_get_str(body, "tag", JSON_OPTIONAL, &q->tag, err)) < 0 ||
        (r = json_get_bool(body, "stdin", JSON_OPTIONAL, &q->with_stdin, err)) < 0)
        return r;
    if (q->tag != NULL && strlen(q->tag) > PROCESS_TAG_MAX)
        return err_set(err, -EINVAL, ERR_INVALID, "tag is longer than %d bytes", PROCESS_TAG_MAX);
    if (strlen(q->cmd) > START_STRING_MAX || total > START_BYTES_MAX)
        return err_set(err, -E2BIG, ERR_INVALID,
                       "process: arguments and environment are larger than %d bytes",
                       START_BYTES_MAX);
    r = json_get_any(body, "pty", JSON_OPTIONAL, &pty, err);
    if (r > 0)
        return rpc_fail(err, RPC_UNIMPLEMENTED, "pty: terminals are not supported");
    return r;
}

int process_parse_start(const struct json_ref *body, struct start_request *ret, struct err *err)
{
    struct start_request q = {.cmd = "", .cwd = "", .with_stdin = true};
    bool has_cwd = false;
    int r = parse_start(body, &q, &has_cwd, err);
    if (r < 0)
        return strcmp(err->code, RPC_UNIMPLEMENTED) == 0 ? r : invalid(err, r);
    q.config = make_config(&q, has_cwd);
    if (q.config == NULL)
        return rpc_fail(err, RPC_INTERNAL, "out of memory");
    *ret = q;
    return 0;
}

int process_read_input(const struct json_ref *body, struct buf *out, struct err *err)
{
    struct json_ref input, pty;
    const char *text = NULL;
    int r = json_get_obj(body, "input", JSON_OPTIONAL, &input, err);
    if (r > 0) {
        r = json_get_any(&input, "pty", JSON_OPTIONAL, &pty, err);
        if (r > 0)
            return rpc_fail(err, RPC_INTERNAL, "error writing to pty: the process has no terminal");
        r = json_get_str(&input, "stdin", JSON_OPTIONAL, &text, err);
    }
    if (r == 0)
        return rpc_fail(err, RPC_UNIMPLEMENTED, "invalid input type: no input");
    if (r > 0 && base64_get(out, slice_str(text)) < 0)
        r = err_set(err, -EINVAL, ERR_INVALID, "unmarshal message: input.stdin is not base64");
    if (r < 0)
        (void)err_code(err, RPC_INVALID_ARGUMENT);
    return r;
}

/* SIGTERM, SIGKILL, or 0 for all others. */
static int read_signal(const struct json_ref *body, int *ret, struct err *err)
{
    struct json_ref ref;
    *ret = 0;
    int r = json_get_any(body, "signal", JSON_OPTIONAL, &ref, err);
    if (r <= 0)
        return r;
    if (json_is_integer(ref.v)) {
        json_int_t n = json_integer_value(ref.v);
        *ret = n == SIGTERM || n == SIGKILL ? (int)n : 0;
    } else if (!json_is_string(ref.v)) {
        return json_refuse(&ref, err, "must be a signal's name or number");
    } else if (strcmp(json_string_value(ref.v), "SIGNAL_SIGTERM") == 0) {
        *ret = SIGTERM;
    } else if (strcmp(json_string_value(ref.v), "SIGNAL_SIGKILL") == 0) {
        *ret = SIGKILL;
    } else if (strcmp(json_string_value(ref.v), "SIGNAL_UNSPECIFIED") != 0) {
        return json_refuse(&ref, err, "is no signal that is known");
    }
    return 0;
}

int process_read_signal(const struct json_ref *body, int *ret, struct err *err)
{
    int r = invalid(err, read_signal(body, ret, err));
    if (r == 0 && *ret == 0)
        return rpc_fail(err, RPC_UNIMPLEMENTED, "invalid signal: only SIGTERM and SIGKILL");
    return r;
}
