/*
 * What silicad and silica-priv say to each other: fixed structs, one a packet, over a unix
 * SOCK_SEQPACKET socket. Numbers are in host byte order: both ends are on one machine.
 *
 * Only ids and numbers cross, no paths: the helper derives every name from validated ids. A packet
 * of another size, an unknown request, or one before the hello, ends the connection.
 *
 *   client                                helper
 *   PRIV_HELLO {magic, version}     ->    reply
 *   PRIV_START {…}                  ->    reply with the instance, or an error
 *   PRIV_STOP {id}                  ->    reply once nothing of it is left
 *   PRIV_LIST {}                    ->    one PRIV_ITEM each, then the reply
 *   PRIV_SNAPSHOT {id}              ->    reply once the machine has ended and its snapshot is kept
 *                                   <-    PRIV_EXIT whenever a sandbox ended by itself
 *
 * Replies carry the request's seq and may come in any order. The counts of PRIV_EVENT are totals
 * since the sandbox started; after the hello, and before the reply to PRIV_LIST, totals that are not
 * zero are told again, so that a daemon that was away misses none.
 */
#pragma once

#include "base/err.h"

#include <assert.h>
#include <stdint.h>

#define PRIV_MAGIC   0x53494c43u /* "SILC" */
#define PRIV_VERSION 3u

enum priv_op {
    PRIV_HELLO = 1,
    PRIV_START = 2,
    PRIV_STOP = 3,
    PRIV_LIST = 4,
    PRIV_SNAPSHOT = 5,
    /* from the helper */
    PRIV_REPLY = 100,
    PRIV_ITEM = 101,
    PRIV_EXIT = 102,
    PRIV_EVENT = 103,
};

/* What a sandbox is made of. */
enum priv_kind {
    PRIV_CONTAINER = 0,
    PRIV_MACHINE_BOOT = 1,  /* a virtual machine of the template, from its first instruction on */
    PRIV_MACHINE_CLONE = 2, /* one that waits for the state of the template's snapshot */
    PRIV_KIND_MAX_,
};

/* Limits of its own that a sandbox ran into. */
enum priv_event_kind {
    PRIV_EVENT_MEMORY = 1, /* processes that the kernel ended for want of memory */
    PRIV_EVENT_PIDS = 2,   /* starts of a process or thread that were refused */
    PRIV_EVENT_DISK = 3,   /* times that the writable layer was found full */
    PRIV_EVENT_INODES = 4, /* times that it was found without room for another file */
    PRIV_EVENT_MAX_,
};

/* Why a sandbox ended by itself. */
enum priv_exit_cause {
    PRIV_EXIT_UNKNOWN = 0, /* it died while nobody could see how */
    PRIV_EXIT_CODE = 1,    /* its init ended; status is the exit code */
    PRIV_EXIT_SIGNAL = 2,  /* its init was killed; status is the signal */
    PRIV_EXIT_MEMORY = 3,  /* its init was killed for want of memory in its own group */
};

enum {
    PRIV_ID_BYTES = 24,
    PRIV_SECRET_BYTES = 72,
    PRIV_REASON_BYTES = 96,
    PRIV_SECRET_LEN = 64, /* hexadecimal digits of the control secret */
};

struct priv_head {
    uint32_t op; /* enum priv_op */
    uint32_t seq;
};

struct priv_hello {
    struct priv_head head;
    uint32_t magic, version;
};

struct priv_start {
    struct priv_head head;
    char id[PRIV_ID_BYTES];
    char template_id[PRIV_ID_BYTES];
    char control_secret[PRIV_SECRET_BYTES];
    uint64_t memory_bytes;
    uint32_t cpu_millis; /* 1000 = one core */
    uint32_t pids;
    uint32_t internet;     /* 0 or 1 */
    uint32_t kind;         /* enum priv_kind */
    uint64_t disk_bytes;   /* size of the writable layer */
    uint64_t network_rate; /* bytes a second each way, not counting the host itself; 0: no limit */
};

struct priv_stop {
    struct priv_head head;
    char id[PRIV_ID_BYTES];
};

/*
 * A machine that was booted, settled and stopped, and has written its devices' state: it is ended, and
 * what it was is the template's snapshot from now on.
 */
struct priv_snapshot {
    struct priv_head head;
    char id[PRIV_ID_BYTES];
};

struct priv_list {
    struct priv_head head;
};

struct priv_instance {
    char id[PRIV_ID_BYTES];
    uint64_t pid_start; /* start time of its init, clock ticks since boot */
    int32_t pid;
    uint32_t slot;
    uint32_t addr; /* host byte order */
    uint32_t kind; /* enum priv_kind */
};

struct priv_item {
    struct priv_head head;
    struct priv_instance inst;
};

struct priv_reply {
    struct priv_head head;
    int32_t error;             /* 0 or negative errno */
    uint32_t kind;             /* enum err_kind */
    struct priv_instance inst; /* of PRIV_START */
    char msg[ERR_MSG_BYTES];
};

struct priv_exit {
    struct priv_head head;
    char id[PRIV_ID_BYTES];
    char reason[PRIV_REASON_BYTES]; /* for people */
    uint32_t cause;                 /* enum priv_exit_cause */
    int32_t status;
};

struct priv_event {
    struct priv_head head;
    char id[PRIV_ID_BYTES];
    uint32_t kind;  /* enum priv_event_kind */
    uint32_t count; /* since the sandbox started */
};

static_assert(sizeof(struct priv_start) == 168 && sizeof(struct priv_item) == 56 &&
                  sizeof(struct priv_reply) == 320 && sizeof(struct priv_exit) == 136 &&
                  sizeof(struct priv_event) == 40,
              "no padding that depends on the compiler");

/* The descriptor that holds the devices' state of a machine, as its QEMU knows it. */
enum { PRIV_MACHINE_DEVICES_FD = 8 };

/* Bounds of a start request, checked on both sides. */
#define PRIV_MEMORY_MIN_BYTES  (UINT64_C(16) << 20)
#define PRIV_MEMORY_MAX_BYTES  (UINT64_C(1) << 42)
#define PRIV_MACHINE_MIN_BYTES (UINT64_C(128) << 20) /* memory of a machine; whole MiB */
#define PRIV_DISK_MIN_BYTES    (UINT64_C(16) << 20)
#define PRIV_DISK_MAX_BYTES    (UINT64_C(1) << 44)
#define PRIV_RATE_MIN_BYTES    (UINT64_C(1) << 10)
#define PRIV_RATE_MAX_BYTES    (UINT64_C(1) << 36)
enum { PRIV_CPU_MILLIS_MIN = 10, PRIV_CPU_MILLIS_MAX = 1024000, PRIV_PIDS_MIN = 8 };
enum { PRIV_PIDS_MAX = 1 << 20, PRIV_PACKET_MAX_BYTES = 512 };
