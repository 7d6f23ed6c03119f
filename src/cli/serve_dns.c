/*
 * The sockets of silica-dns. It cannot bind them itself: it has given its rights up by then, and they
 * must outlive it.
 *
 * On every address, because each sandbox's link has another one of the host and comes and goes.
 */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/ids.h"

#include <netinet/in.h>
#include <time.h>

enum {
    DNS_BACKLOG = 256,
    DNS_RECEIVE_BYTES = 1 << 20,
    DNS_WAIT_MS = 5000, /* for the silica-dns of a server that was killed a moment ago */
    DNS_WAIT_STEP_MS = 50,
};

static int open_one(int type, uint16_t port, int *ret_fd, struct err *err)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, room = DNS_RECEIVE_BYTES;
    _cleanup_close_ int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, -errno, "make a socket");
    if (type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    else /* one sandbox's flood should not take all the room */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0 ||
        (type == SOCK_STREAM && listen(fd, DNS_BACKLOG) != 0))
        return errno == EADDRINUSE
                   ? err_set(err, -EADDRINUSE, ERR_CONFLICT,
                             "port %u, where sandboxes ask for names, is in use by another program "
                             "(ss -lnptu 'sport = %u' shows it); stop that one",
                             port, port)
                   : err_sys(err, -errno, "listen on port %u for names", port);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int open_both(uint16_t port, struct serve_dns *ret, struct err *err)
{
    struct serve_dns d = {-EBADF, -EBADF};
    int r = open_one(SOCK_DGRAM, port, &d.udp_fd, err);
    if (r == 0)
        r = open_one(SOCK_STREAM, port, &d.tcp_fd, err);
    if (r < 0)
        serve_dns_close(&d);
    else
        *ret = d;
    return r;
}

int serve_dns_listen(unsigned instance, struct serve_dns *ret, struct err *err)
{
    static const struct timespec step = {.tv_nsec = DNS_WAIT_STEP_MS * (long)NS_PER_MS};
    uint64_t until_ns = clock_monotonic_ns() + DNS_WAIT_MS * NS_PER_MS;
    int r;
    while ((r = open_both((uint16_t)(DNS_PORT_BASE + instance), ret, err)) == -EADDRINUSE &&
           clock_monotonic_ns() < until_ns)
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &step, NULL);
    return r;
}

void serve_dns_close(struct serve_dns *d)
{
    d->udp_fd = fd_close(d->udp_fd);
    d->tcp_fd = fd_close(d->tcp_fd);
}
