#include "base/log.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_MAX_, "level without name");

static const char *log_program = "silica";
static enum log_level log_max = LOG_INFO;
static bool log_as_json;
static char log_sandbox[64];

void log_setup(const char *program, enum log_level max, bool json)
{
    log_program = program;
    log_max = max;
    log_as_json = json;
}

int log_level_parse(struct slice s, enum log_level *ret)
{
    for (unsigned i = 0; i < LOG_LEVEL_MAX_; i++)
        if (slice_eq_str(s, level_names[i])) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -EINVAL;
}

void log_context(const char *sandbox_id)
{
    struct slice id = slice_utf8_cut(slice_str(sandbox_id), sizeof(log_sandbox) - 1);
    (void)snprintf(log_sandbox, sizeof(log_sandbox), "%.*s", (int)id.n, id.n != 0 ? id.p : "");
}

bool log_allow(struct log_rate *rate, unsigned burst)
{
    unsigned long long now_s = clock_monotonic_ns() / NS_PER_S;
    if (rate->window_s != now_s) {
        rate->window_s = now_s;
        rate->count = 0;
    }
    return rate->count++ < burst;
}

const char *log_quote(struct slice s, char *dst, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    size_t k = 0;
    for (size_t i = 0; i < s.n && k + 5 < cap; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            dst[k++] = (char)c;
            continue;
        }
        dst[k++] = '\\';
        dst[k++] = 'x';
        dst[k++] = digits[c >> 4];
        dst[k++] = digits[c & 15];
    }
    if (cap > 0)
        dst[k] = '\0';
    return dst;
}

/*
 * The message for one line: controls become \u00XX, bytes that are not UTF-8 '?', and for JSON the
 * quote and the backslash are escaped. Cut between characters when dst is full.
 */
static void put_message(struct slice s, char *dst, size_t cap)
{
    size_t k = 0;
    while (s.n > 0 && k + 7 < cap) {
        unsigned char c = (unsigned char)s.p[0];
        size_t len = slice_utf8_len(s);
        if (len == 0)
            dst[k++] = '?';
        else if (c < 0x20 || c == 0x7f)
            k += (size_t)snprintf(dst + k, cap - k, "\\u%04x", c);
        else if (log_as_json && (c == '"' || c == '\\'))
            k += (size_t)snprintf(dst + k, cap - k, "\\%c", c);
        else
            k += (size_t)snprintf(dst + k, cap - k, "%.*s", (int)len, s.p);
        s = slice_from(s, len != 0 ? len : 1);
    }
    dst[k] = '\0';
}

/* A log line is one write(2), so that lines of several processes do not mix. */
static void emit(enum log_level level, const char *text)
{
    char at[RFC3339_BYTES], line[2048], msg[1200], box[400];
    rfc3339_format(clock_wall_ns() / 1000000 * 1000000, at);
    put_message(slice_str(text), msg, sizeof(msg));
    put_message(slice_str(log_sandbox), box, sizeof(box));
    int n;
    if (log_as_json)
        n = snprintf(line, sizeof(line),
                     "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%.64s\",\"sandbox\":\"%s\","
                     "\"message\":\"%s\"}\n",
                     at, level_names[level], log_program, box, msg);
    else
        n = snprintf(line, sizeof(line), "%s %.64s %s: %s%s%s\n", at, log_program,
                     level_names[level], msg, box[0] != '\0' ? " sandbox=" : "", box);
    if (n > 0 && (size_t)n < sizeof(line))            /* the parts' maximums make it fit */
        (void)!write(STDERR_FILENO, line, (size_t)n); /* nowhere to report a failing log */
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (level > log_max)
        return;
    int saved = errno;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(msg, sizeof(msg), fmt, ap) >= 0)
        emit(level, msg);
    va_end(ap);
    errno = saved;
}
