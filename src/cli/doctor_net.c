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
             "add rule inet t c limit rate over 9/second burst 9 packets drop; "
             "add chain inet t p { type filter hook prerouting priority -310; }; "
             "add rule inet t p fib daddr type != unicast drop; "
             "add ct timeout inet t x { protocol tcp; l3proto ip; policy = { close : 5 } ; }; "
             "add rule inet t c ct timeout set \"x\"; "
             "add table netdev e; "
             "add chain netdev e e { type filter hook egress device \"lo\" priority 0; }; "
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
                          "use a kernel with nftables, connection tracking timeouts and egress "
                          "hooks (Debian's has them)",
                          "filter and NAT rules were refused: %s", strerror(e));
    return doctor_ok(d, "filter and NAT rules can be made");
}

enum { CHAINS_MAX_BYTES = 96 };

/* What other firewalls do, and what Silica put beside them. */
struct neighbours {
    bool forward_drops;           /* a chain on the forward hook has the policy drop */
    unsigned rules;               /* of ours in chains of theirs */
    bool others_held;             /* our own chain that drops what others want forwarded */
    char table[CHAINS_MAX_BYTES]; /* the first of theirs with a rule of ours */
};

static bool holds(struct slice line, const char *what)
{
    return line.n > 0 && memmem(line.p, line.n, what, strlen(what)) != NULL;
}

static void read_rules(const char *text, struct neighbours *n)
{
    struct slice rest = slice_str(text), line, table = {0};
    while (slice_next(&rest, '\n', &line)) {
        if (slice_has_prefix(line, "table "))
            table = line;
        n->forward_drops =
            n->forward_drops || (holds(line, "hook forward") && holds(line, "policy drop"));
        n->others_held =
            n->others_held || (holds(table, "table inet silica_") && holds(line, "chain others"));
        if (!holds(line, "comment \"silica_"))
            continue;
        if (n->rules++ == 0 && table.n > 8) /* without "table " and " {" */
            (void)slice_copy(slice_sub(table, 6, table.n - 8), n->table, sizeof(n->table));
    }
}

static struct neighbours look_at_rules(void)
{
    struct neighbours n = {0};
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == NULL)
        return n;
    (void)nft_ctx_buffer_output(nft);
    (void)nft_ctx_buffer_error(nft);
    if (nft_run_cmd_from_buffer(nft, "list ruleset") == 0)
        read_rules(nft_ctx_get_output_buffer(nft), &n);
    nft_ctx_free(nft);
    return n;
}

/* Rules of iptables-legacy are no part of nftables: Silica can neither see nor add any. */
static bool has_legacy_filter(void)
{
    _cleanup_buf_ struct buf text = BUF_INIT(4096);
    struct slice rest, line;
    if (fs_read_file(AT_FDCWD, "/proc/net/ip_tables_names", &text, NULL) != 0)
        return false;
    rest = buf_slice(&text);
    while (slice_next(&rest, '\n', &line))
        if (slice_eq_str(line, "filter"))
            return true;
    return false;
}

bool doctor_forward(struct doctor *d)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    if (geteuid() != 0)
        return doctor_bad(d, fix_root, "not looked at without root");
    if (fs_read_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", &text, NULL) != 0)
        return doctor_bad(d, "use a kernel with IPv4", "there is no ip_forward");
    bool on = text.n > 0 && text.p[0] != '0';
    struct neighbours n = look_at_rules();
    if (has_legacy_filter())
        return doctor_ok(
            d,
            "ip_forward is %s; iptables-legacy has a filter table, which Silica cannot "
            "change. If sandboxes do not get out: iptables-legacy -I FORWARD -i sil+ -j "
            "ACCEPT, the same with -o, and with INPUT -i",
            on ? "on" : "off (Silica turns it on)");
    if (n.rules > 0)
        return doctor_ok(d,
                         "ip_forward is %s; Silica put %u rules for its links into chains of other "
                         "firewalls (first in table %s)",
                         on ? "on" : "off", n.rules, n.table);
    return doctor_ok(d, "ip_forward is %s%s; the FORWARD policy is %s",
                     on ? "on" : "off (Silica turns it on)",
                     n.others_held ? " for sandboxes alone" : "",
                     n.forward_drops ? "drop (Silica adds rules for its links)" : "accept");
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
