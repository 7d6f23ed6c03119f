/* Members of filesystem requests. Nothing here looks at files, so that it can be fuzzed alone. */
#include "base/num.h"
#include "envd/fs_rpc.h"

#include <errno.h>

int fs_read_path(const struct json_ref *body, const char *key, const char *home,
                 const char *workdir, char ret[static ENVD_PATH_MAX + 1], struct err *err)
{
    const char *given = "";
    int r = json_get_str(body, key, JSON_OPTIONAL, &given, err);
    if (r >= 0)
        r = path_resolve(given, home, workdir, ret, err);
    if (r < 0)
        (void)err_code(err, RPC_INVALID_ARGUMENT);
    return r < 0 ? r : 0;
}

int fs_read_depth(const struct json_ref *body, uint32_t *ret, struct err *err)
{
    struct json_ref ref;
    int64_t v = 0;
    int r = json_get_any(body, "depth", JSON_OPTIONAL, &ref, err);
    if (r > 0 && json_is_string(ref.v))
        r = parse_u32(slice_str(json_string_value(ref.v)), UINT32_MAX, ret) < 0
                ? json_refuse(&ref, err, "must be a whole number")
                : 0;
    else if (r > 0 && (r = json_get_i64(body, "depth", JSON_OPTIONAL, 0, UINT32_MAX, &v, err)) > 0)
        *ret = (uint32_t)v;
    if (r < 0)
        (void)err_code(err, RPC_INVALID_ARGUMENT);
    return r < 0 ? r : 0;
}
