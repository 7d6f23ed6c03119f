/* What qmp.c (the connection), qmp_calls.c (what was asked) and qmp_parse.c (one line) share. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "sandbox/microvm/qmp.h"

enum qmp_line_kind { QMP_LINE_GREETING, QMP_LINE_EVENT, QMP_LINE_RETURN, QMP_LINE_ERROR };

/* One line of QEMU, checked. Must not be moved: `value` points into it. */
struct qmp_line {
    enum qmp_line_kind kind;
    json_t *root;           /* owned */
    struct json_ref top;    /* root */
    struct json_ref value;  /* of QMP_LINE_RETURN */
    int64_t id;             /* of QMP_LINE_RETURN and QMP_LINE_ERROR; positive */
    struct qmp_event event; /* of QMP_LINE_EVENT */
    struct err refusal;     /* of QMP_LINE_ERROR: QEMU's words, made printable */
};

/*
 * Read one line without its '\n'. `line` may be what it likes before; on success the caller calls
 * qmp_line_done(). Returns 0, -EBADMSG (no QMP) or -EMSGSIZE (too long for what it is); the message is
 * printable ASCII.
 */
int qmp_line_parse(struct slice text, struct qmp_line *line, struct err *err);
void qmp_line_done(struct qmp_line *line);

/* The connection; see qmp.c. */
enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_ENDED };

struct call {
    struct list node;
    uint64_t id;
    uint64_t until_ms; /* of uv_now() */
    unsigned limit_ms;
    bool sent; /* it is the one that is answered next */
    char command[QMP_COMMAND_BYTES];
    struct buf text; /* what is left to send of it */
    struct err why;  /* it was refused */
    void (*done)(void *user, const struct json_ref *ret, const struct err *err);
    void *user;
};

struct qmp {
    uv_loop_t *loop;
    int fd; /* owned */
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles; /* open; the last one to close frees */
    int events;       /* what poll is started with; 0: stopped */
    enum qmp_state state;
    bool closing;  /* qmp_close() was called */
    bool in_turn;  /* lines are being looked at */
    bool out_dead; /* QEMU takes no more; what it sent before it went is still read */
    bool late;     /* a deadline has passed once */
    bool told;     /* on_end was called */
    struct buf in;
    size_t looked_at; /* of in: bytes without a '\n' */
    uint64_t ready_by_ms;
    uint64_t window_ms; /* begin of the second in which n_events came */
    unsigned n_events;
    uint64_t next_id;
    struct list calls, refused;
    enum qmp_end how;
    struct err why;
    struct qmp_events cb;
    void *user;
};

/* The loop's milliseconds, taken now: the caller may have worked for long in this turn. */
uint64_t qmp_now_ms(struct qmp *q);

/* In no list yet, and without text. Numbered from 1. */
struct call *qmp_call_new(struct qmp *q, const char *command, unsigned limit_ms);
/* Write its text. Returns 0, -ENOBUFS (QMP_CALL_MAX_BYTES), -ENOMEM. */
int qmp_call_put(struct call *c, const char *arguments);
/* Check and write a call of the user's. Returns 0, or sets `why` in it and returns negative. */
int qmp_call_fill(const struct qmp *q, struct call *c, const char *command, const char *arguments);

/* NULL when there is none. */
struct call *qmp_call_first(const struct list *calls);
struct call *qmp_call_awaited(const struct qmp *q); /* the one that was sent */
struct call *qmp_call_overdue(const struct qmp *q); /* the one whose time is over first */

/* Calls back and frees. */
void qmp_call_finish(struct call *c, const struct json_ref *ret, const struct err *err);
/* Those that are refused meanwhile, by a callback that tries again, are for the next turn. */
void qmp_calls_tell_refused(struct qmp *q);
/* Without a callback. */
void qmp_calls_drop(struct list *calls);
