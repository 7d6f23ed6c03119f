#include "image/ref.h"

#include <errno.h>

static const char DEFAULT_TAG[] = "default";

enum { TAG_MAX = 128 };

/* As container registries have it: [A-Za-z0-9_][A-Za-z0-9_.-]*. */
static bool is_tag(struct slice s)
{
    if (s.n == 0 || s.n > TAG_MAX || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '.' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

int template_ref_parse(struct slice s, struct template_ref *ret)
{
    struct template_ref ref = {0};
    size_t colon = slice_find(s, ':');
    if (slice_copy(slice_sub(s, 0, colon), ref.name, sizeof(ref.name)) < 0 ||
        !id_is_alias(ref.name))
        return -EINVAL;
    struct slice tag = slice_from(s, colon + 1);
    if (colon < s.n && !is_tag(tag))
        return -EINVAL;
    if (colon < s.n && !slice_eq_str(tag, DEFAULT_TAG))
        return -ENOENT;
    ref.maybe_id = id_is_template(ref.name);
    *ret = ref;
    return 0;
}
