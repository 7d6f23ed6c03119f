/* What the edge answers itself, and how requests end when one side goes away. */
// deps: edge http json base uv
#include "test_edge_live.h"

#define CLOSE "Connection: close\r\n"

static uint16_t closed_port(void)
{
    uint16_t port = 0;
    int fd = live_bind(guest_ip(), &port);
    (void)fd_close(fd);
    return port;
}

/* One request on a connection of its own; the whole answer is in live_text. */
static void ask(const char *host, const char *line, const char *headers)
{
    char head[2048];
    int n = snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", line, host, headers,
                     CLOSE);
    assert_true(n > 0 && (size_t)n < sizeof(head));
    _cleanup_close_ int fd = live_connect();
    live_put(fd, head);
    live_get(fd, NULL);
}

static void answer_is(const char *status, const char *body)
{
    char want[64];
    (void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", status);
    if (strncmp(live_text, want, strlen(want)) != 0)
        fail_msg("not %s: %s", status, live_text);
    const char *got = memmem(live_text, live_n, "\r\n\r\n", 4);
    assert_non_null(got);
    assert_string_equal(got + 4, body);
    live_has("Access-Control-Allow-Origin: *\r\n");
}

static void test_bad_targets(void **state)
{
    (void)state;
    static const struct {
        const char *host, *headers, *text;
    } cases[] = {
        {"80-BAD.localhost", "", "Invalid sandbox ID\n"},
        {"99999999999-a.localhost", "", "Invalid sandbox port\n"},
        {"localhost", "E2b-Sandbox-Id: ilive\r\n", "missing header\n"},
        {"localhost", "E2b-Sandbox-Port: 80\r\n", "missing header\n"},
        {"localhost", "E2b-Sandbox-Id: ilive\r\nE2b-Sandbox-Port: x\r\n", "Invalid sandbox port\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask(cases[i].host, "GET /", cases[i].headers);
        answer_is("400", cases[i].text);
        live_has("Content-Type: text/plain; charset=utf-8\r\n");
        live_has("X-Content-Type-Options: nosniff\r\n");
    }
    ask("localhost", "GET /", "");
    live_has("HTTP/1.1 418 "); /* the API's */
}

static void test_unknown_sandbox(void **state)
{
    (void)state;
    ask("49983-inone.localhost", "GET /health", "");
    answer_is("502",
              "{\"sandboxId\":\"inone\",\"message\":\"The sandbox was not found\",\"code\":502}");
    live_has("Content-Type: application/json; charset=utf-8\r\n");
    ask("80-inone.localhost", "GET /", "User-Agent: Mozilla/5.0\r\n");
    live_has("HTTP/1.1 502 ");
    live_has("Content-Type: text/html; charset=utf-8\r\n");
    live_has("<!DOCTYPE html>");
    live_has("inone");
    assert_string_equal(live_text + live_n - 7, "</html>");
}

static void test_reserved_paths_come_before_the_lookup(void **state)
{
    (void)state;
    static const char *const ids[] = {"ilive", "inone"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char host[64];
        (void)snprintf(host, sizeof(host), "49983-%s.localhost", ids[i]);
        ask(host, "POST /x/..//%69nit?a=b", "X-Silica-Control: guess\r\nContent-Length: 0\r\n");
        answer_is("404",
                  "{\"message\":\"This endpoint is reserved for the E2B control plane and is "
                  "not reachable through the sandbox URL\",\"path\":\"/init\",\"code\":404}");
    }
    assert_int_equal(fake.n_links, 0);
}

static void test_closed_port(void **state)
{
    (void)state;
    uint16_t port = closed_port();
    char host[64], want[256];
    (void)snprintf(host, sizeof(host), "%u-ilive.localhost", port);
    (void)snprintf(want, sizeof(want),
                   "{\"sandboxId\":\"ilive\",\"message\":\"The sandbox is running but port is not "
                   "open\",\"port\":%u,\"code\":502}",
                   port);
    ask(host, "GET /", "");
    answer_is("502", want);
    ask(host, "POST /", "Content-Length: 0\r\nUser-Agent: Firefox\r\n");
    live_has("no service is listening on port");
    ask("0-ilive.localhost", "GET /", "");
    live_has("\"port\":0,");
    ask("65536-ilive.localhost", "GET /", "");
    live_has("\"port\":65536,");
}

/* A server that begins to listen after the first dial was refused. */
static int late_listener;
static uv_timer_t late_timer;

static void late_closed(uv_handle_t *h)
{
    (void)h;
}

static void late_listen(uv_timer_t *t)
{
    assert_int_equal(listen(late_listener, 1), 0);
    uv_close((uv_handle_t *)t, late_closed);
}

static void late_start(void)
{
    fake.on_link = NULL;
    assert_int_equal(uv_timer_init(&live.loop, &late_timer), 0);
    assert_int_equal(uv_timer_start(&late_timer, late_listen, 50, 0), 0);
}

static void test_a_refused_dial_is_repeated_with_its_body(void **state)
{
    (void)state;
    uint16_t port = 0;
    late_listener = live_bind(guest_ip(), &port);
    fake.on_link = late_start;
    _cleanup_close_ int client = client_send(port, "POST /", "Content-Length: 5\r\n", "again");
    struct pollfd p = {.fd = late_listener, .events = POLLIN};
    /* Until it listens, poll says POLLHUP at once. */
    for (int waited = 0; poll(&p, 1, 10) != 1 || (p.revents & POLLIN) == 0; waited++) {
        assert_true(waited < LIVE_WAIT_S * 100);
        (void)usleep(10000);
    }
    _cleanup_close_ int guest = live_accept(late_listener);
    live_get(guest, "\r\n\r\nagain");
    live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    live_expect(client, "HTTP/1.1 200 ");
    late_listener = fd_close(late_listener);
}

static void test_a_sent_request_is_never_repeated(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "POST /", CLOSE "Content-Length: 1\r\n", "x");
    int guest = live_accept(listener);
    live_get(guest, "\r\n\r\nx");
    guest = fd_close(guest);
    live_get(client, NULL);
    live_has("HTTP/1.1 502 ");
    live_has("\"port\":");
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
}

static void test_garbage_from_the_guest_is_502(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        _cleanup_close_ int client = client_send(port, "GET /", CLOSE, "");
        _cleanup_close_ int guest = live_accept(listener);
        live_get(guest, "\r\n\r\n");
        live_put(guest, answers[i]);
        live_get(client, NULL);
        live_has("HTTP/1.1 502 ");
    }
}

static void test_client_gone(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    int client = client_send(port, "GET /", "", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    live_expect(client, "x");
    struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    client = fd_close(client);
    live_get(guest, NULL); /* the guest learns it at once, without writing */
}

static void test_guest_gone_in_the_middle_cuts_the_client(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    };
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        _cleanup_close_ int client = client_send(port, "GET /", "", "");
        int guest = live_accept(listener);
        live_get(guest, "\r\n\r\n");
        live_put(guest, heads[i]);
        live_expect(client, "half");
        guest = fd_close(guest);
        live_get(client, NULL);
        live_has_not("0\r\n\r\n"); /* never looks like a whole answer */
    }
}

#define CONNECT_HEAD                                                                               \
    "HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\nTransfer-Encoding: "             \
    "chunked\r\n\r\n"
#define END_FRAME                                                                                  \
    "{\"error\":{\"code\":\"unavailable\",\"message\":\"the connection to sandbox ilive ended "    \
    "before the stream completed\"}}"

static void test_connect_stream_on_a_border_gets_an_end_frame(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    for (int kill = 0; kill < 2; kill++) {
        _cleanup_close_ int client =
            client_send(port, "POST /p/Start", "Content-Length: 0\r\n", "");
        int guest = live_accept(listener);
        live_get(guest, "\r\n\r\n");
        live_put(guest, CONNECT_HEAD);
        live_send(guest, "7\r\n\0\0\0\0\2{}\r\n", 12);
        live_expect(client, "{}");
        if (kill)
            live_call(fake_kill, NULL);
        else
            guest = fd_close(guest);
        live_get(client, "0\r\n\r\n");
        live_has(END_FRAME);
        char prefix[5] = {2, 0, 0, 0, (char)(sizeof(END_FRAME) - 1)};
        assert_true(live_contains(prefix, sizeof(prefix)));
        if (kill)
            live_get(guest, NULL);
        guest = fd_close(guest);
    }
}

static void test_connect_stream_in_a_frame_is_cut(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "POST /p/Start", "Content-Length: 0\r\n", "");
    int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, CONNECT_HEAD);
    live_send(guest, "7\r\n\0\0\0\0\3{}\r\n", 12); /* one byte is missing */
    live_expect(client, "{}");
    guest = fd_close(guest);
    live_get(client, NULL);
    live_has_not("unavailable");
    live_has_not("0\r\n\r\n");
}

static void test_finished_connect_stream_gets_nothing_more(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "POST /p/Start", "Content-Length: 0\r\n", "");
    int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, CONNECT_HEAD);
    live_send(guest, "7\r\n\2\0\0\0\2{}\r\n", 12);
    live_expect(client, "{}");
    guest = fd_close(guest); /* without the last chunk */
    live_get(client, NULL);
    live_has_not("unavailable");
}

static void test_kill_before_the_head_is_not_found(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /", CLOSE, "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_call(fake_kill, NULL);
    live_get(client, NULL);
    live_has("HTTP/1.1 502 ");
    live_has("The sandbox was not found");
    live_get(guest, NULL);
}

static void test_kill_cuts_a_tunnel(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client =
        client_send(port, "GET /", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    live_expect(client, "hello");
    live_call(fake_kill, NULL);
    live_get(client, NULL);
    live_get(guest, NULL);
}

static void test_traffic_token(void **state)
{
    (void)state;
    fake.info.traffic_token = "0123456789abcdef";
    uint16_t port = 0, envd = 49983;
    _cleanup_close_ int listener = guest_listen(&port);
    char host[64];
    (void)snprintf(host, sizeof(host), "%u-ilive.localhost", port);
    ask(host, "GET /", "");
    answer_is("403",
              "{\"sandboxId\":\"ilive\",\"message\":\"Sandbox is secured with traffic access "
              "token. Token header 'e2b-traffic-access-token' is missing\",\"code\":403}");
    ask(host, "GET /", "E2b-Traffic-Access-Token: 0123456789abcdee\r\n");
    answer_is("403",
              "{\"sandboxId\":\"ilive\",\"message\":\"Sandbox is secured with traffic access "
              "token. Provided token in header 'e2b-traffic-access-token' is "
              "invalid\",\"code\":403}");
    assert_int_equal(fake.n_links, 0);

    _cleanup_close_ int client =
        client_send(port, "GET /", "e2b-traffic-access-token: 0123456789abcdef\r\n", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_expect(guest, "0123456789abcdef"); /* passed on as well */

    _cleanup_close_ int envd_listener = guest_listen(&envd);
    _cleanup_close_ int health = client_send(envd, "GET /health", "", "");
    _cleanup_close_ int envd_guest = live_accept(envd_listener);
    live_expect(envd_guest, "GET /health ");
}

static void test_preflights(void **state)
{
    (void)state;
    static const char headers[] = "Origin: https://a.example\r\n"
                                  "Access-Control-Request-Method: PUT\r\n"
                                  "Access-Control-Request-Headers: x-access-token, a\r\n";
    fake.info.traffic_token = "t";
    static const char *const hosts[] = {"80-inone.localhost", "80-ilive.localhost",
                                        "80-BAD.localhost"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        ask(hosts[i], "OPTIONS /", headers);
        answer_is("204", "");
        live_has("Access-Control-Allow-Headers: x-access-token, a\r\n");
        live_has("Access-Control-Allow-Methods: ");
    }
    ask("80-inone.localhost", "OPTIONS /", ""); /* not a preflight */
    live_has("HTTP/1.1 502 ");

    fake.info.traffic_token = NULL; /* now it is the guest's */
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "OPTIONS /", headers, "");
    _cleanup_close_ int guest = live_accept(listener);
    live_expect(guest, "Access-Control-Request-Method: PUT\r\n");
}

static int setup_one(void **state)
{
    (void)state;
    edge_test_begin(1);
    return 0;
}

static void test_concurrent_limit(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    char host[64];
    (void)snprintf(host, sizeof(host), "%u-ilive.localhost", port);
    for (int round = 0; round < 2; round++) { /* the place is given back */
        _cleanup_close_ int client = client_send(port, "GET /", CLOSE, "");
        _cleanup_close_ int guest = live_accept(listener);
        live_get(guest, "\r\n\r\n");
        ask(host, "GET /", "");
        answer_is("429",
                  "{\"sandboxId\":\"ilive\",\"message\":\"The sandbox has too many concurrent "
                  "incoming connections (limit: 1)\",\"code\":429,\"connectionLimit\":1}");
        live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        live_get(client, NULL);
        live_has("HTTP/1.1 200 ");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_test_setup, edge_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bad_targets),
        TEST(test_unknown_sandbox),
        TEST(test_reserved_paths_come_before_the_lookup),
        TEST(test_closed_port),
        TEST(test_a_refused_dial_is_repeated_with_its_body),
        TEST(test_a_sent_request_is_never_repeated),
        TEST(test_garbage_from_the_guest_is_502),
        TEST(test_client_gone),
        TEST(test_guest_gone_in_the_middle_cuts_the_client),
        TEST(test_connect_stream_on_a_border_gets_an_end_frame),
        TEST(test_connect_stream_in_a_frame_is_cut),
        TEST(test_finished_connect_stream_gets_nothing_more),
        TEST(test_kill_before_the_head_is_not_found),
        TEST(test_kill_cuts_a_tunnel),
        TEST(test_traffic_token),
        TEST(test_preflights),
        cmocka_unit_test_setup_teardown(test_concurrent_limit, setup_one, edge_test_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
