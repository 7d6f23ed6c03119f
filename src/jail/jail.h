/*
 * Makes a process alone: namespaces, id-mapped overlay, capability bounding set, seccomp.
 *
 * The caller makes the parts that outlive or precede the process (user namespace, network
 * namespace, control groups, folders) and hands in descriptors. jail_spawn() clones a child that
 * waits; the caller puts it into its control groups and notes it down; jail_go() lets it build its
 * root and execute. Until then the death of the caller ends the child.
 *
 * For single-threaded programs with full rights (silica-priv). Nothing here logs.
 */
#pragma once

#include "base/err.h"

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Seccomp programs, all in force: the kernel takes the strictest answer. Made once. */
struct jail_filters {
    struct sock_fprog deny;    /* arguments that are never allowed */
    struct sock_fprog allow;   /* the allow-list: EPERM for known and refused, else ENOSYS */
    struct sock_fprog program; /* of a jail_program alone: what it has no use for */
};
int jail_filters_make(struct jail_filters *ret, struct err *err);
void jail_filters_done(struct jail_filters *f);

/* A user namespace with ids 0 to 65535 mapped to `uid_base` and up; caller closes *ret_fd. */
int jail_userns_make(uint32_t uid_base, int *ret_fd, struct err *err);

/*
 * A detached mount of the folder dir_fd whose ids are shifted by the user namespace's map. For the
 * layers of an overlay: on disk they keep ids 0 to 65535. Caller closes *ret_fd.
 */
int jail_layer_open(int dir_fd, int userns_fd, int *ret_fd, struct err *err);
/* The same for a detached mount of the caller's own, which was not shifted yet. */
int jail_layer_shift(int mnt_fd, int userns_fd, struct err *err);

/*
 * A copy of a program in sealed memory: what runs in sandboxes cannot be changed through
 * /proc/self/exe, and later changes of the file do not reach it. Caller closes *ret_fd.
 */
int jail_program_open(const char *path, int *ret_fd, struct err *err);

/* Capability numbers as a bit set: what root inside may have at most. Reasons in caps.c. */
uint64_t jail_bounding_set(void);

/*
 * A detached, read-only mount of the folder dir_fd, without set-uid programs and device nodes: the root
 * of a jail_program. Caller closes *ret_fd.
 */
int jail_root_open(int dir_fd, int *ret_fd, struct err *err);

enum { JAIL_FDS_MAX = 32 };

/*
 * A program of the host's that is put away (QEMU), instead of silica-envd in a sandbox: a user of its
 * own without any right, no_new_privs, and a root of a few files that it can only read. /proc shows
 * itself alone, /dev has null and urandom.
 */
struct jail_program {
    int root_fd;             /* jail_root_open() */
    uint32_t uid;            /* and group */
    bool kvm;                /* /dev/kvm too */
    uint64_t file_bytes;     /* how long it can make a file that it can write */
    const char *path;        /* in that root */
    const char *const *argv; /* NULL at the end */
};

struct jail_spec {
    const struct jail_program *program; /* NULL: a sandbox */
    const char *hostname;
    const char *stage; /* absolute path of an empty folder of ours, mounted on in the child only */
    int netns_fd;
    int fds[JAIL_FDS_MAX]; /* become descriptors 0, 1, 2, ... of the program */
    unsigned n_fds;
    const struct jail_filters *filters;

    /* Of a sandbox alone. */
    int userns_fd;
    uint32_t uid_base;
    int lower_fd; /* jail_layer_open() of the read-only root file system */
    int layer_fd; /* the mount, shifted, of a folder with "upper" and "work" */
    int exec_fd;  /* jail_program_open() */
    const char *argv0;
    const char *hosts, *resolv_conf; /* contents of the files in /etc */
};

struct jail {
    pid_t pid;
    int pid_fd;
    int go_fd, report_fd; /* until jail_go() */
};

/* The child exists and waits. On success ret is to be given to jail_close(). */
int jail_spawn(const struct jail_spec *spec, struct jail *ret, struct err *err);

/*
 * Let it go on and wait (bounded) until its program runs. On failure the child is dead or dying:
 * the caller kills it by pid_fd and reaps it. err names the step that failed.
 */
int jail_go(struct jail *jail, struct err *err);

/* Close the descriptors; the process is not touched. */
void jail_close(struct jail *jail);
