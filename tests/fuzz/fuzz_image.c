/*
 * Fuzzes both readers of package sources and the parser of template references. What is rendered
 * must be read back to the same text, so that nothing in a host's file can add a line of its own.
 */
// deps: image json base
#include "base/cleanup.h"
#include "image/apt_sources.h"
#include "image/ref.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX_BYTES = 1 << 20 };

static struct apt_sources sources;

static void check_round_trip(void)
{
    _cleanup_buf_ struct buf first = BUF_INIT(OUT_MAX_BYTES), second = BUF_INIT(OUT_MAX_BYTES);
    size_t n = apt_sources_keep_debian(&sources, "bookworm");
    assert(n <= APT_SOURCES_MAX);
    assert(apt_sources_render(&sources, "/k/debian-archive-keyring.gpg", &first) == 0);
    sources.n = 0;
    assert(apt_sources_parse_list(buf_slice(&first), &sources, NULL) == 0);
    assert(apt_sources_keep_debian(&sources, "bookworm") == n);
    assert(apt_sources_render(&sources, "/other", &second) == 0);
    assert(slice_eq(buf_slice(&first), buf_slice(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct template_ref ref;
    struct err err = {0};
    sources.n = 0;
    if (apt_sources_parse_list(text, &sources, &err) < 0)
        assert(err.num < 0 && err.msg[0] != '\0');
    check_round_trip();
    sources.n = 0;
    if (apt_sources_parse_deb822(text, &sources, &err) < 0)
        assert(err.num < 0 && err.msg[0] != '\0');
    check_round_trip();
    if (template_ref_parse(text, &ref) == 0)
        assert(id_is_alias(ref.name) && (!ref.maybe_id || id_is_template(ref.name)));
    return 0;
}
