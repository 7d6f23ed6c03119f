/*
 * What the files of the sandbox core share: the object, the manager, and the steps of a life.
 *
 * Theory. A sandbox is one heap object, found by id in the registry, that lives from the call of
 * create (or from the restart that found it) until all that belongs to it is gone.
 *
 *   state     visible  what may happen
 *   creating  no       row written, driver and /init at work; kill is noted and honoured at the
 *                      next step
 *   running   yes      get, list, set_timeout, links; ends by kill, expiry, exit of its init
 *   killing   no       links cut, undo stack being popped; a failing step is tried again
 *
 * Each step of a start pushes its reverse on the sandbox's undo stack *before* it acts, and each
 * reverse accepts that its step did not take place. Ending, for whatever reason, is popping all.
 * After a restart the stack is rebuilt from the row and from what the driver lists.
 *
 * Everything runs on the loop's thread, but for the store writes in write_queue.h. Strings of a
 * sandbox never change after it was made, so that a write job may read them on its thread.
 *
 * Time: life ends by the monotonic clock, so that a step of the wall clock neither kills nor
 * prolongs; the wall-clock end is what clients see and what a restart counts from.
 */
#pragma once

#include "base/buf.h"
#include "base/ids.h"
#include "sandbox/manager.h"
#include "sandbox/write_queue.h"
#include "store/events.h"
#include "store/sandboxes.h"

enum {
    SANDBOXES_MAX = SLOTS_PER_INSTANCE, /* one network slot each */
    REGISTRY_BUCKETS = 4096,
    METADATA_MAX_BYTES = 65536, /* as JSON */
    ENVS_MAX_BYTES = 262144,    /* as JSON */
    INIT_DEADLINE_MS = 10000,   /* all attempts at /init, or at /health after a restart */
    INIT_ATTEMPT_MS = 2500,
    INIT_RETRY_MS = 20,
    INIT_ANSWER_MAX_BYTES = 65536,
    TEARDOWN_RETRY_MS = 5000,
    EVENT_INTERVAL_MS = 10000, /* between two writes of the limits that one sandbox met */
};

enum undo { UNDO_ROW, UNDO_INSTANCE, UNDO_MAX_ };

/* Why a sandbox ends. Names are in the database and in events. */
enum end_cause {
    END_NONE,     /* it does not */
    END_START,    /* it never ran */
    END_REQUEST,  /* somebody asked for it */
    END_TIMEOUT,  /* its time was over */
    END_EXIT,     /* its init ended */
    END_LOST,     /* after a restart it was not there, or did not answer */
    END_SHUTDOWN, /* the server ended and took all with it */
    END_CAUSE_MAX_
};
const char *end_cause_name(enum end_cause cause);
enum end_cause end_cause_parse(const char *name); /* NULL and what is no name: END_NONE */

struct sandbox;
struct waiter; /* of a kill, see end.c */

/* The end of a life: the same instant on both clocks. */
struct life_end {
    int64_t wall_ns;
    uint64_t mono_ns;
};

struct sandbox {
    struct sandbox_manager *m;
    struct sandbox *next_in_bucket;
    struct list node; /* in m->running, or in no list */
    struct list links;

    enum sandbox_state state;
    int moving; /* the state that is being written, or -1 */

    /* Fixed at birth, all owned. */
    char id[SANDBOX_ID_LEN + 1];
    char template_id[TEMPLATE_ID_BYTES], build_id[EVENT_ID_BYTES];
    char *team, *alias, *mask_host, *network_json, *metadata_json, *driver;
    char envd_token[SANDBOX_SECRET_BYTES], control_secret[SANDBOX_SECRET_BYTES];
    char traffic_token[SANDBOX_SECRET_BYTES]; /* "" when public traffic is on */
    struct kv *metadata;
    size_t n_metadata;
    int internet;
    struct sandbox_limits limits;

    int64_t created_wall_ns, started_wall_ns;
    struct life_end end;     /* durable */
    struct life_end planned; /* the latest asked for, differs while a write is on its way */
    unsigned end_writes;     /* writes of `end` on their way; expiry waits for them */
    uint64_t lifecycle;
    struct driver_instance inst;

    uint32_t hits[SANDBOX_HITS]; /* how often it met a limit, by enum driver_event: totals */
    uint32_t told[SANDBOX_HITS]; /* the same as written, or on its way; see events.c */
    uint64_t tell_after_ns;      /* monotonic */

    enum undo undo[UNDO_MAX_];
    unsigned n_undo;

    /* The one thing that the manager's timer does next for this sandbox; 0: nothing. */
    uint64_t wake_mono_ns;
    void (*on_wake)(struct sandbox *sb);

    /* While creating, or being adopted. */
    sandbox_info_cb created; /* NULL when nobody waits */
    void *created_user;
    int64_t timeout_s;
    char *envs_json;                            /* secret; wiped once told to envd */
    uint64_t init_deadline_ns, init_sent_ns;    /* monotonic */
    unsigned clock_again;                       /* /init said again for the clock's sake */
    void (*inited)(struct sandbox *sb, int ok); /* what follows /init or /health */
    bool adopting;                              /* counted in m->adopting */
    bool listed;                                /* the driver has it */
    bool kill_asked;                            /* honoured at the next step of creation */
    bool exited;                                /* its init ended */
    struct err why;                             /* why it ends, when by failure; kind, text */
    enum end_cause end_cause;                   /* set once, when it begins to end */
    char end_text[SANDBOX_END_TEXT_BYTES];      /* for people; may be set before the cause */
    int64_t ended_wall_ns;
    struct waiter *waiters; /* owned */
};

struct sandbox_manager {
    struct sandbox_manager_opts o; /* templates_dir is ours */
    struct sandbox *buckets[REGISTRY_BUCKETS];
    unsigned n;          /* in the registry */
    struct list running; /* in order of (started, id) */
    struct write_queue writes;
    uv_timer_t timer; /* next wake of any sandbox */
    uv_timer_t soon;  /* runs what was put off by later() */
    uv_timer_t events_timer;
    bool telling;     /* limits that were met are being written */
    uint64_t told_ms; /* loop time of the last such write */
    uint64_t event_interval_ms;
    struct list laters;
    unsigned ops;      /* calls whose completion is to come: driver, envd, laters */
    unsigned adopting; /* sandboxes of the last life that are not sorted out yet */
    sandbox_done_cb ready;
    void *ready_user;
    struct err ready_err;
    bool listing;

    bool closing, end_all;
    unsigned open_handles;
    sandbox_done_cb closed;
    void *closed_user;
};

/* registry.c: every sandbox that exists, by id; and the running ones in order. */
struct sandbox *registry_find(struct sandbox_manager *m, const char *id);
void registry_add(struct sandbox *sb);
void registry_remove(struct sandbox *sb);
void registry_show(struct sandbox *sb); /* into m->running */
void registry_hide(struct sandbox *sb);
unsigned registry_count_team(const struct sandbox_manager *m, const char *team);
/* Calls f for each; f may remove the one it is given. */
void registry_each(struct sandbox_manager *m, void (*f)(struct sandbox *sb, void *user),
                   void *user);

/* object.c */
/* A fresh object in `state`, in no registry; NULL when memory is gone. */
struct sandbox *sandbox_new(struct sandbox_manager *m, const char *id, enum sandbox_state state);
void sandbox_free(struct sandbox *sb);
void sandbox_describe(const struct sandbox *sb, struct sandbox_info *ret);
struct sandbox_row sandbox_row_of(const struct sandbox *sb);
/* The object of a row; the metadata text is parsed. */
int sandbox_from_row(struct sandbox_manager *m, const struct sandbox_row *row, struct sandbox **ret,
                     struct err *err);
/* JSON object of strings from pairs; at most `max` bytes. `what` names the field in the error. */
int kv_to_json(const struct kv *kv, size_t n, const char *what, size_t max, char **ret,
               struct err *err);
int kv_copy(struct sandbox *sb, const struct kv *kv, size_t n);
struct life_end life_end_after(uint64_t ns);

/* state.c */
typedef void (*moved_fn)(struct sandbox *sb, const struct err *err);
bool sandbox_move_legal(enum sandbox_state from, enum sandbox_state to);
/* -1 for what is no name. */
int sandbox_state_parse(const char *name);
/*
 * The only place where a state changes: writes it, then changes it, then calls moved(sb, NULL). If
 * the write failed the state stays as it was and moved gets the error, except for `killing`: a disk
 * that is full must not make a sandbox immortal, and a restart copes with a row that says `running`.
 */
void sandbox_set_state(struct sandbox *sb, enum sandbox_state to, moved_fn moved);
/* The other writes, in the same queue. */
void sandbox_row_insert(struct sandbox *sb, moved_fn done);
void sandbox_row_delete(struct sandbox *sb, moved_fn done);

/* timer.c */
void sandbox_wake_at(struct sandbox *sb, uint64_t mono_ns, void (*on_wake)(struct sandbox *sb));
void sandbox_wake_never(struct sandbox *sb);
void manager_timer_cb(uv_timer_t *timer);
void sandbox_arm_expiry(struct sandbox *sb);

/* init_call.c: POST /init (adopting: GET /health) until it answers, then sb->inited(ok). */
void sandbox_init_start(struct sandbox *sb, void (*inited)(struct sandbox *sb, int ok));

/* end.c */
/*
 * Ends a sandbox that is creating, running or being adopted. `why` (may be NULL) is what a waiting
 * creation hears, and the text of END_START and END_LOST.
 */
void sandbox_end(struct sandbox *sb, enum end_cause cause, const struct err *why);
/* Pops the undo stack of one that is killing. */
void sandbox_teardown(struct sandbox *sb);
void undo_push(struct sandbox *sb, enum undo step);
void manager_on_exit(void *user, const char *id, const struct driver_exit *why);

/* events.c: the events that go along with other writes. */
enum { EVENTS_OF_END_MAX = SANDBOX_HITS + 1 };
void event_created(const struct sandbox *sb, struct event *ret);
void event_updated(const struct sandbox *sb, int64_t end_wall_ns, struct event *ret);
/* What is untold, and the end itself; none for one that never ran. Returns how many. */
size_t events_of_end(const struct sandbox *sb, struct event ret[static EVENTS_OF_END_MAX]);
void manager_on_event(void *user, const char *id, enum driver_event kind, uint32_t count);
/* Called when a total rose, or when a sandbox with untold totals came to run. */
void events_arm(struct sandbox_manager *m);

/* adopt.c */
int adopt_start(struct sandbox_manager *m, struct err *err);
/* Calls ready() when the last one is sorted out. */
void adopt_check_ready(struct sandbox_manager *m);
void adopt_settled(struct sandbox *sb); /* this one is sorted out; harmless when it was */

/* manager.c */
/* Calls fn(item) from the loop, not from inside the present call. */
struct later {
    struct list node;
    void (*fn)(struct later *later);
};
void manager_later(struct sandbox_manager *m, struct later *later, void (*fn)(struct later *));
void manager_notice(struct sandbox_manager *m, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void manager_op_begin(struct sandbox_manager *m);
/* Ends an operation; when the manager is closing and nothing is left it may go at the next turn. */
void manager_op_end(struct sandbox_manager *m);
/* done(user, NULL, err) and done(user, err), put off. */
void manager_fail_info(struct sandbox_manager *m, sandbox_info_cb done, void *user,
                       const struct err *err);
void manager_answer(struct sandbox_manager *m, sandbox_done_cb done, void *user,
                    const struct err *err);
void manager_check_closed(struct sandbox_manager *m);
