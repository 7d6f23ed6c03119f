/* Fuzzes rfc3339_parse: every accepted time is formatted and parsed back to the same nanosecond. */
// deps: base
#include "base/clock.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t at = -1, again = 0;
    int r = rfc3339_parse(slice_of((const char *)data, size), &at);
    if (r < 0) {
        assert(r == -EINVAL && at == -1);
        return 0;
    }
    char text[RFC3339_BYTES];
    rfc3339_format(at, text);
    assert(strlen(text) >= 20 && strlen(text) <= 30);
    r = rfc3339_parse(slice_str(text), &again);
    assert(r == 0 && again == at);
    return 0;
}
