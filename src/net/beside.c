/*
 * Theory. A chain of another firewall is "closed" when its policy is drop or its last rule refuses
 * everything. A closed filter chain at the hooks input, forward or output gets our rules: before that
 * last rule, else at its end. They match our links' names and nothing else, in the few expressions
 * that iptables-nft can show (an interface, a counter, accept), else `iptables -L` would fail on a
 * table with them.
 *
 * A chain that has all of our rules is left alone, wherever they stand by now, and so is one that
 * became open: two that moved their rules to the end forever would never rest.
 *
 * Names come from the kernel's list. Only those of plain characters are put into a command's text;
 * other chains are reported and left.
 */
#include "net/beside.h"

#include "base/cleanup.h"
#include "base/slice.h"
#include "net/nfnl.h"
#include "net/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CHAINS_MAX = 64,     /* closed ones of others, more than any host has */
    NAME_MAX_BYTES = 64, /* longer names are left alone */
    HANDLES_MAX = 4,     /* our rules in one chain: two at most, unless somebody copied them */
    COMMENT_BYTES = 24,
};

struct chain {
    uint8_t family;
    uint32_t hook; /* enum nf_inet_hooks */
    bool policy_drop;
    char table[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
};

struct chains {
    unsigned instance;
    struct chain found[CHAINS_MAX];
    unsigned n;
    struct beside *seen;
};

struct rules {
    char comment[COMMENT_BYTES];
    uint64_t ours[HANDLES_MAX];
    unsigned n_ours;
    uint64_t last; /* handle of the last rule that is not ours */
    bool last_refuses;
};

static void comment_of(unsigned instance, char dst[static COMMENT_BYTES])
{
    (void)snprintf(dst, COMMENT_BYTES, "silica_%u", instance);
}

/* --- chains ------------------------------------------------------------------------------------ */

static bool is_plain(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        bool other = (*p >= '0' && *p <= '9') || *p == '-' || *p == '.';
        if (!letter && (!other || p == name))
            return false;
    }
    return name[0] != '\0';
}

/* Ours, or another instance's: told from the table's name. */
static bool is_silica(struct chains *c, const struct nfnl_item *item, const char *table,
                      const char *name)
{
    char own[COMMENT_BYTES];
    comment_of(c->instance, own);
    if (item->family != NFPROTO_INET || !slice_has_prefix(slice_str(table), "silica_"))
        return false;
    if (strcmp(table, own) != 0)
        c->seen->ours = true;
    else if (strcmp(name, "others") == 0)
        c->seen->alone = true;
    return true;
}

static void note(struct chains *c, uint8_t family, const char *table, const char *name,
                 uint32_t hook, bool policy_drop)
{
    if (c->n == CHAINS_MAX || !is_plain(table) || !is_plain(name))
        return;
    struct chain *to = &c->found[c->n++];
    *to = (struct chain){.family = family, .hook = hook, .policy_drop = policy_drop};
    (void)snprintf(to->table, sizeof(to->table), "%s", table); /* both fit: nfnl_text() */
    (void)snprintf(to->name, sizeof(to->name), "%s", name);
}

static void on_chain(void *user, const struct nfnl_item *item)
{
    struct chains *c = user;
    const struct nlattr *hook[NFNL_ATTRIBUTES_MAX];
    const char *table = nfnl_text(item->attr[NFTA_CHAIN_TABLE], NAME_MAX_BYTES);
    const char *name = nfnl_text(item->attr[NFTA_CHAIN_NAME], NAME_MAX_BYTES);
    const char *type = nfnl_text(item->attr[NFTA_CHAIN_TYPE], NAME_MAX_BYTES);
    uint32_t number, policy;
    nfnl_nested(item->attr[NFTA_CHAIN_HOOK], hook);
    if (table == NULL || name == NULL || is_silica(c, item, table, name) || type == NULL ||
        !nfnl_u32(hook[NFTA_HOOK_HOOKNUM], &number) ||
        (item->family != NFPROTO_INET && item->family != NFPROTO_IPV4))
        return;
    c->seen->forwards = c->seen->forwards || number == NF_INET_FORWARD ||
                        (number == NF_INET_POST_ROUTING && strcmp(type, "nat") == 0);
    bool drops = nfnl_u32(item->attr[NFTA_CHAIN_POLICY], &policy) && policy == NF_DROP;
    if (strcmp(type, "filter") == 0 &&
        (number == NF_INET_LOCAL_IN || number == NF_INET_FORWARD || number == NF_INET_LOCAL_OUT))
        note(c, item->family, table, name, number, drops);
}

static int list_chains(struct mnl_socket *nl, struct chains *c)
{
    struct nfnl_request q;
    nfnl_request(&q, NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, NLM_F_DUMP);
    return nfnl_dump(nl, &q, on_chain, c);
}

/* --- rules ------------------------------------------------------------------------------------- */

static bool expression_drops(const char *name, const struct nlattr *const *data)
{
    const struct nlattr *value[NFNL_ATTRIBUTES_MAX];
    uint32_t code;
    if (strcmp(name, "reject") == 0)
        return true;
    if (strcmp(name, "target") == 0) { /* of iptables */
        const char *target = nfnl_text(data[NFTA_TARGET_NAME], NAME_MAX_BYTES);
        return target != NULL && strcmp(target, "REJECT") == 0;
    }
    if (strcmp(name, "immediate") != 0)
        return false;
    nfnl_nested(data[NFTA_IMMEDIATE_DATA], value);
    nfnl_nested(value[NFTA_DATA_VERDICT], value);
    return nfnl_u32(value[NFTA_VERDICT_CODE], &code) && code == NF_DROP;
}

/* True for a rule that refuses whatever comes: nothing before its verdict that could match or not. */
static bool rule_refuses(const struct nlattr *expressions)
{
    const struct nlattr *element;
    if (expressions == NULL)
        return false;
    mnl_attr_for_each_nested(element, expressions)
    {
        const struct nlattr *parts[NFNL_ATTRIBUTES_MAX], *data[NFNL_ATTRIBUTES_MAX];
        nfnl_nested(element, parts);
        nfnl_nested(parts[NFTA_EXPR_DATA], data);
        const char *name = nfnl_text(parts[NFTA_EXPR_NAME], NAME_MAX_BYTES);
        if (name == NULL)
            return false;
        if (expression_drops(name, data))
            return true;
        if (strcmp(name, "counter") != 0 && strcmp(name, "log") != 0)
            return false;
    }
    return false;
}

/* nft and iptables-nft keep comments as type 0, length, text with its zero byte. */
static bool has_comment(const struct nlattr *data, const char *comment)
{
    if (data == NULL)
        return false;
    const unsigned char *p = mnl_attr_get_payload(data);
    size_t n = mnl_attr_get_payload_len(data), want = strlen(comment) + 1;
    return n >= 2 + want && p[0] == 0 && p[1] == want && memcmp(p + 2, comment, want) == 0;
}

static void on_rule(void *user, const struct nfnl_item *item)
{
    struct rules *r = user;
    uint64_t handle;
    if (!nfnl_u64(item->attr[NFTA_RULE_HANDLE], &handle))
        return;
    if (has_comment(item->attr[NFTA_RULE_USERDATA], r->comment)) {
        if (r->n_ours < HANDLES_MAX)
            r->ours[r->n_ours++] = handle;
        return;
    }
    r->last = handle;
    r->last_refuses = rule_refuses(item->attr[NFTA_RULE_EXPRESSIONS]);
}

static int list_rules(struct mnl_socket *nl, const struct chain *c, struct rules *r)
{
    struct nfnl_request q;
    nfnl_request(&q, NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE, c->family, NLM_F_DUMP);
    mnl_attr_put_strz(q.head, NFTA_RULE_TABLE, c->table);
    mnl_attr_put_strz(q.head, NFTA_RULE_CHAIN, c->name);
    return nfnl_dump(nl, &q, on_rule, r);
}

/* --- ours among theirs ------------------------------------------------------------------------- */

static const char *family_name(const struct chain *c)
{
    return c->family == NFPROTO_INET ? "inet" : "ip";
}

static unsigned rules_wanted(const struct chain *c)
{
    return c->hook == NF_INET_FORWARD ? 2 : 1;
}

static void put_rule(struct buf *out, const struct chain *c, const struct rules *r,
                     const char *direction, unsigned instance)
{
    (void)buf_printf(out, "%s rule %s %s %s ", r->last_refuses ? "insert" : "add", family_name(c),
                     c->table, c->name);
    if (r->last_refuses)
        (void)buf_printf(out, "position %" PRIu64 " ", r->last);
    (void)buf_printf(out, "%s \"sil%us*\" counter accept comment \"%s\"\n", direction, instance,
                     r->comment);
}

static void put_removal(struct buf *out, const struct chain *c, const struct rules *r)
{
    for (unsigned i = 0; i < r->n_ours; i++)
        (void)buf_printf(out, "delete rule %s %s %s handle %" PRIu64 "\n", family_name(c), c->table,
                         c->name, r->ours[i]);
}

static int apply_one(struct mnl_socket *nl, const struct chain *c, unsigned instance, bool *ret_put,
                     struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
    struct rules rules = {0};
    comment_of(instance, rules.comment);
    int r = list_rules(nl, c, &rules);
    *ret_put = false;
    if (r < 0)
        return err_sys(err, r == -EINTR || r == -ENOENT ? -EAGAIN : r, "list firewall rules");
    if ((!c->policy_drop && !rules.last_refuses) || rules.n_ours == rules_wanted(c))
        return 0;
    put_removal(&text, c, &rules);
    if (c->hook != NF_INET_LOCAL_OUT)
        put_rule(&text, c, &rules, "iifname", instance);
    if (c->hook != NF_INET_LOCAL_IN)
        put_rule(&text, c, &rules, "oifname", instance);
    r = nft_run(&text, err);
    *ret_put = r == 0;
    return r;
}

static int look(struct mnl_socket *nl, unsigned instance, struct chains *c, struct beside *seen,
                struct err *err)
{
    *seen = (struct beside){0};
    *c = (struct chains){.instance = instance, .seen = seen};
    int r = list_chains(nl, c);
    return r < 0 ? err_sys(err, r == -EINTR ? -EAGAIN : r, "list firewall chains") : 0;
}

int beside_look(unsigned instance, struct beside *ret, struct err *err)
{
    _cleanup_(nfnl_closep)
    struct mnl_socket *nl = NULL;
    struct chains c;
    int r = nfnl_open(&nl, err);
    return r == 0 ? look(nl, instance, &c, ret, err) : r;
}

int beside_apply(unsigned instance, struct beside *ret, beside_told *told, void *user,
                 struct err *err)
{
    _cleanup_(nfnl_closep)
    struct mnl_socket *nl = NULL;
    struct chains c;
    int r = nfnl_open(&nl, err);
    if (r == 0)
        r = look(nl, instance, &c, ret, err);
    for (unsigned i = 0; r == 0 && i < c.n; i++) {
        bool put;
        r = apply_one(nl, &c.found[i], instance, &put, err);
        if (put)
            told(user, family_name(&c.found[i]), c.found[i].table, c.found[i].name);
    }
    return r;
}

int beside_remove(unsigned instance, struct err *err)
{
    _cleanup_(nfnl_closep)
    struct mnl_socket *nl = NULL;
    struct beside seen;
    struct chains c;
    int r = nfnl_open(&nl, err);
    if (r == 0)
        r = look(nl, instance, &c, &seen, err);
    for (unsigned i = 0; r == 0 && i < c.n; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(NFT_TEXT_MAX_BYTES);
        struct rules rules = {0};
        comment_of(instance, rules.comment);
        r = list_rules(nl, &c.found[i], &rules);
        put_removal(&text, &c.found[i], &rules);
        if (r == 0 && rules.n_ours > 0)
            r = nft_run(&text, err);
        else if (r < 0)
            r = err_sys(err, r, "list firewall rules");
    }
    return r;
}

int beside_watch(int *ret_fd, struct err *err)
{
    _cleanup_close_ int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = 1u << (NFNLGRP_NFTABLES - 1)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_sys(err, -errno, "watch the host's firewall rules");
    *ret_fd = take_fd(&fd);
    return 0;
}

/* That there was something is all it says; lost ones (ENOBUFS) say the same. */
void beside_drain(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
        ;
}
