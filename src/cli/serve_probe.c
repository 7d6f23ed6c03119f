/*
 * Is the daemon answering? One GET /health over one connection to our own listener, in steps that
 * never wait: the supervisor polls the descriptor beside its signals and children.
 */
#include "cli/serve.h"

#include "base/cleanup.h"

#include <netinet/in.h>
#include <stdio.h>

int probe_begin(struct probe *p, const struct serve_settings *s)
{
    char request[SERVE_TEXT_MAX + 128];
    int n = snprintf(request, sizeof(request),
                     "GET /health HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n", s->host,
                     (unsigned)s->port);
    struct sockaddr_storage to = s->addr;
    if (to.ss_family == AF_INET) {
        struct sockaddr_in *a = (struct sockaddr_in *)&to;
        if (a->sin_addr.s_addr == htonl(INADDR_ANY))
            a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)&to;
        if (IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr))
            a->sin6_addr = in6addr_loopback;
    }
    _cleanup_close_ int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* To a listener on this machine: done at once, or refused. */
    struct timeval limit = {.tv_sec = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, s->addr_len) != 0 ||
        send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        return errno != 0 ? -errno : -EIO;
    p->fd = take_fd(&fd);
    return 0;
}

int probe_step(struct probe *p)
{
    char head[13];
    ssize_t n = recv(p->fd, head, sizeof(head) - 1, MSG_DONTWAIT | MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    bool ok = n == (ssize_t)sizeof(head) - 1 && memcmp(head, "HTTP/1.1 2", 10) == 0;
    probe_end(p);
    return ok ? 1 : -EPROTO;
}

void probe_end(struct probe *p)
{
    p->fd = fd_close(p->fd);
}
