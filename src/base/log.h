/*
 * Logging for programs (mains and handlers). Library code does not log above debug.
 *
 * One line to stderr: text, or one JSON object. A context (request id, sandbox id) set on the
 * current work item is added to each line. User-controlled text is quoted by log_quote(). No
 * bodies, tokens or environment values, ever.
 */
#pragma once

#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_MAX_ };

/* Call once in main. `program` is borrowed for the life of the process. */
void log_setup(const char *program, enum log_level max, bool json);

/* "error", "warning", "info", "debug". Returns 0 or -EINVAL. */
int log_level_parse(struct slice s, enum log_level *ret);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Added to each line as sandbox="..." until changed; NULL clears. Copied, at most 63 bytes. */
void log_context(const char *sandbox_id);

/* True at most `burst` times a second for one static counter; use before what a peer can trigger. */
struct log_rate {
    unsigned long long window_s;
    unsigned count;
};
bool log_allow(struct log_rate *rate, unsigned burst);

/* Printable copy of foreign text for a log line: escapes, cut at cap. Returns dst. */
const char *log_quote(struct slice s, char *dst, size_t cap);

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)
