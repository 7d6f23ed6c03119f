/*
 * The first words with envd: POST /init in a new sandbox, GET /health in an adopted one.
 *
 * envd's socket listens before envd runs (docs/design/0001), so normally the first attempt is
 * answered. /init is idempotent; an attempt that fails on the way, or is answered 503, is repeated
 * until the deadline. Any other answer is envd's word and final. The peer is the guest: its answer is
 * bounded and only the status is believed.
 *
 * A machine sets its clock by /init, late by as long as the request was on its way. When that was long,
 * because the machine runs its first code or the host is busy, it is said again: the second is fast.
 */
#include "base/clock.h"
#include "http/client.h"
#include "sandbox/sandbox_internal.h"
#include "json/writer.h"

#include <arpa/inet.h>
#include <string.h>

enum { CLOCK_LATE_MS = 50, CLOCK_AGAIN_MAX = 3 };

static void attempt(struct sandbox *sb);

static void finish(struct sandbox *sb, int ok)
{
    void (*inited)(struct sandbox *, int) = sb->inited;
    sb->inited = NULL;
    inited(sb, ok);
}

static bool is_given_up(const struct sandbox *sb)
{
    return sb->exited || sb->kill_asked || sb->m->closing;
}

static void attempt_again(struct sandbox *sb)
{
    struct sandbox_manager *m = sb->m;
    attempt(sb);
    manager_op_end(m);
}

static void retry_or_fail(struct sandbox *sb, const char *why)
{
    uint64_t now = clock_monotonic_ns();
    if (is_given_up(sb)) {
        finish(sb, 0);
    } else if (now >= sb->init_deadline_ns) {
        (void)err_set(&sb->why, -ETIMEDOUT, ERR_TIMEOUT,
                      "the daemon in the sandbox did not answer within %d s (%s)",
                      INIT_DEADLINE_MS / 1000, why);
        finish(sb, 0);
    } else {
        manager_op_begin(sb->m); /* a close waits for the next attempt */
        sandbox_wake_at(sb, now + INIT_RETRY_MS * NS_PER_MS, attempt_again);
    }
}

static bool clock_may_be_late(struct sandbox *sb)
{
    return !sb->adopting && sb->inst.kind != DRIVER_CONTAINER &&
           clock_monotonic_ns() - sb->init_sent_ns > CLOCK_LATE_MS * NS_PER_MS &&
           sb->clock_again++ < CLOCK_AGAIN_MAX;
}

static void on_answer(unsigned status, struct slice body, const struct err *err, void *user)
{
    struct sandbox *sb = user;
    struct sandbox_manager *m = sb->m;
    (void)body;
    if ((status == 204 || status == 200) && clock_may_be_late(sb)) {
        attempt(sb);
    } else if (status == 204 || status == 200) {
        finish(sb, !is_given_up(sb));
    } else if (status == 0 || status == 503) {
        retry_or_fail(sb, status == 0 && err != NULL ? err->msg : "it is busy");
    } else {
        (void)err_set(&sb->why, -EPROTO, ERR_INTERNAL,
                      "the daemon in the sandbox refused its set-up with status %u", status);
        finish(sb, 0);
    }
    manager_op_end(m);
}

static int body_of_init(const struct sandbox *sb, struct buf *out)
{
    char now[RFC3339_BYTES];
    rfc3339_format(clock_wall_ns(), now);
    struct json_writer w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kstr(&w, "accessToken", sb->envd_token);
    jw_kstr(&w, "timestamp", now);
    jw_kstr(&w, "defaultUser", "user");
    jw_key(&w, "envVars");
    jw_raw(&w, slice_str(sb->envs_json));
    jw_end(&w);
    return out->error;
}

static unsigned attempt_ms(const struct sandbox *sb)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t left = sb->init_deadline_ns > now ? (sb->init_deadline_ns - now) / NS_PER_MS + 1 : 1;
    return left < INIT_ATTEMPT_MS ? (unsigned)left : INIT_ATTEMPT_MS;
}

static void attempt(struct sandbox *sb)
{
    if (is_given_up(sb)) {
        finish(sb, 0);
        return;
    }
    _cleanup_(buf_wipe_done)
    struct buf body = BUF_INIT(ENVS_MAX_BYTES + 1024);
    if (!sb->adopting && body_of_init(sb, &body) < 0) {
        (void)err_sys(&sb->why, body.error, "set up the sandbox");
        finish(sb, 0);
        return;
    }
    struct sockaddr_in addr = sb->inst.addr;
    addr.sin_port = htons(ENVD_PORT);
    char ip[INET_ADDRSTRLEN], host[INET_ADDRSTRLEN + 8];
    (void)inet_ntop(AF_INET, &addr.sin_addr, ip, sizeof(ip)); /* fits an IPv4 address */
    (void)snprintf(host, sizeof(host), "%s:%d", ip, ENVD_PORT);
    const struct http_header headers[] = {
        {SLICE_LIT("Host"), slice_str(host)},
        {SLICE_LIT("X-Silica-Control"), slice_str(sb->control_secret)},
        {SLICE_LIT("Content-Type"), SLICE_LIT("application/json")},
    };
    struct http_call_opts opts = {
        .addr = (const struct sockaddr *)&addr,
        .addr_len = sizeof(addr),
        .method = sb->adopting ? SLICE_LIT("GET") : SLICE_LIT("POST"),
        .target = sb->adopting ? SLICE_LIT("/health") : SLICE_LIT("/init"),
        .headers = headers,
        .n_headers = sb->adopting ? 1 : ARRAY_LEN(headers),
        .body_length = (int64_t)body.n,
        .connect_timeout_ms = attempt_ms(sb),
    };
    manager_op_begin(sb->m);
    sb->init_sent_ns = clock_monotonic_ns();
    http_fetch(sb->m->o.loop, &opts, buf_slice(&body), INIT_ANSWER_MAX_BYTES, attempt_ms(sb),
               on_answer, sb);
}

void sandbox_init_start(struct sandbox *sb, void (*inited)(struct sandbox *sb, int ok))
{
    sb->inited = inited;
    sb->init_deadline_ns = clock_monotonic_ns() + INIT_DEADLINE_MS * NS_PER_MS;
    attempt(sb);
}
