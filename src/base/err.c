#include "base/err.h"

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

/* A message cut in the middle of a UTF-8 character would make the JSON around it invalid. */
static void trim_partial_character(char *s)
{
    size_t n = strlen(s), back = 0;
    while (back < 4 && back < n && ((unsigned char)s[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back >= n)
        return;
    unsigned char lead = (unsigned char)s[n - 1 - back];
    size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (lead >= 0x80 && want != back)
        s[n - 1 - back] = '\0';
}

int err_vset(struct err *err, int num, enum err_kind kind, const char *fmt, va_list ap)
{
    assert(num < 0);
    if (err == NULL)
        return num;
    err->num = num;
    err->kind = kind;
    err->code[0] = '\0';
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    if (n < 0)
        err->msg[0] = '\0';
    else if ((size_t)n >= sizeof(err->msg))
        trim_partial_character(err->msg);
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
