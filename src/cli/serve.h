/*
 * `silica serve`: the supervisor of silicad, silica-priv and silica-dns.
 *
 *   settings -> instance number -> folders -> first key -> listening sockets -> children -> ready ->
 *   supervise -> stop
 *
 * It is one thread without a library's threads, so that it may fork. It parses nothing that comes
 * from outside but its own configuration, and one answer of its own daemon to GET /health.
 *
 * Invariants: the children never outlive it (PR_SET_PDEATHSIG, and their end is awaited); they are
 * in process groups of their own, so that a terminal's Ctrl-C reaches the supervisor alone and the
 * end happens in order; the database is opened only with the daemon's ids.
 */
#pragma once

#include "cli/cli.h"

#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { SERVE_TEXT_MAX = 256 };

struct serve_settings {
    char data[PATH_MAX], templates[PATH_MAX], config[PATH_MAX]; /* absolute; config "" for none */
    char resolv_conf[PATH_MAX];                                 /* "" for the host's own */
    char listen[SERVE_TEXT_MAX], domain[SERVE_TEXT_MAX], driver[SERVE_TEXT_MAX];
    char driver_reason[SERVE_TEXT_MAX]; /* why this driver */
    bool driver_chosen;                 /* by somebody; else `auto` may take another one */
    const char *accelerator;            /* of the driver microvm: "kvm" or "tcg"; else "" */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    uint16_t port;             /* 0 asks for any free one: `addr` is completed by serve_listen() */
    char host[SERVE_TEXT_MAX]; /* the address clients on this machine use: "127.0.0.1", "[::1]" */
    bool beyond_loopback;
    bool own_templates; /* the templates folder lies in the data folder */
    bool help;          /* the help was asked for and printed */
};

/* Options, environment, configuration file, defaults, in this order. */
int serve_settings_load(int argc, char **argv, struct serve_settings *ret, struct err *err);
/* What follows from the port, once it is known. */
int serve_settings_complete(struct serve_settings *s, struct err *err);

/* An instance number held by locks until the descriptors are closed (serve_instance.c). */
struct instance {
    unsigned number;
    int lock_fd, data_fd; /* owned */
};
/*
 * -EBUSY: another server runs on this data folder; -ENOSPC: no number is free. The folder of
 * `data` exists.
 */
int instance_take(const char *data, struct instance *ret, struct err *err);
void instance_release(struct instance *i);

/* Folders with their owners (serve_setup.c). */
int serve_folders(const struct serve_settings *s, uint32_t uid, struct err *err);
/*
 * Create or migrate the database as `uid`, and make the first API key when the credentials have
 * none; then write the credentials. *ret_new tells whether a key was made.
 */
int serve_first_key(const struct serve_settings *s, uint32_t uid, struct credentials *ret,
                    bool *ret_new, struct err *err);
/* Bound, listening, non-blocking, close-on-exec. Completes s->port and s->addr. */
int serve_listen(struct serve_settings *s, int *ret_fd, struct err *err);

/*
 * The sockets of the sandboxes' nameserver, on every address of the host; its firewall opens the port
 * for sandboxes alone. They are kept here, so that queries wait in them while silica-dns starts again.
 */
struct serve_dns {
    int udp_fd, tcp_fd; /* owned */
};
int serve_dns_listen(unsigned instance, struct serve_dns *ret, struct err *err);
void serve_dns_close(struct serve_dns *d);

enum { CHILD_PASS_MAX = 2 };

/* One child (serve_child.c). */
struct child {
    const char *name;
    char path[PATH_MAX];
    const char *argv[24];
    int pass_fds[CHILD_PASS_MAX]; /* borrowed; become descriptors 3, 4 */
    int n_pass;
    int pid_fd;                         /* -EBADF when not running */
    pid_t pid;                          /* valid while pid_fd is */
    int end_signal;                     /* sent to it when the supervisor dies */
    uint64_t started_ns, restart_at_ns; /* restart_at_ns 0: no restart is due */
    unsigned backoff_ms;
};
/* The program beside the running one, else in /usr/lib/silica. */
int program_find(const char *name, char dst[static PATH_MAX], struct err *err);
int child_start(struct child *c, struct err *err);
/* When it has ended: true, and *ret_status as of waitid (negative: signal). */
bool child_reap(struct child *c, int *ret_status);
void child_signal(const struct child *c, int signum);
static inline bool child_runs(const struct child *c)
{
    return c->pid_fd >= 0;
}

/* GET /health of our own listener, without blocking for long (serve_probe.c). */
struct probe {
    int fd; /* -EBADF when none is under way */
};
int probe_begin(struct probe *p, const struct serve_settings *s);
/* 1: answered 2xx; 0: not yet; negative: this try failed, begin another. */
int probe_step(struct probe *p);
void probe_end(struct probe *p);

/* What the children are given of open sockets. Borrowed. */
struct serve_sockets {
    int listen_fd;
    struct serve_dns dns;
};

/* Start the children and look after them until a signal ends it; returns the exit status. */
int supervise(const struct serve_settings *s, const struct instance *i,
              const struct serve_sockets *sockets, void (*on_ready)(void *user), void *user,
              struct err *err);
