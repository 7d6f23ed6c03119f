/*
 * Fuzzes what the edge makes of a request head: a target is either refused or has an id that is
 * safe to look up and print; nothing that is ours or belongs to one hop passes to the guest.
 */
// deps: edge http json base uv
#include "base/cleanup.h"
#include "edge/answer.h"
#include "edge/border.h"
#include "edge/headers.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_headers(const struct http_head *head, const struct edge_target *t)
{
    static const char *const never[] = {"X-Silica-Control", "Transfer-Encoding", "Content-Length",
                                        "Connection",       "X-Forwarded-For",   "Expect"};
    static struct edge_headers h;
    size_t hosts = 0;
    edge_headers_request(head, t->host, (struct slice){0}, &h);
    for (size_t i = 0; i < h.n; i++) {
        for (size_t k = 0; k < ARRAY_LEN(never); k++)
            assert(!slice_ieq_str(h.h[i].name, never[k]));
        hosts += slice_ieq_str(h.h[i].name, "Host");
        assert(http_header_valid(h.h[i].name, h.h[i].value));
    }
    assert(hosts == 1);
}

static void check_border(struct slice data)
{
    struct border whole = {0}, pieces = {0};
    border_feed(&whole, data);
    for (size_t i = 0; i < data.n; i++)
        border_feed(&pieces, slice_sub(data, i, 1));
    assert(whole.n_prefix == pieces.n_prefix && whole.remaining == pieces.remaining);
    assert(whole.ended == pieces.ended && border_open(&whole) == border_open(&pieces));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head head;
    struct slice in = slice_of((const char *)data, size);
    size_t used;
    check_border(in);
    if (http_head_parse_request(in, &head, &used, NULL) < 0)
        return 0;
    struct edge_target t = {0};
    bool wanted = edge_target_wanted(&head, "box.test:80");
    enum edge_target_error e = edge_target_parse(&head, "box.test:80", &t);
    assert(edge_target_error_text(e) != NULL);
    (void)edge_wants_page(&head);
    if (e != EDGE_TARGET_OK)
        return 0;
    assert(wanted && t.path.n > 0 && t.path.p[0] == '/');
    assert(t.id[0] != '\0' && strspn(t.id, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(t.id));
    (void)edge_path_reserved(t.path);
    check_headers(&head, &t);
    return 0;
}
