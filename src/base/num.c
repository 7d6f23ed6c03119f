#include "base/num.h"

#include "base/codec.h"

#include <errno.h>

static int parse_base(struct slice s, unsigned base, uint64_t max, uint64_t *ret)
{
    if (s.n == 0)
        return -EINVAL;
    uint64_t v = 0;
    bool over = false;
    for (size_t i = 0; i < s.n; i++) {
        int d = hex_digit(s.p[i]);
        if (d < 0 || d >= (int)base)
            return -EINVAL;
        over = over || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
               __builtin_add_overflow(v, (uint64_t)d, &v);
    }
    if (over || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_u64(struct slice s, uint64_t max, uint64_t *ret)
{
    return parse_base(s, 10, max, ret);
}

int parse_hex_u64(struct slice s, uint64_t max, uint64_t *ret)
{
    return parse_base(s, 16, max, ret);
}

int parse_u32(struct slice s, uint32_t max, uint32_t *ret)
{
    uint64_t v;
    int r = parse_base(s, 10, max, &v);
    if (r < 0)
        return r;
    *ret = (uint32_t)v;
    return 0;
}

int parse_i64(struct slice s, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t v;
    int r = parse_base(negative ? slice_from(s, 1) : s, 10, UINT64_MAX, &v);
    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -ERANGE;
    int64_t value = negative ? (int64_t)(0 - v) : (int64_t)v;
    if (value < min || value > max)
        return -ERANGE;
    *ret = value;
    return 0;
}
