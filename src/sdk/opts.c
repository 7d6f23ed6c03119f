/*
 * Options structs across library versions: the rule of openat2(2). A caller built against an older
 * header passes a smaller struct (the missing tail is zero), one built against a newer header a
 * larger one, which is fine as long as it uses nothing that this library does not know.
 */
#include "sdk/sdk_internal.h"

enum { OPTS_MAX_BYTES = 4096 }; /* no options struct will ever be larger; catches garbage */

/* Ten digits are what Connect-Timeout-Ms may have. */
static const int64_t DURATION_MAX_MS = 9999999999;

silica_rc sdk_opts_copy(void *dst, size_t size, const void *src, const char *what,
                        silica_error *err)
{
    memset(dst, 0, size);
    if (src == NULL)
        return SILICA_OK;
    size_t given;
    memcpy(&given, src, sizeof(given));
    if (given < sizeof(size_t) || given > OPTS_MAX_BYTES)
        return sdk_fail(err, SILICA_E_INVALID, "%s.size is not set: use its macro", what);
    for (size_t i = size; i < given; i++) {
        if (((const unsigned char *)src)[i] != 0)
            return sdk_fail(err, SILICA_E_UNSUPPORTED,
                            "%s uses an option that this library version does not know", what);
    }
    memcpy(dst, src, given < size ? given : size);
    return SILICA_OK;
}

silica_rc sdk_duration(int64_t given, int64_t def, bool none, const char *what, int64_t *ret,
                       silica_error *err)
{
    if (given == 0)
        *ret = def;
    else if ((given == -1 && none) || (given > 0 && given <= DURATION_MAX_MS))
        *ret = given;
    else
        return sdk_fail(err, SILICA_E_INVALID, "%s is out of range", what);
    return SILICA_OK;
}
