/*
 * Fuzzes the create body. First byte: bit 0 strict fields. What is taken must be fit to be acted on:
 * a template, a timeout in range, a mask host and a network object that can be shown again, and an
 * ignored-fields text that is a valid header value.
 */
// deps: api http json base jansson uv
#include "api/create_parse.h"
#include "base/log.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_taken(const struct create_request *r)
{
    const struct sandbox_spec *s = &r->spec;
    assert(s->template != NULL && s->template[0] != '\0');
    assert(s->timeout_s > 0 && s->timeout_s <= 3600);
    assert(s->n_metadata <= CREATE_METADATA_MAX && s->n_envs <= CREATE_ENVS_MAX);
    for (size_t i = 0; i < s->n_envs; i++)
        assert(s->envs[i].key[0] != '\0' && strchr(s->envs[i].key, '=') == NULL);
    if (s->mask_host != NULL)
        assert(http_header_valid(SLICE_LIT("Host"), slice_str(s->mask_host)));
    if (s->network_json != NULL) {
        _cleanup_json_ json_t *doc = NULL;
        int parsed = json_parse(slice_str(s->network_json), &doc, NULL);
        assert(parsed == 0 && json_is_object(doc));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    log_setup("fuzz", LOG_ERROR, false);
    static const struct create_limits limits = {.default_timeout_s = 15, .max_timeout_s = 3600};
    _cleanup_buf_ struct buf ignored = BUF_INIT(API_IGNORED_MAX_BYTES);
    _cleanup_create_request_ struct create_request request = {0};
    struct api_fields fields = {&ignored, (data[0] & 1) != 0};
    struct err err = {0};
    int r = create_request_parse(slice_of((const char *)data + 1, size - 1), &limits, &fields,
                                 &request, &err);
    assert(ignored.error == 0);
    assert(http_header_valid(SLICE_LIT("X"), buf_slice(&ignored)));
    if (r == 0) {
        check_taken(&request);
        return 0;
    }
    assert(r < 0 && err.msg[0] != '\0');
    assert(api_error_status(&err) == 400);
    _cleanup_buf_ struct buf body = BUF_INIT(8192);
    int rendered = api_error_render(&err, &body);
    assert(rendered == 0);
    return 0;
}
