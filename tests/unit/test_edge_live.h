/* The edge on a live server, with one sandbox that the test makes and ends: "ilive". */
#pragma once

#include "edge/edge.h"
#include "test_live.h"

/*
 * The sandbox's address: one of loopback for each process, because envd's port is a fixed one and
 * test programs run beside each other.
 */
static inline const char *guest_ip(void)
{
    static char text[INET_ADDRSTRLEN];
    unsigned n = (unsigned)getpid();
    (void)snprintf(text, sizeof(text), "127.%u.%u.%u", 64 + (n >> 16) % 64, (n >> 8) % 256,
                   n % 256);
    return text;
}

static struct fake {
    struct edge *edge;
    struct sandbox_info info;
    bool exists;
    struct list links;
    void (*on_link)(void); /* called on the loop when a request was let in */
    unsigned n_links;
} fake;

int sandbox_get(struct sandbox_manager *m, const char *team, const char *id,
                struct sandbox_info *ret, struct err *err)
{
    (void)m, (void)team;
    if (!fake.exists || !slice_eq(slice_str(id), slice_str(fake.info.id)))
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "no sandbox");
    *ret = fake.info;
    return 0;
}

int sandbox_link(struct sandbox_manager *m, const char *id, uint64_t lifecycle,
                 struct sandbox_link *link)
{
    (void)m, (void)id;
    if (!fake.exists || lifecycle != fake.info.lifecycle)
        return -ENOENT;
    list_append(&fake.links, &link->node);
    fake.n_links++;
    if (fake.on_link != NULL)
        fake.on_link();
    return 0;
}

void sandbox_unlink(struct sandbox_link *link)
{
    list_remove(&link->node);
}

static inline void fake_kill(void *arg)
{
    (void)arg;
    fake.exists = false;
    while (!list_empty(&fake.links)) {
        struct sandbox_link *link = container_of(fake.links.next, struct sandbox_link, node);
        list_remove(&link->node);
        link->on_gone(link);
    }
}

static inline void edge_test_handler(struct http_exchange *x, void *user)
{
    (void)user;
    if (edge_wants(fake.edge, http_x_head(x)))
        edge_handle(x, fake.edge);
    else
        http_x_reply(x, 418, NULL, SLICE_LIT("not for the edge"));
}

static inline void edge_test_begin(uint32_t max_per_sandbox)
{
    const struct edge_opts opts = {.domain = "localhost:3000", .max_per_sandbox = max_per_sandbox};
    fake = (struct fake){.exists = true};
    fake.info = (struct sandbox_info){.id = "ilive", .lifecycle = 7};
    fake.info.addr.sin_family = AF_INET;
    assert_int_equal(inet_pton(AF_INET, guest_ip(), &fake.info.addr.sin_addr), 1);
    list_init(&fake.links);
    assert_int_equal(edge_new(&opts, &fake.edge, NULL), 0);
    live_start(edge_test_handler, NULL);
}

/* Also checks that no request is left linked. */
static inline void edge_test_end(void)
{
    live_stop();
    assert_true(list_empty(&fake.links));
    edge_free(fake.edge);
}

static inline int edge_test_setup(void **state)
{
    (void)state;
    edge_test_begin(0);
    return 0;
}

static inline int edge_test_teardown(void **state)
{
    (void)state;
    edge_test_end();
    return 0;
}

static inline int guest_listen(uint16_t *port)
{
    int fd = live_bind(guest_ip(), port);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* Send a request to the sandbox: "<method> <target>", extra header lines, and a body. */
static inline int client_send(uint16_t port, const char *line, const char *headers,
                              const char *body)
{
    char head[2048];
    int n = snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: %u-ilive.localhost:3000\r\n%s\r\n",
                     line, port, headers);
    assert_true(n > 0 && (size_t)n < sizeof(head));
    int fd = live_connect();
    live_put(fd, head);
    live_put(fd, body);
    return fd;
}
