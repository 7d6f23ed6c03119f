/*
 * What is said to envd in a machine that is nobody's yet: GET /health until it is answered, a call of
 * /init that cannot succeed, and one command. So the snapshot holds an envd that has come up, and a
 * clone that waits has gone the ways that its first creation will go: under emulation that is most of
 * the time to a first answer.
 *
 * The machine runs nothing but its template then. What it answers is bounded; the command's output is
 * not looked at: whether it can be run is the template's affair (there may be no bash in it).
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/client.h"
#include "sandbox/microvm/microvm_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
    ATTEMPT_MS = 5000,
    COMMAND_MS = 30000,
    RETRY_MS = 20,
    ANSWER_MAX_BYTES = 65536,
    HOST_BYTES = INET_ADDRSTRLEN + 8,
};

static void ask_health(struct machine *m);

static void
fetch(struct machine *m, struct slice method, struct slice target,
      const struct http_header *headers, size_t n_headers, struct slice body, unsigned timeout_ms,
      void (*done)(unsigned status, struct slice body, const struct err *err, void *user))
{
    struct sockaddr_in addr = m->inst.addr;
    char ip[INET_ADDRSTRLEN], host[HOST_BYTES];
    struct http_header all[6];
    addr.sin_port = htons(ENVD_PORT);
    (void)inet_ntop(AF_INET, &addr.sin_addr, ip, sizeof(ip)); /* fits an IPv4 address */
    (void)snprintf(host, sizeof(host), "%s:%d", ip, (int)ENVD_PORT);
    all[0] = (struct http_header){SLICE_LIT("Host"), slice_str(host)};
    for (size_t i = 0; i < n_headers; i++)
        all[i + 1] = headers[i];
    struct http_call_opts opts = {.addr = (const struct sockaddr *)&addr,
                                  .addr_len = sizeof(addr),
                                  .method = method,
                                  .target = target,
                                  .headers = all,
                                  .n_headers = n_headers + 1,
                                  .body_length = (int64_t)body.n,
                                  .connect_timeout_ms = timeout_ms};
    m->calls++;
    m->talk = http_fetch(m->v->loop, &opts, body, ANSWER_MAX_BYTES, timeout_ms, done, m);
}

/* False when the machine is not to be talked to any more: it may be freed then. */
static bool answered(struct machine *m)
{
    m->calls--;
    m->talk = NULL;
    if (m->state == MACHINE_WARMING && !m->gone)
        return true;
    machine_forget(m);
    return false;
}

static void on_command(unsigned status, struct slice body, const struct err *err, void *user)
{
    (void)status;
    (void)body;
    (void)err;
    if (answered(user))
        machine_warmed(user, NULL);
}

/* A Connect frame (one byte of flags, four of length) around the request. */
static void run_command(struct machine *m)
{
    static const char request[] =
        "{\"process\":{\"cmd\":\"/bin/bash\",\"args\":[\"-l\",\"-c\",\"true\"]}}";
    static const struct http_header headers[] = {
        {SLICE_LIT("Content-Type"), SLICE_LIT("application/connect+json")},
        {SLICE_LIT("Connect-Protocol-Version"), SLICE_LIT("1")},
        {SLICE_LIT("Authorization"), SLICE_LIT("Basic dXNlcjo=")}, /* user: */
    };
    char body[5 + sizeof(request)] = {0};
    static_assert(sizeof(request) < 256, "one byte of length");
    body[4] = (char)(sizeof(request) - 1);
    memcpy(body + 5, request, sizeof(request) - 1);
    fetch(m, SLICE_LIT("POST"), SLICE_LIT("/process.Process/Start"), headers, ARRAY_LEN(headers),
          slice_of(body, 5 + sizeof(request) - 1), COMMAND_MS, on_command);
}

static void on_init(unsigned status, struct slice body, const struct err *err, void *user)
{
    (void)status; /* refused, as it should be */
    (void)body;
    (void)err;
    if (answered(user))
        run_command(user);
}

static void try_init(struct machine *m)
{
    static const struct http_header headers[] = {
        {SLICE_LIT("X-Silica-Control"), SLICE_LIT("none")},
        {SLICE_LIT("Content-Type"), SLICE_LIT("application/json")},
    };
    fetch(m, SLICE_LIT("POST"), SLICE_LIT("/init"), headers, ARRAY_LEN(headers), SLICE_LIT("{}"),
          ATTEMPT_MS, on_init);
}

static void on_retry(uv_timer_t *timer)
{
    struct machine *m = timer->data;
    if (m->state == MACHINE_WARMING)
        ask_health(m);
}

static void on_health(unsigned status, struct slice body, const struct err *err, void *user)
{
    struct machine *m = user;
    (void)body;
    (void)err;
    if (!answered(m))
        return;
    if (status == 204 || status == 200)
        try_init(m);
    else
        (void)uv_timer_start(&m->timer, on_retry, RETRY_MS, 0);
}

static void ask_health(struct machine *m)
{
    fetch(m, SLICE_LIT("GET"), SLICE_LIT("/health"), NULL, 0, SLICE_LIT(""), ATTEMPT_MS, on_health);
}

void talk_warm(struct machine *m)
{
    ask_health(m);
}
