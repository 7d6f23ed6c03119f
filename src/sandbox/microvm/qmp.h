/*
 * QMP, the control protocol of QEMU 7.2, spoken to one QEMU over its unix socket.
 *
 * QEMU may have been taken over by its guest, so what it sends is a stranger's: every line is bounded
 * and read strictly, events are counted, an answer that nobody waits for ends the connection. What it
 * can still do is lie, in answers and in events. Nothing here believes it, and neither may the user.
 *
 * Life: qmp_open(), then on_ready, then answers and events, then on_end at most once, then qmp_close().
 * All calls and callbacks run on the loop's thread; no callback from inside a call. qmp_close() may be
 * called at any time, also in a callback.
 *
 * Memory for one connection: a line and what JSON makes of it for the time of a callback (5 MB at
 * worst), and the calls that wait (QMP_CALLS_MAX of QMP_CALL_MAX_BYTES).
 */
#pragma once

#include "base/err.h"
#include "json/json.h"

#include <uv.h>

enum {
    QMP_LINE_MAX_BYTES = 65536, /* without its '\n' */
    QMP_EVENT_MAX_BYTES = 4096, /* a line that is no answer: the known events have some 300 bytes */
    QMP_EVENTS_PER_S = 64,      /* QEMU holds most kinds back to one a second by itself */
    QMP_GREETING_MS = 10000,    /* from the opening until on_ready */
    QMP_CALLS_MAX = 16,         /* that wait for an answer */
    QMP_CALL_MAX_BYTES = 16384, /* one command with its arguments */
    QMP_CALL_MS = 10000,        /* the deadline of a call that names none */
    QMP_COMMAND_BYTES = 64,
    QMP_NAME_BYTES = 64,
};

struct qmp;

enum qmp_end {
    QMP_END_CLOSED,   /* QEMU closed the connection: it quit, died, or was killed */
    QMP_END_PROTOCOL, /* it sent what is no QMP, or an answer out of turn */
    QMP_END_FLOOD,    /* more than QMP_EVENTS_PER_S */
    QMP_END_DEADLINE, /* no greeting, or no answer to a call, in time */
    QMP_END_SYSTEM,   /* a failure on our side: memory */
};

enum qmp_event_kind {
    QMP_EVENT_OTHER, /* see name */
    QMP_EVENT_STOP,
    QMP_EVENT_RESUME,
    QMP_EVENT_SHUTDOWN,       /* guest, reason */
    QMP_EVENT_RESET,          /* guest, reason */
    QMP_EVENT_GUEST_PANICKED, /* stopped: QEMU says that it paused the guest */
    QMP_EVENT_MIGRATION,      /* migration; only with the migration capability "events" */
    QMP_EVENT_WATCHDOG,
    QMP_EVENT_BLOCK_IO_ERROR, /* device, no_space, stopped */
    QMP_EVENT_MAX_
};

enum qmp_reason {
    QMP_REASON_OTHER,
    QMP_REASON_HOST_ERROR,
    QMP_REASON_HOST_QMP_QUIT,
    QMP_REASON_HOST_QMP_RESET,
    QMP_REASON_HOST_SIGNAL,
    QMP_REASON_HOST_UI,
    QMP_REASON_GUEST_SHUTDOWN,
    QMP_REASON_GUEST_RESET,
    QMP_REASON_GUEST_PANIC,
    QMP_REASON_MAX_
};

enum qmp_migration {
    QMP_MIGRATION_OTHER,
    QMP_MIGRATION_SETUP,
    QMP_MIGRATION_ACTIVE,
    QMP_MIGRATION_COMPLETED,
    QMP_MIGRATION_FAILED,
    QMP_MIGRATION_CANCELLED,
    QMP_MIGRATION_MAX_
};

/* Members that are not named at the kind are zero. Strings are printable ASCII, cut at their size. */
struct qmp_event {
    enum qmp_event_kind kind;
    char name[QMP_NAME_BYTES]; /* QEMU's word for the kind, for logs */
    bool guest;                /* the guest caused it */
    enum qmp_reason reason;
    enum qmp_migration migration;
    char device[QMP_NAME_BYTES]; /* "" when it has no name */
    bool no_space;               /* the host's file system or disk is full */
    bool stopped;                /* QEMU stopped the guest for it */
};

struct qmp_events {
    /* The greeting was read and capabilities are settled. Calls made before are sent from now on. */
    void (*on_ready)(void *user);
    /* `ev` is valid during the call. May come before on_ready, not before the greeting. */
    void (*on_event)(void *user, const struct qmp_event *ev);
    /* The connection is over, by itself; all calls made so far were answered with `why`. */
    void (*on_end)(void *user, enum qmp_end how, const struct err *why);
};

/*
 * Connect to QEMU's monitor and wait for its greeting, until QMP_GREETING_MS. The struct of callbacks
 * is copied; any of them may be NULL. QEMU serves one connection at a time: a second one waits for its
 * greeting in vain.
 *
 * Returns 0; -ENAMETOOLONG; -ENOENT or -ECONNREFUSED when nobody listens (yet), -EAGAIN when too many
 * wait for being accepted; other errors of the system. What goes wrong later comes by on_end.
 */
int qmp_open(uv_loop_t *loop, const char *unix_socket_path, const struct qmp_events *ev, void *user,
             struct qmp **ret, struct err *err);

/* The same on a connected unix stream socket, which is taken over on success and made non-blocking. */
int qmp_open_fd(uv_loop_t *loop, int fd, const struct qmp_events *ev, void *user, struct qmp **ret,
                struct err *err);

/*
 * Ask QEMU for `command`. `arguments_json` is a JSON object, NULL for none; both are copied. Calls are
 * sent in the order they are made, one at a time.
 *
 * done is called once from the loop, unless qmp_close() comes first. On success `ret` is the value of
 * "return", of any type but null, valid during the call, and err is NULL. On failure ret is NULL and
 * err says why: QEMU's refusal (-EIO, -ENOENT, -ENOSYS, -EBUSY), the end of the connection (its `why`;
 * calls that are made after it: -EPIPE), -ENOBUFS (ERR_LIMIT) with QMP_CALLS_MAX waiting already,
 * -EINVAL for a name or arguments that are none or too long.
 *
 * deadline_ms counts from the call, so what waits before it counts too; 0 is QMP_CALL_MS. A missed
 * deadline fails the call with -ETIMEDOUT (ERR_TIMEOUT) and ends the connection: what would come then
 * could not be told from the answer to the next call. `done` may be NULL.
 */
void qmp_call(struct qmp *q, const char *command, const char *arguments_json, unsigned deadline_ms,
              void (*done)(void *user, const struct json_ref *ret, const struct err *err),
              void *user);

/* No callback comes any more: calls under way are dropped unanswered. NULL is fine. */
void qmp_close(struct qmp *q);
