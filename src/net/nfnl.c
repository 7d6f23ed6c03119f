#include "net/nfnl.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>

enum { ANSWER_MAX_BYTES = 32768 }; /* the kernel puts no more into one part of a list */

struct walk {
    void (*each)(void *user, const struct nfnl_item *item);
    void *user;
};

int nfnl_open(struct mnl_socket **ret, struct err *err)
{
    struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (nl == NULL || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
        int saved = -errno;
        nfnl_close(nl);
        return err_sys(err, saved, "open a packet filter socket");
    }
    *ret = nl;
    return 0;
}

void nfnl_close(struct mnl_socket *nl)
{
    if (nl != NULL)
        (void)mnl_socket_close(nl); /* nothing is lost with it */
}

void nfnl_closep(struct mnl_socket **nl)
{
    nfnl_close(*nl);
    *nl = NULL;
}

void nfnl_request(struct nfnl_request *q, unsigned subsystem, unsigned message, uint8_t family,
                  uint16_t flags)
{
    q->head = mnl_nlmsg_put_header(q->bytes);
    q->head->nlmsg_type = (uint16_t)(subsystem << 8 | message);
    q->head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    struct nfgenmsg *msg = mnl_nlmsg_put_extra_header(q->head, sizeof(*msg));
    msg->nfgen_family = family;
    msg->version = NFNETLINK_V0;
}

static int keep(const struct nlattr *attr, void *user)
{
    const struct nlattr **by_type = user;
    if (mnl_attr_get_type(attr) < NFNL_ATTRIBUTES_MAX)
        by_type[mnl_attr_get_type(attr)] = attr;
    return MNL_CB_OK;
}

static int on_message(const struct nlmsghdr *head, void *user)
{
    const struct walk *w = user;
    if (mnl_nlmsg_get_payload_len(head) < sizeof(struct nfgenmsg))
        return MNL_CB_OK;
    const struct nfgenmsg *msg = mnl_nlmsg_get_payload(head);
    struct nfnl_item item = {.family = msg->nfgen_family};
    (void)mnl_attr_parse(head, sizeof(*msg), keep, item.attr);
    w->each(w->user, &item);
    return MNL_CB_OK;
}

int nfnl_dump(struct mnl_socket *nl, const struct nfnl_request *q,
              void (*each)(void *user, const struct nfnl_item *item), void *user)
{
    char answer[ANSWER_MAX_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
    struct walk w = {.each = each, .user = user};
    if (mnl_socket_sendto(nl, q->head, q->head->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
        if (n < 0)
            return -errno;
        int r = mnl_cb_run(answer, (size_t)n, 0, mnl_socket_get_portid(nl), on_message, &w);
        if (r <= MNL_CB_STOP)
            return r < 0 ? -errno : 0;
    }
}

void nfnl_nested(const struct nlattr *nest, const struct nlattr *attr[static NFNL_ATTRIBUTES_MAX])
{
    for (unsigned i = 0; i < NFNL_ATTRIBUTES_MAX; i++)
        attr[i] = NULL;
    if (nest != NULL)
        (void)mnl_attr_parse_nested(nest, keep, attr);
}

const char *nfnl_text(const struct nlattr *attr, unsigned max)
{
    if (attr == NULL || mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ||
        mnl_attr_get_payload_len(attr) > max)
        return NULL;
    return mnl_attr_get_str(attr);
}

bool nfnl_u32(const struct nlattr *attr, uint32_t *ret)
{
    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(*ret))
        return false;
    *ret = ntohl(mnl_attr_get_u32(attr));
    return true;
}

bool nfnl_u64(const struct nlattr *attr, uint64_t *ret)
{
    if (attr == NULL || mnl_attr_get_payload_len(attr) != sizeof(*ret))
        return false;
    *ret = be64toh(mnl_attr_get_u64(attr));
    return true;
}
