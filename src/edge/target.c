/*
 * Finding the sandbox.
 *
 * Two forms. A host name "<port>-<id>[-<old client id>].<any domain>" says everything and wins.
 * Otherwise the headers E2b-Sandbox-Id and E2b-Sandbox-Port decide, on any host name: the SDKs send
 * them always, and with one URL for all sandboxes there is nothing else to go by.
 *
 * A host name is taken for the first form when its first label begins with digits and a dash, or,
 * below our own domain, when its second part is a sandbox id (so that a bad port is answered as one).
 * An API name such as "my-api.example.org" stays with the API.
 */
#include "edge/target.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/ids.h"
#include "base/num.h"
#include "http/url.h"

#include <assert.h>

static struct slice host_name(struct slice authority)
{
    struct slice host;
    uint16_t port;
    if (url_split_host(authority, &host, &port) < 0)
        return (struct slice){0};
    return host;
}

static struct slice effective_host(const struct http_head *head, const struct url_target *t)
{
    return t != NULL && t->authority.n > 0 ? t->authority : http_head_get(head, "Host");
}

static bool all_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

/* Splits the first label at its dashes: part 0, part 1, the rest ignored. False without a dash. */
static bool split_label(struct slice host, struct slice *ret_port, struct slice *ret_id)
{
    size_t dot = slice_find(host, '.');
    struct slice label = slice_sub(host, 0, dot);
    size_t dash = slice_find(label, '-');
    if (dot == host.n || dash == label.n)
        return false;
    *ret_port = slice_sub(label, 0, dash);
    *ret_id = slice_from(label, dash + 1);
    ret_id->n = slice_find(*ret_id, '-');
    return true;
}

static bool is_below(struct slice host, struct slice domain)
{
    if (domain.n == 0 || host.n <= domain.n + 1)
        return false;
    size_t from = host.n - domain.n;
    return host.p[from - 1] == '.' && slice_ieq(slice_from(host, from), domain);
}

static bool has_host_form(struct slice host, const char *domain)
{
    struct slice port, id;
    char text[SANDBOX_ID_LEN + 1];
    if (!split_label(host, &port, &id))
        return false;
    if (all_digits(port))
        return true;
    return is_below(host, host_name(slice_str(domain))) &&
           slice_copy(id, text, sizeof(text)) == 0 && id_is_sandbox(text);
}

bool edge_target_wanted(const struct http_head *head, const char *domain)
{
    struct url_target t = {0};
    bool parsed = url_parse_target(head->target, &t) == 0;
    if (has_host_form(host_name(effective_host(head, parsed ? &t : NULL)), domain))
        return true;
    return http_head_get(head, "E2b-Sandbox-Id").n > 0 ||
           http_head_get(head, "E2b-Sandbox-Port").n > 0;
}

static bool copy_id(struct slice id, char dst[static EDGE_ID_MAX_BYTES])
{
    for (size_t i = 0; i < id.n; i++)
        if (!((id.p[i] >= 'a' && id.p[i] <= 'z') || (id.p[i] >= '0' && id.p[i] <= '9')))
            return false;
    return id.n > 0 && slice_copy(id, dst, EDGE_ID_MAX_BYTES) == 0;
}

static enum edge_target_error take(struct slice port, struct slice id, struct edge_target *ret)
{
    if (parse_u32(port, UINT32_MAX, &ret->port) < 0)
        return EDGE_TARGET_BAD_PORT;
    return copy_id(id, ret->id) ? EDGE_TARGET_OK : EDGE_TARGET_BAD_ID;
}

static struct slice query_of(struct slice target)
{
    return slice_from(target, slice_find(target, '?'));
}

enum edge_target_error edge_target_parse(const struct http_head *head, const char *domain,
                                         struct edge_target *ret)
{
    struct url_target url;
    struct slice port, id;
    if (url_parse_target(head->target, &url) < 0)
        return EDGE_TARGET_BAD_REQUEST;
    *ret = (struct edge_target){
        .host = effective_host(head, &url), .path = url.path, .query = query_of(head->target)};
    struct slice host = host_name(ret->host);
    if (has_host_form(host, domain))
        return split_label(host, &port, &id) ? take(port, id, ret) : EDGE_TARGET_BAD_HOST;
    id = http_head_get(head, "E2b-Sandbox-Id");
    port = http_head_get(head, "E2b-Sandbox-Port");
    if (id.n == 0 && port.n == 0)
        return EDGE_TARGET_BAD_HOST;
    if (id.n == 0 || port.n == 0)
        return EDGE_TARGET_MISSING_HEADER;
    return take(port, id, ret);
}

const char *edge_target_error_text(enum edge_target_error e)
{
    static const char *const texts[] = {
        [EDGE_TARGET_OK] = "",
        [EDGE_TARGET_BAD_HOST] = "Invalid host",
        [EDGE_TARGET_BAD_PORT] = "Invalid sandbox port",
        [EDGE_TARGET_BAD_ID] = "Invalid sandbox ID",
        [EDGE_TARGET_MISSING_HEADER] = "missing header",
        [EDGE_TARGET_BAD_REQUEST] = "Invalid request target",
    };
    static_assert(ARRAY_LEN(texts) == EDGE_TARGET_MAX_, "each error has a text");
    return texts[e];
}

bool edge_path_reserved(struct slice path)
{
    static const char *const reserved[] = {"/collapse", "/freeze",   "/fsfreeze", "/fsthaw",
                                           "/init",     "/unfreeze", "/upgrade"};
    _cleanup_buf_ struct buf clean = BUF_INIT(HTTP_TARGET_MAX_BYTES);
    if (url_clean_path(&clean, path) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (slice_eq_str(buf_slice(&clean), reserved[i]))
            return true;
    return false;
}
