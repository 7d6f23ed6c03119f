/* Questions about the network: who can be reached. */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 3000 };

static int open_connection(const char *addr, const char *port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)probe_number(port))};
    if (inet_pton(AF_INET, addr, &to.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, WAIT_MS), error = 0;
    socklen_t len = sizeof(error);
    if (n == 0)
        error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    errno = error;
    return error != 0 ? -1 : 0;
}

/* connect ADDR PORT: "ok" when somebody answers. */
static void try_connect(char *const *arg)
{
    int fd = open_connection(arg[0], arg[1], SOCK_STREAM);
    probe_tell("connect", fd < 0 ? -1 : wait_for(fd, POLLOUT));
    if (fd >= 0)
        (void)close(fd);
}

/* udp ADDR PORT: sends a datagram and tells what comes back. */
static void try_udp(char *const *arg)
{
    char reply[256] = "";
    int fd = open_connection(arg[0], arg[1], SOCK_DGRAM);
    long r = fd < 0 ? -1 : send(fd, "ping", 4, 0);
    if (r >= 0)
        r = wait_for(fd, POLLIN);
    if (r >= 0)
        r = recv(fd, reply, sizeof(reply) - 1, 0);
    probe_tell("udp", r);
    (void)fprintf(probe_out, "reply %s\n", reply);
    if (fd >= 0)
        (void)close(fd);
}

const struct probe_question probe_reach[] = {
    {"connect", 2, try_connect}, {"udp", 2, try_udp}, {NULL, 0, NULL}};
