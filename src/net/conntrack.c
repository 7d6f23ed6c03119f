/*
 * The kernel removes tracked connections by their whole tuple only, so those of one address are listed
 * first. The list is filtered by the kernel where it can (5.8 and newer) and looked at again here.
 */
#include "net/conntrack.h"

#include "base/cleanup.h"
#include "net/nfnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

/* The kernel's bit for "the source address of the tuple counts", in no header of its own. */
enum { FILTER_IP_SRC = 1 << 0 };

struct forgetting {
    uint32_t addr;
    struct mnl_socket *nl; /* another than the list's */
};

static bool from_address(const struct nlattr *tuple, uint32_t addr)
{
    const struct nlattr *parts[NFNL_ATTRIBUTES_MAX];
    uint32_t source;
    nfnl_nested(tuple, parts);
    nfnl_nested(parts[CTA_TUPLE_IP], parts);
    return nfnl_u32(parts[CTA_IP_V4_SRC], &source) && source == addr;
}

/* Not waited for: one that is gone by itself meanwhile is no failure. */
static void forget(void *user, const struct nfnl_item *item)
{
    const struct forgetting *f = user;
    const struct nlattr *tuple = item->attr[CTA_TUPLE_ORIG];
    struct nfnl_request q;
    if (!from_address(tuple, f->addr))
        return;
    nfnl_request(&q, NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, AF_INET, 0);
    mnl_attr_put(q.head, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(tuple),
                 mnl_attr_get_payload(tuple));
    (void)mnl_socket_sendto(f->nl, q.head, q.head->nlmsg_len);
}

static void ask_for(struct nfnl_request *q, uint32_t addr)
{
    nfnl_request(q, NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, AF_INET, NLM_F_DUMP);
    struct nlattr *tuple = mnl_attr_nest_start(q->head, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(q->head, CTA_TUPLE_IP);
    mnl_attr_put_u32(q->head, CTA_IP_V4_SRC, htonl(addr));
    mnl_attr_nest_end(q->head, ip);
    mnl_attr_nest_end(q->head, tuple);
    struct nlattr *filter = mnl_attr_nest_start(q->head, CTA_FILTER);
    mnl_attr_put_u32(q->head, CTA_FILTER_ORIG_FLAGS, FILTER_IP_SRC);
    mnl_attr_put_u32(q->head, CTA_FILTER_REPLY_FLAGS, 0);
    mnl_attr_nest_end(q->head, filter);
}

int conntrack_forget(uint32_t addr, struct err *err)
{
    _cleanup_(nfnl_closep)
    struct mnl_socket *list = NULL;
    _cleanup_(nfnl_closep)
    struct mnl_socket *removal = NULL;
    struct nfnl_request q;
    int r = nfnl_open(&list, err);
    if (r == 0)
        r = nfnl_open(&removal, err);
    if (r < 0)
        return r;
    struct forgetting f = {.addr = addr, .nl = removal};
    ask_for(&q, addr);
    r = nfnl_dump(list, &q, forget, &f);
    return r < 0 ? err_sys(err, r, "forget the connections of a sandbox") : 0;
}
