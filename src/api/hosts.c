/*
 * Which host names the API answers to. A page of a stranger can point its own name at 127.0.0.1 and
 * then talk to us as its own origin (DNS rebinding); it cannot make the browser send a Host that is
 * an address or a name of ours. So: addresses, localhost and below, the domain, api.<domain>, and
 * the configured names.
 */
#include "api/api_internal.h"

#include <arpa/inet.h>

static bool is_address(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char addr[16];
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = slice_sub(host, 1, host.n - 2);
    if (slice_copy(host, text, sizeof(text)) < 0)
        return false;
    return inet_pton(AF_INET, text, addr) == 1 || inet_pton(AF_INET6, text, addr) == 1;
}

static bool is_localhost(struct slice host)
{
    static const struct slice suffix = SLICE_LIT(".localhost");
    if (slice_ieq_str(host, "localhost"))
        return true;
    return host.n > suffix.n && slice_ieq(slice_from(host, host.n - suffix.n), suffix);
}

static struct slice host_part(struct slice authority)
{
    struct slice host;
    uint16_t port;
    if (url_split_host(authority, &host, &port) < 0)
        return (struct slice){0};
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--; /* the absolute form of the same name */
    return host;
}

static bool is_domain(const struct api *api, struct slice host)
{
    struct slice domain = host_part(slice_str(api->domain));
    if (domain.n == 0)
        return false;
    if (host.n > 4 && slice_ieq(slice_sub(host, 0, 4), SLICE_LIT("api.")) &&
        slice_ieq(slice_from(host, 4), domain))
        return true;
    return slice_ieq(host, domain);
}

bool api_host_allowed(const struct api *api, struct slice authority)
{
    struct slice host = host_part(authority);
    if (host.n == 0)
        return false;
    if (is_address(host) || is_localhost(host) || is_domain(api, host))
        return true;
    for (size_t i = 0; i < api->n_hosts; i++)
        if (slice_ieq_str(host, api->hosts[i]))
            return true;
    return false;
}
