/*
 * Processes that clients started, and the record of those that ended.
 *
 * States of a process:
 *   RUNNING   the direct child lives
 *   DRAINING  it has been reaped; its output pipes still have writers or unread bytes
 *   ENDED     out of the table, `end` was sent to all subscribers, its exit is retained
 *
 * Rule of the end. `end` is sent when the child was reaped and both pipes came to their end. A
 * background grandchild may hold a pipe for ever, so a draining process also ends when its pipes
 * were silent for PROCESS_GRACE_MS, or PROCESS_DRAIN_MAX_MS after the exit at the latest. Time in
 * which a slow subscriber keeps us from reading does not count as silence. After a KILL or TERM of
 * ours, or the time limit, only what is in the pipes is read and there is no grace. A pipe that
 * still has writers then is read on and thrown away (orphan), so that a background server does not
 * die of SIGPIPE because its starter ended.
 *
 * Back-pressure. While one subscriber's connection is over its high-water mark the pipes are not
 * read, so the process stops by itself; nothing is queued here. With no subscriber, output is read
 * and thrown away.
 *
 * The direct child is held by pid until we reap it ourselves, and signalled by pidfd. All on the
 * loop's thread.
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "envd/limits.h"
#include "envd/spawn.h"
#include "envd/status.h"
#include "json/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
    PROCESSES_MAX = 4096,
    PROCESS_SUBSCRIBERS_MAX = 64,
    PROCESS_RETAINED_MAX = 1024,
    PROCESS_RETAIN_MS = 30000,
    PROCESS_ORPHAN_PIPES_MAX = 512,
    PROCESS_GRACE_MS = 1000,
    PROCESS_DRAIN_MAX_MS = 30000,
    PROCESS_CUT_WAIT_MS = 3000, /* of a killed process for a subscriber that does not read */
    PROCESS_READ_BYTES = 32768, /* protocol: largest piece of one data event */
    PROCESS_STDIN_QUEUE_MAX_BYTES = 64 << 20, /* of all processes together */
    PROCESS_TAG_MAX = 1024,
};

struct process;
struct outlet;
struct unary;

struct process_table {
    uv_loop_t *loop;
    struct list live;     /* struct process */
    struct list retained; /* struct exit_record, oldest first */
    struct list orphans;  /* struct outlet without a process, oldest first */
    size_t n_live, n_retained, n_orphans;
    size_t stdin_bytes;          /* queued for all processes */
    const struct limits *limits; /* borrowed */
};

void process_table_init(struct process_table *t, uv_loop_t *loop, const struct limits *limits);

struct exit_record {
    struct list link;
    int pid;
    char *tag; /* owned; NULL: none */
    struct exit_status status;
    uint64_t ended_ms; /* loop time */
};

/* Names a process: exactly one of the two. */
struct selector {
    int pid;         /* when tag is NULL */
    const char *tag; /* borrowed */
};

struct process *process_find(const struct process_table *t, const struct selector *s);
const struct exit_record *process_find_exit(struct process_table *t, const struct selector *s);

/* What a subscriber hears. Neither call may unsubscribe or start anything. */
struct subscriber {
    struct list link;
    struct process *p; /* NULL after the end */
    bool blocked;
    /* One data event as JSON. -EAGAIN: taken, and the subscriber is now blocked. */
    int (*on_data)(struct subscriber *s, struct slice event_json);
    void (*on_end)(struct subscriber *s, const struct exit_status *status);
};

/*
 * Start a process. `config` (a reference is taken) is what List shows; `tag` may be NULL. With
 * `timeout_ms` the child is killed that long after. Sets *ret, which stays valid until on_end.
 */
int process_start(struct process_table *t, const struct spawn_opts *spawn, bool with_stdin,
                  json_t *config, const char *tag, uint64_t timeout_ms, struct process **ret,
                  struct err *err);

/* The process of an entry of table->live. */
struct process *process_of_link(struct list *link);
int process_pid(const struct process *p);
const char *process_tag(const struct process *p);
json_t *process_config(const struct process *p); /* borrowed */

/* -ENOBUFS: PROCESS_SUBSCRIBERS_MAX. */
int process_subscribe(struct process *p, struct subscriber *s);
void process_unsubscribe(struct subscriber *s); /* harmless when not subscribed */
void process_unblock(struct subscriber *s);     /* its connection has room again */

/* Signal the direct child. -ESRCH: it has ended. KILL and TERM end the waiting for pipes. */
int process_signal(struct process *p, int sig);

/*
 * Queue bytes for stdin; done(user, result) is called once: 0 when the pipe took them all, -EPIPE
 * when it never will. Returns 0; -EPIPE (no stdin, or closed): done is not called; -ENOBUFS;
 * -ENOMEM.
 */
int process_write(struct process *p, struct slice data, void (*done)(void *user, int result),
                  void *user);
/* Closes after what is queued. Harmless when there is none. */
void process_close_stdin(struct process *p);

/* Nobody can ask any more how what has ended ended; what lives is left alone. */
void process_forget_exits(struct process_table *t);

/* Reap all children that ended, ours and orphans given to PID 1. */
void process_reap(struct process_table *t);
