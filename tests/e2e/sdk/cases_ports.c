/* A web server through its host name, and a WebSocket handshake with one message. */
#include "sdk_test.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HTTP_PORT = 8000, WS_PORT = 8001 };

static void web_server(struct test *t)
{
    silica_proc *p;
    silica_buf page = {NULL, 0};
    char host[256], url[512];
    int status = 0;
    OK(t, silica_write(t->sbx, "www/index.html", "<h1>it works</h1>", 17, NULL, &t->err));
    OK(t, silica_spawn(t->sbx, "exec python3 -m http.server 8000", SILICA_EXEC_OPTS(.cwd = "www"),
                       &p, &t->err));
    silica_rc rc = silica_wait_port(t->sbx, HTTP_PORT, 30000, &t->err);
    if (rc == SILICA_OK)
        rc = silica_http_get(t->sbx, HTTP_PORT, "/index.html", &status, &page, &t->err);
    bool same = rc == SILICA_OK && status == 200 && page.len == 17 &&
                memcmp(page.data, "<h1>it works</h1>", 17) == 0;
    silica_buf_free(&page);
    if (rc == SILICA_OK)
        rc = silica_http_get(t->sbx, HTTP_PORT, "/none", &status, &page, &t->err);
    silica_buf_free(&page);
    (void)silica_proc_signal(p, 9, NULL);
    silica_proc_detach(p);
    OK(t, rc);
    CHECK(t, same && status == 404);
    OK(t, silica_host(t->sbx, HTTP_PORT, host, sizeof(host), &t->err));
    OK(t, silica_url(t->sbx, HTTP_PORT, "https", url, sizeof(url), &t->err));
    CHECK(t, strncmp(host, "8000-", 5) == 0 &&
                 strncmp(host + 5, silica_id(t->sbx), strlen(silica_id(t->sbx))) == 0);
    CHECK(t, strncmp(url, "https://8000-", 13) == 0 && strcmp(url + 8, host) == 0);
}

static void closed_port(struct test *t)
{
    silica_buf page = {NULL, 0};
    int status = 0;
    OK(t, silica_http_get(t->sbx, 9, "/", &status, &page, &t->err));
    bool named = status == 502 && strstr(page.data, "\"port\":9") != NULL;
    silica_buf_free(&page);
    CHECK(t, named);
    CHECK(t, silica_wait_port(t->sbx, 9, 3000, &t->err) == SILICA_E_TIMEOUT);
}

/* "8001-<id>.localhost:3000" */
static int dial(const char *host)
{
    char name[256];
    const char *colon = strrchr(host, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (colon == NULL)
        return -1;
    (void)snprintf(name, sizeof(name), "%.*s", (int)(colon - host), host);
    int fd = -1;
    if (getaddrinfo(name, colon + 1, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* Up to the empty line. */
static bool read_head(int fd, char *dst, size_t cap)
{
    size_t n = 0;
    while (n + 1 < cap && read(fd, dst + n, 1) == 1) {
        dst[++n] = '\0';
        if (n >= 4 && memcmp(dst + n - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static bool echo(int fd)
{
    /* "hello" as one masked text frame; the answer is the same without a mask. */
    static const unsigned char frame[] = {0x81,    0x85,    1,       2,       3,      4,
                                          'h' ^ 1, 'e' ^ 2, 'l' ^ 3, 'l' ^ 4, 'o' ^ 1};
    static const unsigned char close_frame[] = {0x88, 0x80, 0, 0, 0, 0};
    unsigned char got[7];
    return write(fd, frame, sizeof(frame)) == (ssize_t)sizeof(frame) &&
           recv(fd, got, sizeof(got), MSG_WAITALL) == (ssize_t)sizeof(got) &&
           memcmp(got, "\x81\x05hello", 7) == 0 &&
           write(fd, close_frame, sizeof(close_frame)) == (ssize_t)sizeof(close_frame) &&
           recv(fd, got, 2, MSG_WAITALL) == 2 && got[0] == 0x88 && read(fd, got, 1) == 0;
}

static bool put_server(struct test *t)
{
    char path[512], text[8192];
    const char *folder = secure_getenv("SILICA_E2E");
    (void)snprintf(path, sizeof(path), "%s/shared/ws_echo.py", folder != NULL ? folder : "..");
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, sizeof(text), f);
    (void)fclose(f);
    return silica_write(t->sbx, "ws_echo.py", text, n, NULL, &t->err) == SILICA_OK;
}

static void web_socket(struct test *t)
{
    silica_proc *p;
    silica_event ev;
    char host[256], request[1024], head[4096] = "";
    CHECK(t, put_server(t));
    OK(t, silica_spawn(t->sbx, "exec python3 ws_echo.py 8001", NULL, &p, &t->err));
    silica_rc rc = silica_proc_read(p, 30000, &ev, &t->err); /* it says when it listens */
    bool up = rc == SILICA_OK && ev.kind == SILICA_EVENT_OUTPUT;
    rc = silica_host(t->sbx, WS_PORT, host, sizeof(host), &t->err);
    (void)snprintf(request, sizeof(request),
                   "GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                   host);
    int fd = up && rc == SILICA_OK ? dial(host) : -1;
    bool shaken = fd >= 0 && write(fd, request, strlen(request)) == (ssize_t)strlen(request) &&
                  read_head(fd, head, sizeof(head)) && strncmp(head, "HTTP/1.1 101 ", 13) == 0 &&
                  strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL;
    bool echoed = shaken && echo(fd);
    if (fd >= 0)
        (void)close(fd);
    (void)silica_proc_signal(p, 9, NULL);
    silica_proc_detach(p);
    CHECK(t, up);
    CHECK(t, shaken);
    CHECK(t, echoed);
}

static void restricted_port(struct test *t)
{
    silica_sandbox *sbx;
    silica_proc *p = NULL;
    silica_buf page = {NULL, 0};
    int status = 0;
    OK(t, silica_open(t->client,
                      SILICA_OPEN_OPTS(.public_traffic = SILICA_OFF, .on_close = SILICA_KILL), &sbx,
                      &t->err));
    bool token = silica_traffic_token(sbx) != NULL;
    silica_rc rc = silica_spawn(sbx, "exec python3 -m http.server 8000", NULL, &p, &t->err);
    if (rc == SILICA_OK)
        rc = silica_wait_port(sbx, HTTP_PORT, 30000, &t->err);
    if (rc == SILICA_OK)
        rc = silica_http_get(sbx, HTTP_PORT, "/", &status, &page, &t->err);
    silica_buf_free(&page);
    silica_proc_detach(p);
    silica_close(sbx);
    OK(t, rc);
    CHECK(t, token && status == 200);
}

void cases_ports(struct test *t)
{
    test_run(t, "a web server through its host name", web_server);
    test_run(t, "a closed port", closed_port);
    test_run(t, "a WebSocket", web_socket);
    test_run(t, "ports behind the traffic token", restricted_port);
}
