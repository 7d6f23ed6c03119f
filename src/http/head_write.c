/*
 * Writing of heads: the mirror of the parser. Nothing that it would refuse is ever written, so a
 * value from outside cannot smuggle a line into a head.
 */
#include "http/head_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

bool http_is_framing_field(struct slice name)
{
    return slice_ieq_str(name, "connection") || slice_ieq_str(name, "content-length") ||
           slice_ieq_str(name, "transfer-encoding");
}

int http_put_header(struct buf *out, struct slice name, struct slice value)
{
    if (!http_header_valid(name, value))
        return -EINVAL;
    (void)buf_put_slice(out, name);
    (void)buf_put_str(out, ": ");
    (void)buf_put_slice(out, value);
    return buf_put_str(out, "\r\n");
}

int http_put_headers(struct buf *out, const struct http_header *headers, size_t n, bool allow_date)
{
    for (size_t i = 0; i < n; i++) {
        struct slice name = headers[i].name;
        if (http_is_framing_field(name) || (!allow_date && slice_ieq_str(name, "date")))
            return -EINVAL;
        int r = http_put_header(out, name, headers[i].value);
        if (r < 0)
            return r;
    }
    return 0;
}

int http_put_status_line(struct buf *out, unsigned status)
{
    return buf_printf(out, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
}

int http_put_length(struct buf *out, uint64_t length)
{
    (void)buf_put_str(out, "Content-Length: ");
    (void)buf_put_u64(out, length);
    return buf_put_str(out, "\r\n");
}

void http_date(char dst[static HTTP_DATE_BYTES])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(clock_wall_ns() / (int64_t)NS_PER_S);
    struct tm t = {0};
    (void)gmtime_r(&now, &t); /* fails only for years beyond int */
    (void)snprintf(dst, HTTP_DATE_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   days[(unsigned)t.tm_wday % 7], (unsigned)t.tm_mday % 100,
                   months[(unsigned)t.tm_mon % 12], ((unsigned)t.tm_year + 1900) % 10000,
                   (unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}
