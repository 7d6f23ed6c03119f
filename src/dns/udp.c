/*
 * Datagrams: read some, answer or begin each, go on at the next turn of the loop. What cannot be sent
 * at once is lost, as datagrams are. Answers leave from the address that was asked (IP_PKTINFO): the
 * host has one for each sandbox's link.
 */
#include "dns/front.h"
#include "dns/job.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { READS_PER_TURN = 256 };

struct dns_udp {
    uv_poll_t poll;
    int fd; /* borrowed */
    struct dns *dns;
};

union control {
    char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct cmsghdr align;
};

static void send_to(const struct dns_udp *u, const struct dns_from *to, const uint8_t *p, size_t n)
{
    union control control = {.bytes = {0}};
    struct in_pktinfo info = {.ipi_spec_dst = to->local};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    struct msghdr msg = {.msg_name = (void *)(uintptr_t)&to->peer,
                         .msg_namelen = sizeof(to->peer),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    (void)sendmsg(u->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_answer(void *user, const struct dns_from *from, const struct dns_query *q,
                      const uint8_t *msg, size_t n)
{
    uint8_t cut[DNS_OWN_MAX_BYTES];
    if (n > q->udp_bytes) {
        n = dns_reply_truncated(q, msg, cut);
        msg = cut;
    }
    send_to(user, from, msg, n);
}

static void handle(struct dns_udp *u, const struct dns_from *from, const uint8_t *p, size_t n)
{
    struct dns *dns = u->dns;
    struct dns_query q;
    uint8_t reply[DNS_OWN_MAX_BYTES];
    int slot = dns_slot_of(dns, from->peer.sin_addr.s_addr);
    if (slot < 0)
        return;
    if (!dns_limits_query(&dns->limits, (unsigned)slot, dns_now_ns(dns))) {
        dns_drop(dns, &dns->counts.rate, (unsigned)slot, "asks too often");
        return;
    }
    int r = dns_query_read(p, n, &q);
    if (r < 0) {
        dns->counts.unread++;
    } else if (r > 0) {
        dns->counts.refused++;
        send_to(u, from, reply, dns_reply_error(&q, (enum dns_rcode)r, reply));
    } else {
        const struct dns_job_opts opts = {
            .query = &q, .slot = (unsigned)slot, .from = *from, .done = on_answer, .user = u};
        if (dns_job_start(dns, &opts) == NULL)
            dns_drop(dns, &dns->counts.share, (unsigned)slot, "has too many queries under way");
    }
}

/* The address that was asked; 0 when the kernel did not tell, then it picks one for the answer. */
static struct in_addr asked_address(struct msghdr *msg)
{
    struct in_pktinfo info = {.ipi_ifindex = 0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            memcpy(&info, CMSG_DATA(c), sizeof(info));
    return info.ipi_addr;
}

/* False when there is nothing more to read. */
static bool read_one(struct dns_udp *u)
{
    static uint8_t in[DNS_UDP_MAX_BYTES + 1]; /* one more: too long is seen, and refused */
    union control control;
    struct dns_from from = {.local = {0}};
    struct iovec iov = {.iov_base = in, .iov_len = sizeof(in)};
    struct msghdr msg = {.msg_name = &from.peer,
                         .msg_namelen = sizeof(from.peer),
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(u->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) /* an error that an answer of ours brought back is taken off the socket by this */
        return errno != EAGAIN && errno != EBADF;
    from.local = asked_address(&msg);
    if (msg.msg_namelen == sizeof(from.peer) && from.peer.sin_family == AF_INET)
        handle(u, &from, in, (size_t)n);
    return true;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dns_udp *u = container_of(poll, struct dns_udp, poll);
    (void)events; /* trying tells more */
    if (status < 0)
        (void)uv_poll_start(poll, UV_READABLE, on_poll); /* the loop stops at an error: go on */
    for (unsigned i = 0; i < READS_PER_TURN && read_one(u); i++)
        ;
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct dns_udp, poll));
}

int dns_udp_start(struct dns *dns, int fd, struct dns_udp **ret, struct err *err)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0)
        return err_sys(err, -errno, "prepare the UDP socket");
    struct dns_udp *u = xnew(struct dns_udp);
    u->dns = dns;
    u->fd = fd;
    int r = uv_poll_init(&dns->loop, &u->poll, fd);
    if (r < 0) {
        free(u);
        return err_sys(err, r, "watch the UDP socket");
    }
    r = uv_poll_start(&u->poll, UV_READABLE, on_poll);
    if (r < 0) {
        dns_udp_stop(u);
        return err_sys(err, r, "watch the UDP socket");
    }
    *ret = u;
    return 0;
}

void dns_udp_stop(struct dns_udp *u)
{
    uv_close((uv_handle_t *)&u->poll, on_closed);
}
