#include "net/host.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/num.h"
#include "net/nft.h"
#include "net/sysctl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>

enum { RESOLV_CONF_MAX_BYTES = 64 * 1024 };

int host_net_open(unsigned instance, uint32_t daemon_uid, uint32_t nameserver,
                  bool *ret_forwarding_changed, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)nft_host_policy(&text, instance, daemon_uid, nameserver); /* nft_run sees its failure */
    int r = nft_run(&text, err);
    if (r < 0)
        return r;
    bool off = net_sysctl_first("ipv4/ip_forward") != '1';
    if (off)
        r = net_sysctl_set("ipv4/ip_forward", "1", err);
    if (r == 0)
        *ret_forwarding_changed = off;
    return r;
}

int host_net_close(unsigned instance, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)nft_host_remove(&text, instance);
    return nft_run(&text, err);
}

/* "nameserver 192.0.2.1" gives the address, anything else 0. */
static uint32_t line_nameserver(struct slice line)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr addr;
    if (!slice_has_prefix(line, "nameserver"))
        return 0;
    struct slice value = slice_trim(slice_from(line, sizeof("nameserver") - 1));
    if (slice_copy(value, text, sizeof(text)) < 0 || inet_pton(AF_INET, text, &addr) != 1)
        return 0;
    uint32_t a = ntohl(addr.s_addr);
    return a >> 24 == 127 || a == 0 ? 0 : a;
}

static uint32_t file_nameserver(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT(RESOLV_CONF_MAX_BYTES);
    if (fs_read_file(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    struct slice rest = buf_slice(&text), line;
    while (slice_next(&rest, '\n', &line)) {
        uint32_t addr = line_nameserver(line);
        if (addr != 0)
            return addr;
    }
    return 0;
}

uint32_t host_nameserver(void)
{
    uint32_t addr = file_nameserver("/etc/resolv.conf");
    return addr != 0 ? addr : file_nameserver("/run/systemd/resolve/resolv.conf");
}

int host_links_each(unsigned instance, void (*each)(void *user, unsigned slot), void *user,
                    struct err *err)
{
    char prefix[IF_NAMESIZE];
    (void)snprintf(prefix, sizeof(prefix), "sil%us", instance);
    struct if_nameindex *links = if_nameindex();
    if (links == NULL)
        return err_sys(err, -errno, "list the host's links");
    for (struct if_nameindex *l = links; l->if_index != 0; l++) {
        uint32_t slot;
        struct slice name = slice_str(l->if_name);
        if (slice_has_prefix(name, prefix) &&
            parse_u32(slice_from(name, strlen(prefix)), SLOTS_PER_INSTANCE - 1, &slot) == 0)
            each(user, slot);
    }
    if_freenameindex(links);
    return 0;
}
