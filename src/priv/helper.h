/*
 * silica-priv's own objects: the helper, its sandboxes, its clients. See main.c for its life,
 * sandbox.c for the states of a sandbox.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"
#include "base/list.h"
#include "disk/disk.h"
#include "jail/cgroup.h"
#include "jail/jail.h"
#include "net/host.h"
#include "net/slot.h"
#include "priv/log_relay.h"
#include "priv/meters.h"
#include "priv/protocol.h"
#include "priv/watch.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CLIENTS_MAX = 4, STOP_WAITERS_MAX = 8 };

struct rtnl;

struct options {
    const char *data_dir, *templates_dir, *socket_path, *envd_path;
    uint32_t client_uid;
    uint32_t instance;
    bool kvm; /* virtual machines by hardware */
};
/* Returns 0, or -EINVAL with err naming the option. Strings are borrowed from argv. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);

enum sandbox_life {
    LIFE_STARTING, /* inside PRIV_START; seen by nobody else */
    LIFE_RUNNING,
    LIFE_ENDING,   /* killed by PRIV_STOP, its init not gone yet */
    LIFE_CLEANING, /* init is gone, a child removes its files */
    LIFE_MAX_
};

/* What was made and has to be unmade, in the order of making: the undo stack. */
enum sandbox_part {
    PART_FILES = 1 << 0, /* DATA/sandboxes/<id> and the disk */
    PART_LOG = 1 << 1,   /* DATA/run/sandboxes/<id>.log */
    PART_CGROUPS = 1 << 2,
    PART_LINK = 1 << 3, /* the veth pair */
    PART_PROCESS = 1 << 4,
    PART_STATE = 1 << 5, /* DATA/run/sandboxes/<id> */
    PART_ALL = (1 << 6) - 1,
};

struct stop_waiter {
    uint64_t client; /* client.number */
    uint32_t seq;
};

struct sandbox {
    struct list node;
    struct helper *helper;
    char id[SANDBOX_ID_LEN + 1];
    enum sandbox_life life;
    unsigned parts; /* of enum sandbox_part */
    struct net_slot slot;
    pid_t pid;
    uint64_t pid_start;
    int pid_fd;
    struct watch exit_watch;
    struct log_pipe log;
    struct meters meters;
    pid_t remover_pid; /* LIFE_CLEANING */
    int remover_fd;
    unsigned removers; /* how many there were */
    struct watch remover_watch;
    uint32_t kind; /* enum priv_kind */
    bool stopped;  /* by request: no exit event */
    bool commit;   /* of a machine: what it was becomes its template's snapshot */
    bool not_kept; /* that went wrong */
    char reason[PRIV_REASON_BYTES];
    uint32_t cause; /* enum priv_exit_cause */
    int32_t status;
    struct stop_waiter waiters[STOP_WAITERS_MAX];
    unsigned n_waiters;
};

struct firewall {
    struct host_net net;
    bool is_up;
    int change_fd, timer_fd;
    struct watch change_watch, timer_watch;
};

/* Of virtual machines; see machine.h. */
struct machines {
    int vmms_fd;      /* DATA/machine/vmm */
    int snapshots_fd; /* DATA/machine/snapshots */
    int qmp_fd;       /* DATA/run/machines */
    int vmm_fd;       /* the root for QEMU; -EBADF until it is needed */
    char vmm_id[TEMPLATE_ID_LEN + 1];
    bool kvm;
    struct list memories; /* of snapshots, sealed */
};

struct client {
    struct watch watch;
    struct helper *helper;
    int fd; /* -EBADF: the place is free */
    bool greeted;
    uint64_t number; /* never used twice */
};

struct helper {
    struct options options;
    int epoll_fd, listen_fd, signal_fd;
    int sandboxes_fd; /* DATA/sandboxes */
    int state_fd;     /* DATA/run/sandboxes */
    int templates_fd;
    struct disks disks;
    struct machines machines;
    int envd_fd; /* the sealed copy */
    char stage[256];
    struct cgroups cgroups;
    struct rtnl *rtnl;
    struct firewall firewall;
    struct jail_filters filters;
    struct list sandboxes;
    unsigned n_sandboxes, next_slot;
    unsigned char slots[SLOTS_PER_INSTANCE / 8]; /* bit set: in use */
    struct watch listen_watch, signal_watch;
    int meters_fd; /* a timer */
    bool meters_armed;
    struct watch meters_watch;
    struct client clients[CLIENTS_MAX];
    uint64_t next_client;
    bool quit;
};

/* helper.c */
int helper_open(struct helper *h, const struct options *options, struct err *err);
void helper_close(struct helper *h);
int helper_watch(struct helper *h, int fd, struct watch *w);
void helper_unwatch(struct helper *h, int fd);

/* server.c: the socket and its clients */
int server_open(struct helper *h, struct err *err);
void server_close(struct helper *h);
void server_send(struct client *c, const void *packet, size_t n);
struct client *server_client(struct helper *h, uint64_t number); /* NULL when gone */
void server_reply(struct client *c, uint32_t seq, const struct err *err,
                  const struct priv_instance *inst);
void server_broadcast(struct helper *h, const void *packet, size_t n);

/* op_*.c: one file an operation. `packet` passed request.c. false: end the connection. */
bool op_hello(struct client *c, const void *packet);
bool op_start(struct client *c, const void *packet);
bool op_stop(struct client *c, const void *packet);
bool op_list(struct client *c, const void *packet);
bool op_snapshot(struct client *c, const void *packet);

/* sandbox.c */
const char *sandbox_life_name(enum sandbox_life life);
struct sandbox *sandbox_find(struct helper *h, const char *id);
struct sandbox *sandbox_new(struct helper *h, const char *id); /* in the table, LIFE_STARTING */
int sandbox_watch(struct sandbox *s, struct err *err); /* its init; then it is LIFE_RUNNING */
void sandbox_kill(struct sandbox *s);
void sandbox_abort(struct sandbox *s); /* a failed start: undo all parts now, free */
void sandbox_instance(const struct sandbox *s, struct priv_instance *ret);
void sandbox_forget(struct sandbox *s); /* free; the sandbox itself lives on */
/* Its waiting process, noted down before, enters its group and runs; jail_go() says how it went. */
int sandbox_release(struct sandbox *s, struct jail *jail, enum cgroup_leaf leaf, struct err *err);

/* files.c */
int files_make(struct sandbox *s, uint64_t disk_bytes, int *ret_layer_fd, struct err *err);
/* For a sandbox whose processes are gone. The folders are those of struct helper, or copies. */
int files_remove(int sandboxes_fd, int disks_fd, const char *id, struct err *err);

/* firewall.c */
int firewall_open(struct helper *h, struct err *err);
void firewall_close(struct helper *h, bool take_down);

/* slots.c */
int slot_claim(struct helper *h, struct net_slot *ret, struct err *err);
bool slot_claim_this(struct helper *h, unsigned slot);
void slot_release(struct helper *h, unsigned slot);

/* state.c: DATA/run/sandboxes/<id>, for the next life of this program */
struct sandbox_record {
    pid_t pid;
    uint64_t pid_start;
    unsigned slot;
    uint32_t kind; /* enum priv_kind */
};
int state_write(struct helper *h, const char *id, const struct sandbox_record *record,
                struct err *err);
int state_read(struct helper *h, const char *id, struct sandbox_record *ret);
void state_remove(struct helper *h, const char *id);
/* Start time of a process, field 22 of /proc/<pid>/stat; 0 when there is none. */
uint64_t process_start_time(pid_t pid);

/* adopt.c: takes over what lives, removes what does not */
int adopt_all(struct helper *h, struct err *err);
