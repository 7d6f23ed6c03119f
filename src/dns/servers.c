#include "dns/servers.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

enum { PORT = 53 };

/* "eth0" or "2" behind the percent sign of a link-local address; 0 when there is no such link. */
static uint32_t scope_of(struct slice name)
{
    struct ifreq r = {.ifr_ifindex = 0};
    uint32_t n = 0;
    if (parse_u32(name, INT32_MAX, &n) == 0)
        return n;
    /* if_nametoindex() would ask through a unix socket, which is refused to this program */
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || slice_copy(name, r.ifr_name, sizeof(r.ifr_name)) < 0 ||
        ioctl(fd, SIOCGIFINDEX, &r) < 0)
        return 0;
    return (uint32_t)r.ifr_ifindex;
}

static bool parse_address(struct slice text, struct dns_server *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    char addr[INET6_ADDRSTRLEN];
    size_t percent = slice_find(text, '%');
    if (slice_copy(slice_sub(text, 0, percent), addr, sizeof(addr)) < 0)
        return false;
    *ret = (struct dns_server){.len = 0};
    if (percent == text.n && inet_pton(AF_INET, addr, &v4.sin_addr) == 1) {
        memcpy(&ret->addr, &v4, sizeof(v4));
        ret->len = sizeof(v4);
        return true;
    }
    if (inet_pton(AF_INET6, addr, &v6.sin6_addr) != 1)
        return false;
    if (percent < text.n)
        v6.sin6_scope_id = scope_of(slice_from(text, percent + 1));
    memcpy(&ret->addr, &v6, sizeof(v6));
    ret->len = sizeof(v6);
    return percent == text.n || v6.sin6_scope_id != 0;
}

/* The word behind "nameserver", without what may follow it. */
static bool parse_line(struct slice line, struct dns_server *ret)
{
    static const char key[] = "nameserver";
    size_t n = sizeof(key) - 1, end = 0;
    if (!slice_has_prefix(line, key) || line.n == n || (line.p[n] != ' ' && line.p[n] != '\t'))
        return false;
    struct slice rest = slice_trim(slice_from(line, n));
    while (end < rest.n && strchr(" \t\r#;", rest.p[end]) == NULL)
        end++;
    return parse_address(slice_sub(rest, 0, end), ret);
}

void dns_servers_parse(struct slice text, struct dns_servers *ret)
{
    struct slice line;
    ret->n = 0;
    while (ret->n < DNS_SERVERS_MAX && slice_next(&text, '\n', &line))
        ret->n += parse_line(line, &ret->server[ret->n]);
    if (ret->n == 0)
        ret->n += parse_address(SLICE_LIT("127.0.0.1"), &ret->server[0]);
}

/* Of a file that grew too long the beginning counts. */
static void read_file(struct dns_servers *s)
{
    static char text[DNS_FILE_MAX_BYTES];
    ssize_t n = s->fd >= 0 ? pread(s->fd, text, sizeof(text), 0) : 0;
    dns_servers_parse(slice_of(text, n > 0 ? (size_t)n : 0), s);
}

int dns_servers_open(const char *path, struct dns_servers *ret, struct err *err)
{
    struct dns_servers s = {.path = path, .fd = -EBADF};
    s.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (s.fd < 0 && errno != ENOENT)
        return err_sys(err, -errno, "open the list of nameservers '%s'", path);
    if (s.fd >= 0 && fstat(s.fd, &s.seen) < 0)
        s.fd = fd_close(s.fd);
    if (s.fd >= 0 && !S_ISREG(s.seen.st_mode)) {
        (void)fd_close(s.fd);
        return err_set(err, -EINVAL, ERR_INVALID,
                       "the list of nameservers '%s' is not a plain file", path);
    }
    read_file(&s);
    *ret = s;
    return 0;
}

void dns_servers_close(struct dns_servers *s)
{
    s->fd = fd_close(s->fd);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

int dns_servers_refresh(struct dns_servers *s)
{
    struct stat st;
    if (stat(s->path, &st) < 0)
        return 0; /* gone, perhaps for a moment only: what was read last counts */
    if (s->fd < 0 || st.st_dev != s->seen.st_dev || st.st_ino != s->seen.st_ino)
        return -ESTALE;
    if (st.st_size == s->seen.st_size && same_time(st.st_mtim, s->seen.st_mtim) &&
        same_time(st.st_ctim, s->seen.st_ctim))
        return 0;
    s->seen = st;
    read_file(s);
    return 1;
}

unsigned dns_servers_order(const struct dns_servers *s, uint64_t now_ns,
                           struct dns_server ret[static DNS_SERVERS_MAX])
{
    unsigned n = 0;
    for (unsigned rests = 0; rests < 2; rests++)
        for (unsigned i = 0; i < s->n; i++)
            if ((now_ns < s->server[i].rests_until_ns) == (rests == 1))
                ret[n++] = s->server[i];
    return n;
}

/* The list may have been read again since: the server is found by its address. */
void dns_servers_let_rest(struct dns_servers *s, const struct dns_server *which, uint64_t now_ns)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->server[i].len == which->len &&
            memcmp(&s->server[i].addr, &which->addr, which->len) == 0)
            s->server[i].rests_until_ns = now_ns + DNS_SERVER_REST_MS * NS_PER_MS;
}
