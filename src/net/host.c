#include "net/host.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/num.h"
#include "net/nft.h"
#include "net/sysctl.h"

#include <errno.h>
#include <net/if.h>

int host_net_open(const struct host_policy *policy, bool *ret_forwarding_changed, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)nft_host_policy(&text, policy); /* nft_run sees its failure */
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
