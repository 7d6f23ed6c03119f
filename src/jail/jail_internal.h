/* Shared by the files that run in the child, between clone and exec: see child.c. */
#pragma once

#include "base/mounts.h"
#include "jail/jail.h"

/* The steps of the child, in order. Names in jail.c, checked by static_assert. */
enum jail_step {
    JAIL_STEP_NAMESPACES,
    JAIL_STEP_STAGE,
    JAIL_STEP_LAYERS,
    JAIL_STEP_OVERLAY,
    JAIL_STEP_DEV,
    JAIL_STEP_PROC,
    JAIL_STEP_SYS,
    JAIL_STEP_ETC,
    JAIL_STEP_PIVOT,
    JAIL_STEP_LIMITS,
    JAIL_STEP_FDS,
    JAIL_STEP_IDS,
    JAIL_STEP_CAPS,
    JAIL_STEP_SECCOMP,
    JAIL_STEP_EXEC,
    JAIL_STEP_MAX_
};

struct jail_report {
    int32_t step; /* enum jail_step */
    int32_t num;  /* negative errno */
};

struct jail_child {
    const struct jail_spec *spec;
    int go_fd, report_fd;
    int stage_fd, root_fd, dev_fd; /* mounts, in the child's own mount namespace */
};

/* Never returns: ends in the program or in _exit(). Async-signal-safe throughout. */
_Noreturn void jail_child_run(struct jail_child *c);

/* rootfs.c and special.c: all return 0 or a negative errno. */
int jail_mount_stage(struct jail_child *c);
int jail_mount_layers(struct jail_child *c);
int jail_mount_overlay(struct jail_child *c);
int jail_mount_dev(struct jail_child *c);
int jail_mount_proc(struct jail_child *c);
int jail_mount_sys(struct jail_child *c);
int jail_write_etc(struct jail_child *c);
int jail_pivot(struct jail_child *c);
/* special.c: the root of a jail_program with its /dev and /proc. */
int jail_mount_program(struct jail_child *c);

/* special.c: what /dev, /proc and /sys show; docs/sandbox-policy.md is made of these lists. */
struct jail_node {
    const char *name; /* NULL: the end */
    unsigned major, minor;
};
extern const struct jail_node jail_dev_nodes[];
extern const char *const jail_proc_read_only[], *const jail_proc_masked[], *const jail_sys_masked[];

/* Mount mnt_fd on the folder `name` of dir_fd, which is made if missing. No links are followed. */
int jail_attach(int mnt_fd, int dir_fd, const char *name);
/* Open below dir_fd without following any symbolic link, staying below. */
int jail_open_plain(int dir_fd, const char *path, int flags);

/* caps.c */
int jail_drop_bounding_set(uint64_t kept);
int jail_set_caps(uint64_t permitted, uint64_t effective);
