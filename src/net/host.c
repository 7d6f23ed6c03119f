#include "net/host.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/num.h"
#include "net/sysctl.h"

#include <errno.h>
#include <net/if.h>

enum { LOOKS_MAX = 10 }; /* at rules that change while they are listed */

static int look(unsigned instance, struct beside *ret, struct err *err)
{
    int r = -EAGAIN;
    for (unsigned i = 0; r == -EAGAIN && i < LOOKS_MAX; i++)
        r = beside_look(instance, ret, err);
    return r;
}

static int put_table(const struct host_policy *policy, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)nft_host_policy(&text, policy); /* nft_run sees its failure */
    return nft_run(&text, err);
}

int host_net_open(const struct host_policy *policy, struct host_net *ret,
                  struct host_net_changes *ret_changes, beside_told *told, void *user,
                  struct err *err)
{
    struct beside seen;
    int r = look(policy->instance, &seen, err);
    if (r < 0)
        return r;
    bool off = net_sysctl_first("ipv4/ip_forward") != '1';
    struct host_policy p = *policy;
    p.forward_alone = !seen.forwards && (off || seen.alone);
    r = put_table(&p, err);
    if (r == 0 && off)
        r = net_sysctl_set("ipv4/ip_forward", "1", err);
    for (unsigned i = 0; r == 0 && i < LOOKS_MAX; i++) {
        r = beside_apply(policy->instance, &seen, told, user, err);
        if (r == 0)
            break;
        r = r == -EAGAIN ? 0 : r;
    }
    if (r < 0)
        return r;
    *ret = (struct host_net){.instance = p.instance, .alone = p.forward_alone};
    *ret_changes = (struct host_net_changes){.forwarding_on = off};
    return 0;
}

int host_net_check(struct host_net *net, struct host_net_changes *ret_changes, beside_told *told,
                   void *user, struct err *err)
{
    struct beside seen;
    int r = beside_apply(net->instance, &seen, told, user, err);
    *ret_changes = (struct host_net_changes){0};
    if (r < 0 || !net->alone || !seen.forwards)
        return r;
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    (void)nft_host_others_remove(&text, net->instance);
    r = seen.alone ? nft_run(&text, err) : 0;
    if (r == 0) {
        net->alone = false;
        ret_changes->others_again = true;
    }
    return r;
}

int host_net_close(const struct host_net *net, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    struct beside seen;
    int r = look(net->instance, &seen, err);
    if (r == 0 && net->alone && !seen.forwards && !seen.ours)
        r = net_sysctl_set("ipv4/ip_forward", "0", err);
    int removed = beside_remove(net->instance, r == 0 ? err : NULL);
    (void)nft_host_remove(&text, net->instance);
    int gone = nft_run(&text, r == 0 && removed == 0 ? err : NULL);
    return r < 0 ? r : removed < 0 ? removed : gone;
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
