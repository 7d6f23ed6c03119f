/* Fuzzes list queries and cursors: what a cursor says is what it was made from. */
// deps: api http json base jansson uv
#include "api/list.h"
#include "base/cleanup.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_cursor(const struct list_query *q)
{
    _cleanup_buf_ struct buf token = BUF_INIT(LIST_CURSOR_MAX_BYTES);
    int64_t ns = 0;
    char id[API_ID_MAX_BYTES];
    int r = list_cursor_put(&token, q->cursor_ns, q->cursor_id, q->ascending);
    assert(r == 0);
    r = list_cursor_parse(buf_slice(&token), q->ascending, &ns, id);
    assert(r == 0 && ns == q->cursor_ns && slice_eq(slice_str(id), slice_str(q->cursor_id)));
    r = list_cursor_parse(buf_slice(&token), !q->ascending, &ns, id);
    assert(r < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char key[] = "env", value[] = "prod";
    static struct kv metadata[] = {{key, value}};
    static const struct sandbox_info info = {.id = "i0",
                                             .template_id = "tttttttttttttttttttt",
                                             .alias = "base",
                                             .metadata = metadata,
                                             .n_metadata = 1};
    for (int v1 = 0; v1 < 2; v1++) {
        _cleanup_list_query_ struct list_query q = {0};
        struct err err = {0};
        int r = list_query_parse(slice_of((const char *)data, size), v1 == 1, &q, &err);
        if (r < 0) {
            assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
            continue;
        }
        assert(q.limit >= 1);
        (void)list_query_matches(&q, &info);
        if (q.has_cursor)
            check_cursor(&q);
    }
    return 0;
}
