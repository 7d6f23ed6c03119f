/* What passes the edge: heads, bodies, interim answers, tunnels; raw bytes on both sides. */
// deps: edge http json base uv
#include "test_edge_live.h"

static void test_get_keeps_the_host_and_drops_what_is_ours(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client =
        client_send(port, "GET /a%2Fb?x=1&y=%zz",
                    "X-Silica-Control: s\r\nX-Forwarded-For: 1\r\nCookie: c=1\r\n", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    char want[256];
    (void)snprintf(want, sizeof(want),
                   "GET /a%%2Fb?x=1&y=%%zz HTTP/1.1\r\nHost: %u-ilive.localhost:3000\r\n", port);
    assert_int_equal(strncmp(live_text, want, strlen(want)), 0);
    live_has("Cookie: c=1\r\n");
    live_has_not("Silica");
    live_has_not("Forwarded");
    live_put(guest, "HTTP/1.1 203 Fine\r\nContent-Length: 5\r\nX-Guest: yes\r\nSet-Cookie: a\r\n"
                    "Set-Cookie: b\r\nConnection: close\r\n\r\nhello");
    live_get(client, "hello");
    assert_int_equal(strncmp(live_text, "HTTP/1.1 203 ", 13), 0);
    live_has("Content-Length: 5\r\n");
    live_has("X-Guest: yes\r\n");
    live_has("Set-Cookie: a\r\n");
    live_has("Set-Cookie: b\r\n");
    live_has_not("Access-Control-Allow-Origin");
    /* the client's connection lives on */
    char again[256];
    (void)snprintf(again, sizeof(again), "GET /2 HTTP/1.1\r\nHost: %u-ilive.x\r\n\r\n", port);
    live_put(client, again);
    _cleanup_close_ int second = live_accept(listener);
    live_expect(second, "GET /2 HTTP/1.1\r\n");
    live_put(second, "HTTP/1.1 204 No Content\r\n\r\n");
    live_expect(client, "HTTP/1.1 204 ");
}

static void test_routing_by_headers(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "GET /x HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nE2b-Sandbox-Id: ilive\r\n"
                   "E2b-Sandbox-Port: %u\r\n\r\n",
                   port);
    _cleanup_close_ int client = live_connect();
    live_put(client, text);
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_has("Host: 127.0.0.1:3000\r\n");
    live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    live_expect(client, "HTTP/1.1 200 ");
}

static void test_bodies_with_length_and_chunked(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int one = client_send(port, "POST /a", "Content-Length: 4\r\n", "abcd");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "abcd");
    live_has("Content-Length: 4\r\n");
    live_has_not("Transfer-Encoding");
    live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    live_expect(one, "\r\n\r\nok");

    _cleanup_close_ int two =
        client_send(port, "POST /b", "Transfer-Encoding: chunked\r\n", "3\r\nxyz\r\n0\r\n\r\n");
    _cleanup_close_ int second = live_accept(listener);
    live_get(second, "0\r\n\r\n");
    live_has("Transfer-Encoding: chunked\r\n");
    live_has("xyz");
    live_put(second, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                     "5\r\nfirst\r\n");
    live_expect(two, "first"); /* passed on before the rest exists */
    live_put(second, "4\r\nlast\r\n0\r\nX-T: t\r\n\r\n");
    live_get(two, "X-T: t\r\n\r\n");
    live_has("last");
}

static void test_head_announces_a_length_without_a_body(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "HEAD /", "Connection: close\r\n", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    live_get(client, NULL);
    live_has("Content-Length: 12345\r\n");
    assert_string_equal(live_text + live_n - 4, "\r\n\r\n");
}

static void test_until_close_becomes_chunked(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /", "", "");
    int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it");
    guest = fd_close(guest);
    live_get(client, "0\r\n\r\n");
    live_has("Transfer-Encoding: chunked\r\n");
    live_has("all of it");
}

static void test_interim_answers(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client =
        client_send(port, "POST /", "Expect: 100-continue\r\nContent-Length: 2\r\n", "");
    live_expect(client, "HTTP/1.1 100 ");
    live_put(client, "hi");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\nhi");
    live_has_not("Expect");
    live_put(guest, "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n");
    live_expect(client, "HTTP/1.1 103 ");
    live_put(guest, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!");
    live_expect(client, "\r\n\r\n!");
}

static void test_early_answer_during_upload(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "POST /", "Content-Length: 100\r\n", "part");
    _cleanup_close_ int guest = live_accept(listener);
    live_expect(guest, "part");
    live_put(guest, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    live_expect(client, "HTTP/1.1 413 ");
}

static const char handshake[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

static void test_tunnel(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /ws", handshake, "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_has("Upgrade: websocket\r\n");
    live_has("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    live_put(guest, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nearly");
    live_get(client, "early");
    live_has("HTTP/1.1 101 ");
    live_has("Upgrade: websocket\r\n");
    live_has("Sec-WebSocket-Accept: x\r\n");
    live_put(client, "ping");
    live_expect(guest, "ping");
    live_put(guest, "pong");
    live_expect(client, "pong");
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    live_get(guest, NULL); /* the end is passed on */
    live_put(guest, "bye");
    assert_int_equal(shutdown(guest, SHUT_WR), 0);
    live_get(client, NULL);
    live_has("bye");
}

static void test_refused_upgrade_passes(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /ws", handshake, "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    live_put(guest, "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope");
    live_get(client, "nope");
    live_has("HTTP/1.1 403 ");
}

static void test_masked_host(void **state)
{
    (void)state;
    fake.info.mask_host = "localhost:${PORT}";
    uint16_t port = 0, envd = 49983;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /", "", "");
    _cleanup_close_ int guest = live_accept(listener);
    char want[128];
    (void)snprintf(want, sizeof(want), "Host: localhost:%u\r\n", port);
    live_get(guest, "\r\n\r\n");
    live_has(want);
    (void)snprintf(want, sizeof(want), "X-Forwarded-Host: %u-ilive.localhost:3000\r\n", port);
    live_has(want);

    _cleanup_close_ int envd_listener = guest_listen(&envd);
    _cleanup_close_ int second = client_send(envd, "GET /health", "", "");
    _cleanup_close_ int envd_guest = live_accept(envd_listener);
    live_get(envd_guest, "\r\n\r\n");
    live_has("Host: 49983-ilive.localhost:3000\r\n");
    live_has_not("X-Forwarded-Host");
}

/* Sends for as long as the other side takes something within a second; returns the bytes. */
static size_t send_while_taken(int fd, size_t max)
{
    static char block[65536];
    size_t total = 0;
    while (total < max) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 1000) != 1)
            break;
        ssize_t r = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r > 0)
            total += (size_t)r;
    }
    return total;
}

static size_t drain(int fd, size_t want)
{
    static char block[65536];
    size_t total = 0;
    while (total < want) {
        ssize_t r = recv(fd, block, sizeof(block), 0);
        if (r <= 0)
            break;
        total += (size_t)r;
    }
    return total;
}

enum { TRANSFER_BYTES = 64 * 1024 * 1024, TAKEN_MAX_BYTES = 24 * 1024 * 1024 };

static void test_a_client_that_does_not_read_stops_the_guest(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    _cleanup_close_ int client = client_send(port, "GET /", "", "");
    _cleanup_close_ int guest = live_accept(listener);
    live_get(guest, "\r\n\r\n");
    char head[128];
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
                   (int)TRANSFER_BYTES);
    live_put(guest, head);
    size_t sent = send_while_taken(guest, TRANSFER_BYTES);
    assert_true(sent < TAKEN_MAX_BYTES); /* socket buffers and one high-water mark */
    live_expect(client, "\r\n\r\n");
    size_t body =
        live_n - (size_t)((char *)memmem(live_text, live_n, "\r\n\r\n", 4) + 4 - live_text);
    while (sent < TRANSFER_BYTES || body < TRANSFER_BYTES) {
        size_t before = body;
        body += drain(client, sent > body ? sent - body : 0);
        if (sent < TRANSFER_BYTES)
            sent += send_while_taken(guest, 65536);
        assert_true(body > before || sent < TRANSFER_BYTES);
    }
    assert_true(body >= TRANSFER_BYTES);
}

static void test_a_guest_that_does_not_read_stops_the_client(void **state)
{
    (void)state;
    uint16_t port = 0;
    _cleanup_close_ int listener = guest_listen(&port);
    char length[64];
    (void)snprintf(length, sizeof(length), "Content-Length: %d\r\n", (int)TRANSFER_BYTES);
    _cleanup_close_ int client = client_send(port, "POST /", length, "");
    _cleanup_close_ int guest = live_accept(listener);
    live_expect(guest, "\r\n\r\n");
    size_t sent = send_while_taken(client, TRANSFER_BYTES);
    assert_true(sent < TAKEN_MAX_BYTES);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, edge_test_setup, edge_test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get_keeps_the_host_and_drops_what_is_ours),
        TEST(test_routing_by_headers),
        TEST(test_bodies_with_length_and_chunked),
        TEST(test_head_announces_a_length_without_a_body),
        TEST(test_until_close_becomes_chunked),
        TEST(test_interim_answers),
        TEST(test_early_answer_during_upload),
        TEST(test_tunnel),
        TEST(test_refused_upgrade_passes),
        TEST(test_masked_host),
        TEST(test_a_client_that_does_not_read_stops_the_guest),
        TEST(test_a_guest_that_does_not_read_stops_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
