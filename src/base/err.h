/*
 * The one error idiom of the tree.
 *
 * A function that can fail returns 0 (or a count) on success and a negative errno on failure.
 * Where a person will read the failure, it takes `struct err *err` last: caller's memory, fixed
 * size, nothing to free, usable when memory is gone. NULL is allowed everywhere.
 *
 * On success `err` is untouched; on failure it is set and no ret_ parameter is.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>

/* What went wrong, from the point of view of who has to act on it. */
enum err_kind {
    ERR_INTERNAL,    /* a defect or an unexpected refusal of the system */
    ERR_INVALID,     /* the caller's input is wrong; the message names the field */
    ERR_NOT_FOUND,   /* no such object */
    ERR_CONFLICT,    /* the object's present state forbids it */
    ERR_LIMIT,       /* a named limit was reached */
    ERR_DENIED,      /* credentials missing or not sufficient */
    ERR_UNAVAILABLE, /* try again later */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_KIND_MAX_
};

enum { ERR_MSG_BYTES = 256, ERR_CODE_BYTES = 48 };

struct err {
    int num; /* negative errno */
    enum err_kind kind;
    char code[ERR_CODE_BYTES]; /* short stable string for the API, "" when none */
    char msg[ERR_MSG_BYTES];   /* one sentence, printable UTF-8, cut between characters */
};

/*
 * Set `err` and return `num`, so that failing is one statement:
 *     return err_set(err, -ENOENT, ERR_NOT_FOUND, "no sandbox '%s'", id);
 * `num` must be negative. `err` may be NULL.
 */
int err_set(struct err *err, int num, enum err_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int err_vset(struct err *err, int num, enum err_kind kind, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

/* As err_set for a failed system call: appends ": <text of errno>" and picks a kind by errno. */
int err_sys(struct err *err, int num, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prefix context to a set error ("start sandbox 'x': ..."). Returns err->num, or -EIO for NULL. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Attach the stable code string. Returns err->num, or -EIO for NULL. */
int err_code(struct err *err, const char *code);

/* "invalid", "not_found", ... never NULL. */
const char *err_kind_name(enum err_kind kind);

/* The kind that a bare negative errno maps to. */
enum err_kind err_kind_of_errno(int num);

/* clang's analyzer follows no call into err.c: it is told that these fail. */
#if defined(__clang_analyzer__) && !defined(ERR_NO_ANALYZER_MACROS)
#define err_set(...)  ((void)err_set(__VA_ARGS__), -EIO)
#define err_sys(...)  ((void)err_sys(__VA_ARGS__), -EIO)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), -EIO)
#define err_code(...) ((void)err_code(__VA_ARGS__), -EIO)
#endif
