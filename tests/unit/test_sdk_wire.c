// deps: sdk http json base threads
/*
 * libsilica's side of the wire, against a server that plays back canned answers, one a connection,
 * and keeps what it was asked.
 */
#include "sdk/proc_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { ANSWERS_MAX = 8, REQUEST_MAX = 65536 };

struct mock {
    pthread_t thread;
    int fd;
    char url[64];
    const struct slice *answers;
    size_t n, served;
    char *requests[ANSWERS_MAX]; /* owned */
};

/* Head and body of one request, as far as Content-Length or the last chunk says. */
static char *read_request(int fd)
{
    char *text = calloc(1, REQUEST_MAX);
    size_t n = 0;
    for (;;) {
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strcasestr(text, "content-length: ");
        if (end != NULL && strcasestr(text, "transfer-encoding: chunked") != NULL) {
            if (strstr(end, "\r\n0\r\n") != NULL)
                return text;
        } else if (end != NULL) {
            size_t want = 0;
            for (const char *p = length != NULL ? length + 16 : ""; *p >= '0' && *p <= '9'; p++)
                want = want * 10 + (size_t)(*p - '0');
            if (n >= (size_t)(end + 4 - text) + want)
                return text;
        }
        ssize_t got = read(fd, text + n, REQUEST_MAX - 1 - n);
        if (got <= 0)
            return text;
        n += (size_t)got;
    }
}

static void *mock_thread(void *user)
{
    struct mock *m = user;
    while (m->served < m->n) {
        int c = accept4(m->fd, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0)
            return NULL; /* shut down: the test asked for less than it announced */
        m->requests[m->served] = read_request(c);
        struct slice a = m->answers[m->served++];
        (void)send(c, a.p, a.n, MSG_NOSIGNAL);
        (void)shutdown(c, SHUT_WR);
        char rest[256];
        while (read(c, rest, sizeof(rest)) > 0)
            ;
        (void)close(c);
    }
    return NULL;
}

static void mock_start(struct mock *m, const struct slice *answers, size_t n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    *m = (struct mock){.answers = answers, .n = n};
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(m->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(m->fd, 16), 0);
    assert_int_equal(getsockname(m->fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(m->url, sizeof(m->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&m->thread, NULL, mock_thread, m), 0);
}

/* Returns how many requests came. */
static size_t mock_stop(struct mock *m)
{
    (void)shutdown(m->fd, SHUT_RDWR);
    (void)pthread_join(m->thread, NULL);
    (void)close(m->fd);
    return m->served;
}

static void mock_free(struct mock *m)
{
    for (size_t i = 0; i < ANSWERS_MAX; i++)
        free(m->requests[i]);
}

static silica_client *client_of(const struct mock *m)
{
    silica_client *c = NULL;
    silica_rc rc = silica_client_new(
        SILICA_CLIENT_OPTS(.no_env = 1, .api_key = "e2b_00ff", .api_url = m->url,
                           .sandbox_url = m->url, .domain = "test.invalid", .retry_base_ms = 1),
        &c, NULL);
    assert_int_equal(rc, SILICA_OK);
    return c;
}

#define ANSWER(status, headers, body)                                                              \
    SLICE_LIT("HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n" body)
#define JSON "Content-Type: application/json\r\n"
#define CREATED_BY(version)                                                                        \
    ANSWER("201 Created", JSON,                                                                    \
           "{\"sandboxID\":\"iabc\",\"templateID\":\"t1\",\"envdVersion\":\"" version              \
           "\",\"envdAccessToken\":\"tok\",\"domain\":\"other.invalid:1\"}")
#define CREATED      CREATED_BY("0.6.13")
#define STREAM(body) ANSWER("200 OK", "Content-Type: application/connect+json\r\n", body)
/* A frame whose payload is below 128 bytes; the length byte is given as an escape. */
#define FRAME(flags, length, text) flags "\0\0\0" length text
#define START                      FRAME("\0", "\x1e", "{\"event\":{\"start\":{\"pid\":77}}}")
#define DATA                       FRAME("\0", "\x24", "{\"event\":{\"data\":{\"stdout\":\"aGkK\"}}}")
#define END                        FRAME("\0", "\x2e", "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true}}}")
#define LAST                       FRAME("\2", "\x02", "{}")

static void retries_what_may_be_retried(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("429 Too Many Requests", "Retry-After: 0\r\n", "{\"code\":429,\"message\":\"x\"}"),
        ANSWER("503 Busy", "", "no"), CREATED};
    struct mock m;
    silica_sandbox *sbx = NULL;
    silica_error err;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    silica_rc rc = silica_open(c, NULL, &sbx, &err);
    size_t n = mock_stop(&m);
    assert_int_equal(rc, SILICA_OK);
    assert_int_equal(n, 3);
    assert_string_equal(silica_id(sbx), "iabc");
    assert_string_equal(m.requests[0], m.requests[2]);
    silica_close(sbx);
    silica_client_free(c);
    mock_free(&m);
}

static void tells_quota_from_rate(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("429 Too Many Requests", "", "{\"code\":429,\"message\":\"20 sandboxes\"}"),
        ANSWER("429 Too Many Requests", "", "{\"code\":429,\"message\":\"20 sandboxes\"}")};
    struct mock m;
    silica_sandbox *sbx = NULL;
    silica_error err;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    silica_rc rc = silica_open(c, NULL, &sbx, &err);
    assert_int_equal(mock_stop(&m), 1); /* waiting does not help */
    assert_int_equal(rc, SILICA_E_QUOTA);
    assert_int_equal(err.http_status, 429);
    assert_int_equal(err.retryable, 0);
    silica_client_free(c);
    mock_free(&m);
}

static void a_long_wait_is_not_waited(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("429 Too Many Requests", "Retry-After: 3600\r\n", "{}")};
    struct mock m;
    silica_sandbox *sbx = NULL;
    silica_error err;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    silica_rc rc = silica_open(c, NULL, &sbx, &err);
    (void)mock_stop(&m);
    assert_int_equal(rc, SILICA_E_RATE_LIMIT);
    assert_int_equal(err.retry_after_ms, 3600000);
    assert_int_equal(err.retryable, 1);
    silica_client_free(c);
    mock_free(&m);
}

static void create_says_every_option(void **state)
{
    (void)state;
    static const struct slice answers[] = {CREATED};
    static const silica_kv env[] = {{"A", "1"}}, meta[] = {{"k", "v"}};
    struct mock m;
    silica_sandbox *sbx = NULL;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    silica_rc rc =
        silica_open(c,
                    SILICA_OPEN_OPTS(.template_id = "tt", .timeout_ms = 1001, .env = env,
                                     .n_env = 1, .metadata = meta, .n_metadata = 1,
                                     .internet = SILICA_OFF, .public_traffic = SILICA_OFF),
                    &sbx, NULL);
    (void)mock_stop(&m);
    assert_int_equal(rc, SILICA_OK);
    const char *r = m.requests[0];
    assert_true(slice_has_prefix(slice_str(r), "POST /sandboxes HTTP/1.1\r\n"));
    assert_non_null(strstr(r, "\r\nX-API-KEY: e2b_00ff\r\n"));
    assert_non_null(strstr(r, "{\"templateID\":\"tt\",\"timeout\":2,\"secure\":true,"
                              "\"allow_internet_access\":false,"
                              "\"network\":{\"allowPublicTraffic\":false},"
                              "\"envVars\":{\"A\":\"1\"},\"metadata\":{\"k\":\"v\"}}"));
    char host[64];
    assert_int_equal(silica_host(sbx, 80, host, sizeof(host), NULL), SILICA_OK);
    assert_string_equal(host, "80-iabc.other.invalid:1");
    assert_int_equal(silica_host(sbx, 80, host, 23, NULL), SILICA_E_INVALID);
    silica_close(sbx);
    silica_client_free(c);
    mock_free(&m);
}

static void distrusts_the_server(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"sandboxID\":\"a/b\",\"templateID\":\"t\"}",
        "{\"sandboxID\":\"ab\",\"domain\":\"x/y\"}",
        "{\"sandboxID\":\"ab\",\"envdAccessToken\":\"a\\r\\nb: c\"}",
        "{\"templateID\":\"t\"}",
        "[]",
        "nothing",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char text[512];
        int n = snprintf(text, sizeof(text), "HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n%s",
                         bodies[i]);
        const struct slice answers[] = {slice_of(text, (size_t)n),
                                        ANSWER("204 No Content", "", "")};
        struct mock m;
        silica_sandbox *sbx = NULL;
        mock_start(&m, answers, ARRAY_LEN(answers));
        silica_client *c = client_of(&m);
        silica_rc rc = silica_open(c, NULL, &sbx, NULL);
        size_t served = mock_stop(&m);
        assert_int_equal(rc, SILICA_E_PROTOCOL);
        /* What was made and has a usable id is ended again. */
        assert_int_equal(served, i == 1 || i == 2 ? 2 : 1);
        silica_client_free(c);
        mock_free(&m);
    }
}

struct stream_case {
    const char *name;
    struct slice stream;
    struct slice probe; /* the answer to GET /health, if one is expected */
    silica_rc rc;
    silica_exit_kind kind;
    int code;
    const char *out;
};

static const struct slice no_probe = {0};

static void streams(void **state)
{
    (void)state;
    const struct slice gone =
        ANSWER("502 Bad Gateway", JSON, "{\"sandboxId\":\"iabc\",\"message\":\"m\",\"code\":502}");
    const struct slice alive = ANSWER("204 No Content", "", "");
    const struct stream_case cases[] = {
        {"whole", STREAM(START DATA END LAST), no_probe, SILICA_OK, SILICA_EXITED, 3, "hi\n"},
        {"no last frame after the end", STREAM(START DATA END), no_probe, SILICA_OK, SILICA_EXITED,
         3, "hi\n"},
        {"cut, sandbox gone", STREAM(START DATA), gone, SILICA_E_GONE, 0, 0, "hi\n"},
        {"cut, sandbox lives", STREAM(START DATA), alive, SILICA_E_NETWORK, 0, 0, "hi\n"},
        {"cut within a frame", STREAM(START "\0\0\0\0\x7f{"), alive, SILICA_E_NETWORK, 0, 0, ""},
        {"deadline",
         STREAM(START DATA FRAME("\2", "\x26", "{\"error\":{\"code\":\"deadline_exceeded\"}}")),
         no_probe, SILICA_OK, SILICA_TIMED_OUT, -1, "hi\n"},
        {"refused", STREAM(FRAME("\2", "\x25", "{\"error\":{\"code\":\"invalid_argument\"}}")),
         no_probe, SILICA_E_INVALID, 0, 0, ""},
        {"output before start", STREAM(DATA END LAST), no_probe, SILICA_E_PROTOCOL, 0, 0, ""},
        {"compressed", STREAM(START "\1\0\0\0\2{}"), no_probe, SILICA_E_PROTOCOL, 0, 0, ""},
        {"too long", STREAM(START "\0\x7f\xff\xff\xff"), no_probe, SILICA_E_PROTOCOL, 0, 0, ""},
        {"no JSON", STREAM(START "\0\0\0\0\2{]"), no_probe, SILICA_E_PROTOCOL, 0, 0, ""},
        {"bad base64",
         STREAM(START FRAME("\0", "\x21", "{\"event\":{\"data\":{\"stdout\":\"*\"}}}")), no_probe,
         SILICA_E_PROTOCOL, 0, 0, ""},
        {"ends without an exit", STREAM(START LAST), no_probe, SILICA_E_PROTOCOL, 0, 0, ""},
        {"the edge's 502", gone, no_probe, SILICA_E_GONE, 0, 0, ""},
        {"token refused", ANSWER("401 Unauthorized", JSON, "{\"code\":401,\"message\":\"t\"}"),
         no_probe, SILICA_E_AUTH, 0, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct stream_case *k = &cases[i];
        const struct slice answers[] = {CREATED, k->stream, k->probe};
        struct mock m;
        silica_sandbox *sbx = NULL;
        silica_result res;
        mock_start(&m, answers, k->probe.p != NULL ? 3 : 2);
        silica_client *c = client_of(&m);
        assert_int_equal(silica_open(c, NULL, &sbx, NULL), SILICA_OK);
        silica_rc rc = silica_exec(sbx, "true", SILICA_EXEC_OPTS(.timeout_ms = 5000), &res, NULL);
        size_t served = mock_stop(&m);
        if (rc != k->rc || res.exit.kind != k->kind || res.exit.code != k->code ||
            strcmp(res.out.data != NULL ? res.out.data : "", k->out) != 0)
            fail_msg("%s: rc %s kind %d code %d out '%s'", k->name, silica_rc_name(rc),
                     res.exit.kind, res.exit.code, res.out.data != NULL ? res.out.data : "");
        assert_int_equal(served, m.n);
        assert_non_null(strstr(m.requests[1], "\r\nE2b-Sandbox-Id: iabc\r\n"));
        assert_non_null(strstr(m.requests[1], "\r\nX-Access-Token: tok\r\n"));
        assert_non_null(strstr(m.requests[1], "\r\nConnect-Timeout-Ms: 5000\r\n"));
        silica_result_free(&res);
        silica_close(sbx);
        silica_client_free(c);
        mock_free(&m);
    }
}

/* The words behind the status are the sandbox's: one printable line of them is passed on. */
static void reasons(void **state)
{
    (void)state;
#define ENDED(n, members) STREAM(START FRAME("\0", n, "{\"event\":{\"end\":{" members "}}}") LAST)
    static const struct {
        struct slice stream;
        silica_exit_kind kind;
        const char *reason;
    } cases[] = {
        {ENDED("\x54",
               "\"exitCode\":-1,\"status\":\"signal: killed\",\"error\":\"signal: killed\""),
         SILICA_SIGNALED, ""},
        {ENDED("\x5a",
               "\"exitCode\":-1,\"status\":\"signal: killed\",\"error\":\"signal: killed: no m\""),
         SILICA_SIGNALED, "no m"},
        {ENDED("\x52",
               "\"exitCode\":1,\"exited\":true,\"status\":\"s\",\"error\":\"s: a\\u001b\\n\""),
         SILICA_EXITED, "a??"},
        {ENDED("\x47", "\"exitCode\":1,\"exited\":true,\"status\":\"s\",\"error\":\"x\""),
         SILICA_EXITED, "x"},
    };
#undef ENDED
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct slice answers[] = {CREATED, cases[i].stream};
        struct mock m;
        silica_sandbox *sbx = NULL;
        silica_result res;
        mock_start(&m, answers, ARRAY_LEN(answers));
        silica_client *c = client_of(&m);
        assert_int_equal(silica_open(c, NULL, &sbx, NULL), SILICA_OK);
        silica_error err = {0};
        silica_rc rc = silica_exec(sbx, "true", NULL, &res, &err);
        (void)mock_stop(&m);
        if (rc != SILICA_OK)
            fail_msg("case %zu: %s", i, err.message);
        assert_int_equal(res.exit.kind, cases[i].kind);
        assert_string_equal(res.exit.reason, cases[i].reason);
        silica_result_free(&res);
        silica_close(sbx);
        silica_client_free(c);
        mock_free(&m);
    }
}

static void old_daemons(void **state)
{
    (void)state;
    static const struct slice answers[] = {CREATED_BY("0.3.9"),
                                           ANSWER("200 OK", JSON, "[{\"path\":\"/f\"}]")};
    struct mock m;
    silica_sandbox *sbx = NULL;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    assert_int_equal(silica_open(c, NULL, &sbx, NULL), SILICA_OK);
    silica_rc rc = silica_write(sbx, "a b", "content", 7, NULL, NULL);
    (void)mock_stop(&m);
    assert_int_equal(rc, SILICA_OK);
    const char *r = m.requests[1];
    assert_true(slice_has_prefix(
        slice_str(r), "POST /files?path=%2Fhome%2Fuser%2Fa%20b&username=user HTTP/1.1\r\n"));
    assert_non_null(strstr(r, "Content-Type: multipart/form-data"));
    assert_non_null(strstr(r, "name=\"file\"; filename=\"a b\""));
    assert_non_null(strstr(r, "\r\n\r\ncontent\r\n"));
    silica_close(sbx);
    silica_client_free(c);
    mock_free(&m);
}

static int count(void *user, const silica_sandbox_info *i)
{
    unsigned *seen = user;
    if (strcmp(i->sandbox_id, "one") == 0)
        *seen |= 1;
    if (strcmp(i->sandbox_id, "two") == 0 && i->state == SILICA_STATE_PAUSED)
        *seen |= 2;
    return 0;
}

static void pages_of_a_list(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("200 OK", JSON "X-Next-Token: a=b\r\n", "[{\"sandboxID\":\"one\"}]"),
        ANSWER("200 OK", JSON, "[{\"sandboxID\":\"two\",\"state\":\"paused\"}]")};
    struct mock m;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    static const silica_kv meta[] = {{"user id", "a/b"}};
    unsigned seen = 0;
    silica_rc rc = silica_list_sandboxes(c, SILICA_LIST_OPTS(.metadata = meta, .n_metadata = 1),
                                         count, &seen, NULL);
    (void)mock_stop(&m);
    assert_int_equal(rc, SILICA_OK);
    assert_int_equal(seen, 3);
    assert_non_null(strstr(m.requests[0], "&metadata=user%252520id%3Da%25252Fb HTTP/1.1"));
    assert_non_null(strstr(m.requests[1], "&nextToken=a%3Db HTTP/1.1"));
    silica_client_free(c);
    mock_free(&m);
}

static int note_event(void *user, const silica_sandbox_event *e)
{
    char *seen = user;
    size_t n = strlen(seen);
    (void)snprintf(seen + n, 512 - n, "%s %s %lld %s;", e->type, e->sandbox_id,
                   (long long)e->time_ms, e->data);
    return 0;
}

static void events(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER(
            "200 OK", JSON,
            "[{\"type\":\"a.killed\",\"sandboxId\":\"i1\",\"timestamp\":\"1970-01-01T00:00:02Z\","
            "\"eventData\":{\"reason\":\"exit\"}},"
            "{\"type\":\"b\",\"sandboxId\":\"i2\",\"timestamp\":\"1970-01-01T00:00:01Z\","
            "\"eventData\":null}]"),
        ANSWER("200 OK", JSON,
               "[{\"type\":\"a\",\"sandboxId\":\"i1\",\"timestamp\":\"1970-01-01T00:00:02Z\"},"
               "{\"type\":\"b\",\"sandboxId\":\"i2\",\"timestamp\":\"1970-01-01T00:00:01Z\"}]"),
        ANSWER("200 OK", JSON, "[{\"type\":\"a\",\"sandboxId\":\"i1\",\"timestamp\":\"soon\"}]"),
        ANSWER("404 Not Found", JSON, "{\"code\":404,\"message\":\"no\"}")};
    struct mock m;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    char all[512] = "", one[512] = "";
    silica_rc first = silica_list_events(c, NULL, note_event, all, NULL);
    silica_rc second =
        silica_list_events(c, SILICA_EVENT_OPTS(.sandbox_id = "i1", .max = 1, .oldest_first = 1),
                           note_event, one, NULL);
    silica_rc third = silica_list_events(c, NULL, note_event, one, NULL);
    silica_rc fourth =
        silica_list_events(c, SILICA_EVENT_OPTS(.sandbox_id = "i9"), note_event, one, NULL);
    silica_rc fifth =
        silica_list_events(c, SILICA_EVENT_OPTS(.sandbox_id = "../x"), note_event, one, NULL);
    (void)mock_stop(&m);
    assert_int_equal(first, SILICA_OK);
    assert_string_equal(all, "a.killed i1 2000 {\"reason\":\"exit\"};b i2 1000 ;");
    assert_non_null(
        strstr(m.requests[0], "GET /events/sandboxes?limit=100&offset=0&orderAsc=false HTTP/1.1"));
    assert_int_equal(second, SILICA_OK);
    assert_string_equal(one, "a i1 2000 ;");
    assert_non_null(strstr(m.requests[1],
                           "GET /events/sandboxes/i1?limit=100&offset=0&orderAsc=true HTTP/1.1"));
    assert_int_equal(third, SILICA_E_PROTOCOL);
    assert_int_equal(fourth, SILICA_E_GONE);
    assert_int_equal(fifth, SILICA_E_INVALID);
    silica_client_free(c);
    mock_free(&m);
}

static void driver_of_the_server(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("200 OK", JSON, "{\"driver\":\"microvm\"}"),
        ANSWER("200 OK", JSON, "{\"driver\":\"thirty-two bytes and more of a name\"}"),
        ANSWER("200 OK", JSON, "{}"), ANSWER("404 Not Found", JSON, "{\"code\":404}"),
        ANSWER("401 Unauthorized", JSON, "{\"code\":401,\"message\":\"no\"}")};
    static const silica_rc want[] = {SILICA_OK, SILICA_E_PROTOCOL, SILICA_E_PROTOCOL,
                                     SILICA_E_UNSUPPORTED, SILICA_E_AUTH};
    struct mock m;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    char driver[SILICA_DRIVER_BYTES] = "";
    silica_rc got[ARRAY_LEN(want)];
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        got[i] = silica_get_driver(c, driver, NULL);
    (void)mock_stop(&m);
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(got[i], want[i]);
    assert_string_equal(driver, "microvm");
    assert_non_null(strstr(m.requests[0], "GET /capabilities HTTP/1.1"));
    silica_client_free(c);
    mock_free(&m);
}

static void totals(void **state)
{
    (void)state;
    static const struct slice answers[] = {
        ANSWER("200 OK", JSON,
               "{\"sandboxID\":\"i1\",\"silica\":{\"outOfMemory\":1,\"processLimit\":2,"
               "\"diskFull\":3,\"inodesFull\":4,\"more\":5}}"),
        ANSWER("200 OK", JSON, "{\"sandboxID\":\"i1\"}")};
    struct mock m;
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    silica_sandbox_info ours = {0}, other = {0};
    silica_rc first = silica_client_info(c, "i1", &ours, NULL);
    silica_rc second = silica_client_info(c, "i1", &other, NULL);
    (void)mock_stop(&m);
    assert_int_equal(first, SILICA_OK);
    assert_int_equal(second, SILICA_OK);
    assert_int_equal(ours.out_of_memory, 1);
    assert_int_equal(ours.process_limit, 2);
    assert_int_equal(ours.disk_full, 3);
    assert_int_equal(ours.inodes_full, 4);
    assert_int_equal(other.out_of_memory + other.disk_full, 0);
    silica_sandbox_info_free(&ours);
    silica_sandbox_info_free(&other);
    silica_client_free(c);
    mock_free(&m);
}

static void a_download_starts_clean(void **state)
{
    (void)state;
    static const struct slice answers[] = {CREATED,
                                           ANSWER("503 Busy", "Content-Length: 5\r\n", "wrong"),
                                           ANSWER("200 OK", "Content-Length: 5\r\n", "right"),
                                           ANSWER("200 OK", "Content-Length: 9\r\n", "short")};
    struct mock m;
    silica_sandbox *sbx = NULL;
    silica_buf got = {NULL, 0};
    mock_start(&m, answers, ARRAY_LEN(answers));
    silica_client *c = client_of(&m);
    assert_int_equal(silica_open(c, NULL, &sbx, NULL), SILICA_OK);
    silica_rc first = silica_read(sbx, "f", NULL, &got, NULL);
    silica_buf none = {NULL, 0};
    silica_rc cut = silica_read(sbx, "f", NULL, &none, NULL);
    (void)mock_stop(&m);
    assert_int_equal(first, SILICA_OK);
    assert_string_equal(got.data, "right");
    assert_int_equal(cut, SILICA_E_NETWORK);
    silica_buf_free(&got);
    silica_close(sbx);
    silica_client_free(c);
    mock_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_what_may_be_retried),
        cmocka_unit_test(tells_quota_from_rate),
        cmocka_unit_test(a_long_wait_is_not_waited),
        cmocka_unit_test(create_says_every_option),
        cmocka_unit_test(distrusts_the_server),
        cmocka_unit_test(streams),
        cmocka_unit_test(reasons),
        cmocka_unit_test(old_daemons),
        cmocka_unit_test(pages_of_a_list),
        cmocka_unit_test(events),
        cmocka_unit_test(driver_of_the_server),
        cmocka_unit_test(totals),
        cmocka_unit_test(a_download_starts_clean),
    };
    return cmocka_run_group_tests_name("sdk wire", tests, NULL, NULL);
}
