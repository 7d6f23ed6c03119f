/* Checks of the network: nftables, forwarding, names under localhost, the port. */
#include "cli/doctor.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static const char fix_root[] = "run it as root: sudo silica doctor";

static int try_nftables(void)
{
    if (unshare(CLONE_NEWNET) != 0)
        return errno;
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == NULL)
        return ENOMEM;
    (void)nft_ctx_buffer_error(nft);
    int r = nft_run_cmd_from_buffer(
        nft, "add table inet t; add chain inet t c { type filter hook output priority 0; }; "
             "add rule inet t c meta skuid 0 ct count over 4096 drop; "
             "add table ip n; add chain ip n p { type nat hook postrouting priority 100; }; "
             "add rule ip n p masquerade");
    nft_ctx_free(nft);
    return r == 0 ? 0 : EOPNOTSUPP;
}

bool doctor_nftables(struct doctor *d)
{
    if (geteuid() != 0)
        return doctor_bad(d, fix_root, "not tried without root");
    int e = doctor_in_child(try_nftables);
    if (e != 0)
        return doctor_bad(d,
                          "modprobe nf_tables nft_ct nft_masq (a kernel with nftables is needed)",
                          "filter and NAT rules were refused: %s", strerror(e));
    return doctor_ok(d, "filter and NAT rules can be made");
}

/* True when a base chain on the forward hook has the policy drop. */
static bool forward_drops(void)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == NULL)
        return false;
    (void)nft_ctx_buffer_output(nft);
    (void)nft_ctx_buffer_error(nft);
    bool drops = false;
    if (nft_run_cmd_from_buffer(nft, "list chains") == 0) {
        struct slice rest = slice_str(nft_ctx_get_output_buffer(nft)), line;
        while (slice_next(&rest, '\n', &line)) {
            drops = drops || (memmem(line.p, line.n, "hook forward", 12) != NULL &&
                              memmem(line.p, line.n, "policy drop", 11) != NULL);
        }
    }
    nft_ctx_free(nft);
    return drops;
}

bool doctor_forward(struct doctor *d)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    if (geteuid() != 0)
        return doctor_bad(d, fix_root, "not looked at without root");
    if (fs_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", &text, NULL) != 0)
        return doctor_bad(d, "use a kernel with IPv4", "there is no ip_forward");
    bool on = text.n > 0 && text.p[0] != '0';
    bool drops = forward_drops();
    return doctor_ok(d, "ip_forward is %s%s; the FORWARD policy is %s%s", on ? "on" : "off",
                     on ? "" : " (Silica turns it on)", drops ? "drop" : "accept",
                     drops ? " (another firewall's rules decide whether sandboxes get out)" : "");
}

bool doctor_names(struct doctor *d)
{
    static const char name[] = "3000-x.localhost";
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(name, NULL, &hints, &list);
    if (r != 0)
        return doctor_bad(d, "apt-get install libnss-myhostname", "%s: %s", name, gai_strerror(r));
    bool loopback = true;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        struct sockaddr_in in = {0};
        if (a->ai_family != AF_INET)
            continue;
        memcpy(&in, a->ai_addr, sizeof(in));
        loopback = loopback && ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    freeaddrinfo(list);
    if (!loopback)
        return doctor_bad(d, "apt-get install libnss-myhostname", "%s leads elsewhere", name);
    return doctor_ok(d, "%s leads to this machine", name);
}

/* Does a Silica answer there? */
static bool silica_answers(const struct sockaddr_in *a)
{
    static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    char head[12];
    struct timeval limit = {.tv_sec = 2};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 &&
           send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(request) - 1 &&
           recv(fd, head, sizeof(head), MSG_WAITALL) == (ssize_t)sizeof(head) &&
           memcmp(head, "HTTP/1.1 2", 10) == 0;
}

bool doctor_port(struct doctor *d)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct slice host = slice_sub(slice_str(d->listen), 0, slice_find(slice_str(d->listen), ':'));
    uint32_t port = 0;
    char text[64];
    int on = 1;
    if (slice_copy(host, text, sizeof(text)) != 0 || inet_pton(AF_INET, text, &a.sin_addr) != 1 ||
        parse_u32(slice_from(slice_str(d->listen), host.n + 1), 65535, &port) != 0)
        return doctor_bad(d, "say --listen 127.0.0.1:3000", "'%.60s' is not IPV4:PORT", d->listen);
    a.sin_port = htons((uint16_t)port);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return doctor_ok(d, "%s is free", d->listen);
    int e = errno;
    if (e == EADDRINUSE && silica_answers(&a))
        return doctor_ok(d, "a server answers on %s", d->listen);
    return doctor_bad(d, "choose another with --listen, or stop what uses it", "%s: %s", d->listen,
                      strerror(e));
}
