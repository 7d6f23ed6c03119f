#define ERR_NO_ANALYZER_MACROS
#include "base/err.h"

#include "base/slice.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
    [ERR_INTERNAL] = "internal",       [ERR_INVALID] = "invalid", [ERR_NOT_FOUND] = "not_found",
    [ERR_CONFLICT] = "conflict",       [ERR_LIMIT] = "limit",     [ERR_DENIED] = "denied",
    [ERR_UNAVAILABLE] = "unavailable", [ERR_TIMEOUT] = "timeout",
};
static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == ERR_KIND_MAX_, "a kind has no name");

const char *err_kind_name(enum err_kind kind)
{
    return (unsigned)kind < ERR_KIND_MAX_ ? kind_names[kind] : "internal";
}

enum err_kind err_kind_of_errno(int num)
{
    switch (-num) {
    case EINVAL:
    case EBADMSG:
    case EMSGSIZE:
    case ENAMETOOLONG:
    case E2BIG:
        return ERR_INVALID;
    case ENOENT:
    case ESRCH:
        return ERR_NOT_FOUND;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY:
        return ERR_CONFLICT;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
        return ERR_LIMIT;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

/*
 * Messages quote foreign text and are cut at a fixed size, and they go into JSON and log lines: what
 * is no printable character (a control, half a character, bytes that are not UTF-8) becomes '?'.
 */
static void make_printable(char *s)
{
    for (size_t len; *s != '\0'; s += len) {
        len = slice_utf8_len(slice_of(s, strnlen(s, 4)));
        if (len == 0 || (unsigned char)*s < 0x20 || *s == 0x7f) {
            *s = '?';
            len = 1;
        }
    }
}

int err_vset(struct err *err, int num, enum err_kind kind, const char *fmt, va_list ap)
{
    assert(num < 0);
    if (err == NULL)
        return num;
    err->num = num;
    err->kind = kind;
    err->code[0] = '\0';
    char text[ERR_MSG_BYTES + 4]; /* room for the whole of the character at the border */
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
        text[0] = '\0';
    make_printable(text);
    struct slice cut = slice_utf8_cut(slice_str(text), sizeof(err->msg) - 1);
    memcpy(err->msg, cut.p, cut.n);
    err->msg[cut.n] = '\0';
    return num;
}

int err_set(struct err *err, int num, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(err, num, kind, fmt, ap);
    va_end(ap);
    return num;
}

int err_sys(struct err *err, int num, const char *fmt, ...)
{
    char what[ERR_MSG_BYTES], text[64];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(what, sizeof(what), fmt, ap) < 0)
        what[0] = '\0';
    va_end(ap);
    const char *msg = strerror_r(-num, text, sizeof(text));
    return err_set(err, num, err_kind_of_errno(num), "%s: %s", what, msg);
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    if (err == NULL)
        return -EIO;
    struct err old = *err;
    char what[ERR_MSG_BYTES];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(what, sizeof(what), fmt, ap) < 0)
        what[0] = '\0';
    va_end(ap);
    err_set(err, old.num, old.kind, "%s: %s", what, old.msg);
    memcpy(err->code, old.code, sizeof(err->code));
    return old.num;
}

int err_code(struct err *err, const char *code)
{
    if (err == NULL)
        return -EIO;
    snprintf(err->code, sizeof(err->code), "%s", code);
    return err->num;
}
