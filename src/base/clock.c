#include "base/clock.h"

#include "base/num.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* 1678-01-01T00:00:00Z and 2261-12-31T23:59:59Z: whole years whose nanoseconds fit an int64_t. */
#define WALL_MIN_S INT64_C(-9214560000)
#define WALL_MAX_S INT64_C(9214646399)

static struct timespec now(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts); /* cannot fail for these clocks */
    return ts;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec ts = now(CLOCK_MONOTONIC);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    struct timespec ts = now(CLOCK_REALTIME);
    return (int64_t)ts.tv_sec * (int64_t)NS_PER_S + ts.tv_nsec;
}

void rfc3339_format(int64_t wall_ns, char dst[static RFC3339_BYTES])
{
    int64_t sec = wall_ns / (int64_t)NS_PER_S, ns = wall_ns % (int64_t)NS_PER_S;
    if (ns < 0) {
        sec--;
        ns += (int64_t)NS_PER_S;
    }
    struct tm tm = {0};
    time_t t = (time_t)sec;
    (void)gmtime_r(&t, &tm); /* the whole int64 nanosecond range has four-digit years */
    size_t n = strftime(dst, RFC3339_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    long long frac = ns % 1000000 == 0 ? ns / 1000000 : ns % 1000 == 0 ? ns / 1000 : ns;
    if (ns == 0)
        (void)snprintf(dst + n, RFC3339_BYTES - n, "Z");
    else if (frac == ns)
        (void)snprintf(dst + n, RFC3339_BYTES - n, ".%09lldZ", frac);
    else if (frac == ns / 1000)
        (void)snprintf(dst + n, RFC3339_BYTES - n, ".%06lldZ", frac);
    else
        (void)snprintf(dst + n, RFC3339_BYTES - n, ".%03lldZ", frac);
}

/* n digits at *at, which moves behind them; the byte behind must be `sep` (0: none). */
static int take_digits(struct slice s, size_t *at, size_t n, char sep, unsigned max, unsigned *ret)
{
    uint32_t v;
    if (*at + n > s.n || parse_u32(slice_sub(s, *at, n), max, &v) < 0)
        return -EINVAL;
    *at += n;
    if (sep != 0 && (*at >= s.n || s.p[(*at)++] != sep))
        return -EINVAL;
    *ret = v;
    return 0;
}

static int take_fraction(struct slice s, size_t *at, int64_t *ret_ns)
{
    int64_t ns = 0, scale = 100000000;
    if (*at < s.n && s.p[*at] == '.') {
        size_t start = ++*at;
        for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at, scale /= 10)
            ns += scale * (s.p[*at] - '0');
        if (*at == start)
            return -EINVAL;
    }
    *ret_ns = ns;
    return 0;
}

static int take_offset(struct slice s, size_t *at, int *ret_minutes)
{
    if (*at >= s.n)
        return -EINVAL;
    char c = s.p[(*at)++];
    unsigned h = 0, m = 0;
    if (c == 'Z' || c == 'z') {
        *ret_minutes = 0;
        return 0;
    }
    if ((c != '+' && c != '-') || take_digits(s, at, 2, ':', 23, &h) < 0 ||
        take_digits(s, at, 2, 0, 59, &m) < 0)
        return -EINVAL;
    *ret_minutes = (c == '-' ? -1 : 1) * (int)(h * 60 + m);
    return 0;
}

static unsigned days_of_month(unsigned y, unsigned mo)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[mo - 1] + (mo == 2 && leap);
}

int rfc3339_parse(struct slice s, int64_t *ret_wall_ns)
{
    unsigned y, mo, d, h, mi, sec;
    size_t at = 0;
    int64_t ns;
    int offset;
    if (take_digits(s, &at, 4, '-', 9999, &y) < 0 || take_digits(s, &at, 2, '-', 12, &mo) < 0 ||
        take_digits(s, &at, 2, 0, 31, &d) < 0 || at >= s.n ||
        (s.p[at] != 'T' && s.p[at] != 't' && s.p[at] != ' '))
        return -EINVAL;
    at++;
    if (take_digits(s, &at, 2, ':', 23, &h) < 0 || take_digits(s, &at, 2, ':', 59, &mi) < 0 ||
        take_digits(s, &at, 2, 0, 60, &sec) < 0 || take_fraction(s, &at, &ns) < 0 ||
        take_offset(s, &at, &offset) < 0 || at != s.n || mo == 0 || d == 0 ||
        d > days_of_month(y, mo))
        return -EINVAL;
    struct tm tm = {.tm_year = (int)y - 1900,
                    .tm_mon = (int)mo - 1,
                    .tm_mday = (int)d,
                    .tm_hour = (int)h,
                    .tm_min = (int)mi,
                    .tm_sec = (int)sec};
    int64_t utc = (int64_t)timegm(&tm) - (int64_t)offset * 60;
    if (utc < WALL_MIN_S || utc > WALL_MAX_S)
        return -EINVAL;
    *ret_wall_ns = utc * (int64_t)NS_PER_S + ns;
    return 0;
}
