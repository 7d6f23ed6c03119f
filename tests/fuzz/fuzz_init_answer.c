/*
 * Fuzzes what a guest may answer to the daemon's own requests (/init, /health): the bytes come from a
 * real socket in one or two pieces. Whatever they are, the call ends once, with a status and a body
 * that is not larger than asked for, or with an error that has a text.
 */
// deps: http base uv
#include "base/buf.h"
#include "base/cleanup.h"
#include "http/client.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ANSWER_MAX_BYTES = 4096,
    TIMEOUT_MS = 5000,
    INPUT_MAX_BYTES = 65536,
    TURNS_BEFORE_CLOSE = 20
};

static struct guest {
    uv_loop_t loop;
    struct sockaddr_un addr;
    socklen_t addr_len;
    int listener;
    bool open;
} guest;

static unsigned calls;

static void open_guest(void)
{
    assert(uv_loop_init(&guest.loop) == 0);
    guest.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    guest.addr.sun_family = AF_UNIX;
    guest.addr_len = sizeof(sa_family_t); /* autobind: a name that nobody else has */
    assert(bind(guest.listener, (struct sockaddr *)&guest.addr, guest.addr_len) == 0);
    guest.addr_len = sizeof(guest.addr);
    assert(getsockname(guest.listener, (struct sockaddr *)&guest.addr, &guest.addr_len) == 0);
    assert(listen(guest.listener, 4) == 0);
    guest.open = true;
}

static void on_answer(unsigned status, struct slice body, const struct err *err, void *user)
{
    (void)user;
    calls++;
    assert(body.n <= ANSWER_MAX_BYTES);
    if (err != NULL)
        assert(status == 0 && err->num < 0 && err->msg[0] != '\0');
    else
        assert(status >= 100 && status <= 999);
}

static void put(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r <= 0)
            return; /* the client has gone, or its buffer is full of what it will not read */
        p += r;
        n -= (size_t)r;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct http_header host = {SLICE_LIT("Host"), SLICE_LIT("guest")};
    if (!guest.open)
        open_guest();
    if (size > INPUT_MAX_BYTES)
        return 0;
    struct http_call_opts opts = {
        .addr = (const struct sockaddr *)&guest.addr,
        .addr_len = guest.addr_len,
        .method = SLICE_LIT("POST"),
        .target = SLICE_LIT("/init"),
        .headers = &host,
        .n_headers = 1,
        .body_length = 2,
        .connect_timeout_ms = TIMEOUT_MS,
    };
    calls = 0;
    http_fetch(&guest.loop, &opts, SLICE_LIT("{}"), ANSWER_MAX_BYTES, TIMEOUT_MS, on_answer, NULL);
    int fd = accept4(guest.listener, NULL, NULL, SOCK_CLOEXEC);
    assert(fd >= 0);
    size_t first = size > 0 ? data[0] % size : 0;
    put(fd, data, first);
    (void)uv_run(&guest.loop, UV_RUN_NOWAIT);
    put(fd, data + first, size - first);
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; i < TURNS_BEFORE_CLOSE && uv_run(&guest.loop, UV_RUN_NOWAIT) != 0; i++)
        ;
    (void)fd_close(fd); /* what still waits for more, a tunnel say, hears that there is none */
    while (uv_run(&guest.loop, UV_RUN_ONCE) != 0)
        ;
    assert(calls == 1);
    return 0;
}
