/*
 * What a sandbox driver (container, micro-VM) must do: one struct of functions.
 *
 * "Create = resume": a template and a paused sandbox are the same kind of thing, an artifact, and
 * starting from either is one code path. All calls run on the loop's thread and complete by
 * callback, never from inside the call.
 */
#pragma once

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { SANDBOX_ID_BYTES = 24, TEMPLATE_ID_BYTES = 64, SANDBOX_SECRET_BYTES = 72 };

/* What a sandbox starts from. A container has no memory and no device state: those are "". */
struct artifact {
    char template_id[TEMPLATE_ID_BYTES]; /* names the root file system */
    char rootfs[256];                    /* path below the data folder, made from validated ids */
    char memory[256];                    /* micro-VM: memory file, "" for none */
    char device_state[256];              /* micro-VM: saved devices, "" for none */
};

struct sandbox_limits {
    uint64_t memory_bytes;
    uint32_t cpu_millis; /* 1000 = one core */
    uint32_t pids;
    uint64_t disk_bytes;   /* of the writable layer */
    uint64_t network_rate; /* bytes a second each way, to and from outside; 0: no limit */
};

/* Limits of its own that a sandbox ran into; counts are totals since it started. */
enum driver_event {
    DRIVER_EVENT_MEMORY, /* processes that were ended for want of memory */
    DRIVER_EVENT_PIDS,   /* starts of a process that were refused */
    DRIVER_EVENT_DISK,   /* times that its disk was found full */
    DRIVER_EVENT_INODES, /* times that its disk had no room for another file */
    DRIVER_EVENT_MAX_
};

/* Why a sandbox ended without stop(). */
enum driver_exit_cause {
    DRIVER_EXIT_UNKNOWN, /* nobody saw how */
    DRIVER_EXIT_CODE,    /* its init ended by itself */
    DRIVER_EXIT_SIGNAL,  /* its init was killed */
    DRIVER_EXIT_MEMORY,  /* its init was killed for want of memory */
    DRIVER_EXIT_MACHINE, /* its machine ended or was given up: reason is the sentence */
    DRIVER_EXIT_MAX_
};

struct driver_exit {
    enum driver_exit_cause cause;
    int status;         /* exit code or signal */
    const char *reason; /* for people, borrowed */
};

/* What silica-priv makes; a container's driver has no use for the others. */
enum driver_kind {
    DRIVER_CONTAINER,
    DRIVER_MACHINE_BOOT,  /* of a template, to be snapshotted */
    DRIVER_MACHINE_CLONE, /* of a template's snapshot */
    DRIVER_KIND_MAX_
};

struct driver_start {
    enum driver_kind kind; /* set by the driver itself */
    char id[SANDBOX_ID_BYTES];
    struct artifact artifact;
    struct sandbox_limits limits;
    bool internet;                             /* false: no way out but to the gateway */
    char control_secret[SANDBOX_SECRET_BYTES]; /* hex; what envd demands on /init */
};

/* What is running, as far as the core must know it. */
struct driver_instance {
    enum driver_kind kind;
    struct sockaddr_in addr; /* the sandbox's own address; the port is not set */
    uint32_t slot;           /* network slot, for logs */
    uint64_t pid_start;      /* start time of its init, guards against pid reuse on adoption */
    int32_t pid;             /* init, as the host sees it */
};

struct driver;

struct driver_ops {
    const char *name; /* "container", "microvm" */
    /*
     * Is there one that waits for just such a start (whatever its id and secret)? Then true, and its own
     * id and secret are in *start; it is ended if start() does not come within a minute. May be NULL.
     */
    bool (*claim)(struct driver *d, struct driver_start *start);
    /* Start and call done once: err NULL on success. On failure nothing is left behind. */
    void (*start)(struct driver *d, const struct driver_start *start,
                  void (*done)(void *user, const struct driver_instance *inst,
                               const struct err *err),
                  void *user);
    /* End it and remove all that belongs to it. Success when it was not there. */
    void (*stop)(struct driver *d, const char *id, void (*done)(void *user, const struct err *err),
                 void *user);
    /* What lives now, for adoption after a restart: each() per sandbox, then done(). */
    void (*list)(struct driver *d,
                 void (*each)(void *user, const char *id, const struct driver_instance *inst),
                 void (*done)(void *user, const struct err *err), void *user);
    void (*free)(struct driver *d);
};

struct driver {
    const struct driver_ops *ops;
    /* Set by the owner, may be NULL; `why` and `id` are borrowed. */
    void (*on_exit)(void *user, const char *id, const struct driver_exit *why);
    void (*on_event)(void *user, const char *id, enum driver_event kind, uint32_t count);
    void *on_exit_user; /* of both */
};
