/*
 * The first process of a sandbox's machine, from power-on to silica-envd; shared by its files.
 *
 * Every step takes the state below, returns 0 or a negative errno with a sentence, and relies on
 * those before it; main.c holds their order. Paths begin at the initramfs, the root file system of
 * the sandbox is only reached through root_fd, because a template is foreign.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum {
    GUEST_LAUNCH_MAX_BYTES = 4096, /* what silica-priv passes; docs/design/0001 */
    GUEST_ID_BYTES = 64,
    GUEST_FDS_FROM =
        20, /* opened ones are parked from here on, so that none has a number of envd's */
};

/* What envd gets beside its launch object: a member of it names each. The first is for writing. */
enum guest_fd {
    GUEST_FD_PROCS, /* cgroup.procs of the limited group */
    GUEST_FD_MEMORY,
    GUEST_FD_CPU,
    GUEST_FD_MEMORY_EVENTS,
    GUEST_FD_PIDS_EVENTS,
    GUEST_FD_OWN_MEMORY,
    GUEST_FDS
};

struct guest {
    int envd_fd; /* silica-envd of the initramfs */
    int root_fd; /* the sandbox's root */
    int group_fds[GUEST_FDS];
    struct buf launch; /* the launch object, secret; without its last brace once parsed */
    char sandbox_id[GUEST_ID_BYTES];
    uint32_t pids; /* most processes of the limited group; 0: no limit told */
};

#define GUEST_ROOT "/root"

/* modules.c: the kernel's modules that /modules/list names, in its order. */
int guest_load_modules(struct guest *g, struct err *err);

/* launch.c: what silica-priv says through the machine's firmware; its entropy goes to the kernel. */
int guest_read_launch(struct guest *g, struct err *err);
/* The same without the firmware: checks the object in g->launch, cuts its last brace, reads members. */
int guest_parse_launch(struct guest *g, struct err *err);
/* Append the object with the descriptors' members. Returns 0 or text's error. */
int guest_complete_launch(const struct guest *g, struct buf *text);
/* Completes the object with the descriptors' numbers and puts all of them where envd looks. */
int guest_pass_launch(struct guest *g, struct err *err);

/* mounts.c */
int guest_mount_kernel(struct guest *g,
                       struct err *err);                 /* /dev, /proc, /sys; descriptors 0 to 2 */
int guest_mount_disks(struct guest *g, struct err *err); /* opens root_fd */
int guest_move_kernel(struct guest *g,
                      struct err *err); /* into the root, with what belongs there */
int guest_enter_root(struct guest *g, struct err *err);

/* network.c: one interface, as in a container; docs/design/0007. */
int guest_start_network(struct guest *g, struct err *err);

/* groups.c: the limited group of what envd starts, and envd's own. */
int guest_make_groups(struct guest *g, struct err *err);

/* etc.c */
int guest_write_etc(struct guest *g, struct err *err);

/* warm.c: a shell is started and ended, so that the first command finds it in memory. */
int guest_warm_up(struct guest *g, struct err *err);

/* files.c: write `text` to a file that exists. Returns 0 or a negative errno. */
int guest_write_file(int dir_fd, const char *path, const char *text);
/* Takes fd, returns it with a number from GUEST_FDS_FROM on; or -1 and errno, of its opening too. */
int guest_park(int fd);
