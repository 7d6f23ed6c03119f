/*
 * What the files of the micro-VM driver share: microvm.c is the driver's face and its clock, image.c the
 * templates with their snapshots and waiting clones, machine.c the steps of one QEMU, machine_wait.c those
 * of a boot and of a clone that waits, machine_watch.c their deadlines, talk.c what is said to envd before
 * a machine is anybody's.
 *
 * A machine is one QEMU, from the request to silica-priv until nothing of it is left:
 *
 *   starting   silica-priv makes it
 *   opening    its monitor is greeted
 *   loading    (clone) the devices' state of the snapshot is read; the memory is there already
 *   warming    (boot, pool) it runs; envd answers, then runs one command
 *   settling   (boot) it runs on for a moment
 *   saving     (boot) it was stopped and writes its devices' state
 *   keeping    (boot) silica-priv ends it and makes it the snapshot
 *   stopping   (pool) it is being stopped
 *   waiting    (pool) stopped; nobody's
 *   claimed    its id was given to a creation, whose start is to come
 *   resuming   it is told to run on
 *   running    a sandbox
 *   ending     silica-priv is removing it, or nobody of ours holds on to it any more
 *
 * Each state has a deadline: what takes longer is ended, and who waits is told why. Whatever QEMU or
 * envd say is a stranger's word; what follows from it is a state, a text of bounded length, or the end
 * of that machine.
 */
#pragma once

#include "base/ids.h"
#include "base/list.h"
#include "sandbox/driver.h"
#include "sandbox/microvm/microvm.h"
#include "sandbox/microvm/qmp.h"

/*
 * Deadlines. Generous: under emulation on a busy host everything takes ten times what it should, and a
 * deadline is for what would never come.
 */
enum {
    START_MS = 60000, /* silica-priv's own bounds are below it */
    OPEN_MS = 30000,
    LOAD_MS = 60000,
    WARM_BOOT_MS = 240000,
    WARM_CLONE_MS = 60000,
    SETTLE_MS = 1500,
    SAVE_MS = 60000,
    KEEP_MS = 240000,
    CLAIM_MS = 60000,
    LIFE_SIGN_EVERY_MS = 5000,
    LIFE_SIGN_MS = 30000, /* a monitor that is silent for that long is stuck */
    CALL_MS = 60000,
    STATUS_BYTES = 40,      /* of QEMU's word for its state, for people */
    MONITOR_GONE_MS = 2000, /* its process is about to end, or lives on unwatched */
};

enum machine_state {
    MACHINE_STARTING,
    MACHINE_OPENING,
    MACHINE_LOADING,
    MACHINE_WARMING,
    MACHINE_SETTLING,
    MACHINE_SAVING,
    MACHINE_KEEPING,
    MACHINE_STOPPING,
    MACHINE_WAITING,
    MACHINE_CLAIMED,
    MACHINE_RESUMING,
    MACHINE_RUNNING,
    MACHINE_ENDING,
    MACHINE_STATE_MAX_
};

enum { MACHINE_WHY_BYTES = 128 };

typedef void (*started_fn)(void *user, const struct driver_instance *inst, const struct err *err);

struct image;
struct microvm;

struct machine {
    struct list node; /* in microvm.machines */
    struct microvm *v;
    struct image *image; /* NULL: adopted */
    enum machine_state state;
    bool pooled;               /* made to wait */
    struct driver_start start; /* what it was made for; with its secret */
    struct driver_instance inst;
    struct qmp *qmp;
    uint64_t deadline_ns;  /* monotonic; 0: none */
    uint64_t next_sign_ns; /* running: when its monitor is asked for a sign of life again */
    started_fn started;    /* a creation that waits, or NULL */
    void *started_user;
    char why[MACHINE_WHY_BYTES]; /* what QEMU said about its end; "" */
    struct http_fetch *talk;     /* what is being said to its envd, or NULL */
    unsigned calls;              /* whose callback is to come, but for silica-priv's */
    bool asked_helper;           /* a start, stop or snapshot is to be answered */
    uv_timer_t timer;
    bool timer_open, gone;
};

/* A creation that waits for its template's snapshot. */
struct pending {
    struct list node;
    struct driver_start start;
    started_fn started;
    void *user;
};

enum image_state { IMAGE_UNKNOWN, IMAGE_BOOTING, IMAGE_READY };

struct image {
    struct list node; /* in microvm.images */
    struct microvm *v;
    char template_id[TEMPLATE_ID_BYTES];
    struct sandbox_limits limits;
    enum image_state state;
    unsigned boots;         /* of this template, one after another, without a clone in between */
    uint64_t used_ns;       /* when it was asked for last */
    uint64_t not_before_ns; /* no clone is made to wait before that: the last one failed */
    unsigned failures;
    struct list pending; /* of struct pending */
};

struct microvm {
    struct driver base;
    struct driver *helper; /* what silica-priv does */
    uv_loop_t *loop;
    struct microvm_opts o; /* machines_dir is owned */
    struct list machines, images;
    uv_timer_t tick;
    uint64_t claimed, cold;
    bool closing, tick_closed;
};

/* microvm.c */
void microvm_notice(struct microvm *v, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* When the driver is closing and the last machine has gone. */
void microvm_check_closed(struct microvm *v);
/* A sandbox has ended without stop(). */
void microvm_tell_exit(struct microvm *v, const char *id, const struct driver_exit *why);

/* machine.c */
struct machine *machine_find(struct microvm *v, const char *id);
/* Begins with asking silica-priv. started may be NULL (boot, pool). */
struct machine *machine_make(struct image *image, const struct driver_start *start, bool pooled,
                             started_fn started, void *user);
/* One that silica-priv has already, of an earlier life of this program. */
void machine_adopt(struct microvm *v, const char *id, const struct driver_instance *inst);
void machine_claim(struct machine *m);
void machine_resume(struct machine *m, started_fn started, void *user);
/* It cannot go on: who waits is told, and silica-priv removes it. */
void machine_fail(struct machine *m, const struct err *err);
/* Its process is no more, silica-priv says. */
void machine_exited(struct machine *m, const struct driver_exit *why);
/* silica-priv removes it, then done (may be NULL). */
void machine_stop(struct machine *m, void (*done)(void *user, const struct err *err), void *user);
void machine_leave(struct machine *m);   /* it lives on without us */
void machine_give_up(struct machine *m); /* silica-priv removes it; nobody is told */
void machine_forget(struct machine *m);  /* frees once nothing is to come any more */

/* The next state, with a deadline; 0: none. */
void machine_set_state(struct machine *m, enum machine_state state, unsigned deadline_ms);
bool machine_is_boot(const struct machine *m);
/* To its monitor. */
void machine_call(struct machine *m, const char *command, const char *arguments,
                  void (*done)(void *user, const struct json_ref *ret, const struct err *err));
/* For answers that matter only when they are refusals. */
void machine_on_answer(void *user, const struct json_ref *ret, const struct err *err);
void machine_run_on(struct machine *m);
/* Nothing of it is left outside of this program. */
void machine_gone(struct machine *m);

/* machine_wait.c */
/* What talk.c tells when it is through. */
void machine_warmed(struct machine *m, const struct err *err);
/* machine_watch.c: deadlines and signs of life. */
void machine_tick(struct machine *m, uint64_t now_ns);

/* talk.c: GET /health until it is answered, then one command. */
void talk_warm(struct machine *m);

/* image.c */
struct image *image_get(struct microvm *v, const char *template_id,
                        const struct sandbox_limits *limits);
void image_start(struct image *i, const struct driver_start *start, started_fn started, void *user);
struct machine *image_waiting(struct image *i, const struct driver_start *start);
void image_refill(struct image *i);
void image_tick(struct image *i, uint64_t now_ns);
/* A clone could not be made because there is no snapshot that fits: boot, then start it again. */
void image_needs_boot(struct image *i, const struct err *why, struct machine *m);
void image_booted(struct image *i, const struct err *err); /* NULL: the snapshot is there */
void image_pool_result(struct image *i, const struct err *err);
void image_free(struct image *i);
