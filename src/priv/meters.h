/*
 * Limits that sandboxes run into: counted by the kernel, looked at by meters.c about once a second,
 * told to the daemon as PRIV_EVENT.
 */
#pragma once

#include "base/slice.h"
#include "jail/cgroup_events.h"
#include "priv/protocol.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct helper;
struct sandbox;

/* What is known of one sandbox. */
struct meters {
    int fds[CGROUP_COUNTERS]; /* of the user group; -EBADF where the host does not count */
    int envd_fd;              /* processes of envd's own group that were ended for want of memory */
    uint64_t envd_kills;      /* when last looked at */
    uint64_t envd_rose_ns;    /* when they were seen to have risen; 0: never */
    uint32_t totals[PRIV_EVENT_MAX_], told[PRIV_EVENT_MAX_];
    uint64_t told_ns[PRIV_EVENT_MAX_]; /* when; 0: never */
    bool no_room[PRIV_EVENT_MAX_]; /* PRIV_EVENT_DISK, PRIV_EVENT_INODES: found full last time */
};

void meters_init(struct meters *m); /* nothing is open */

/* The timer of all sandboxes; it runs only while there are some. */
int meters_open(struct helper *h, struct err *err);
void meters_close(struct helper *h);

/* Look at a sandbox from now on: its groups exist, its pid is set. For new and adopted ones. */
void meters_watch(struct sandbox *s);
/*
 * A last look at the counters after init's end, all told now. True when the kernel has just ended a
 * process of envd's own group for want of memory: seconds may pass until what it killed has ended.
 */
bool meters_look_last(struct sandbox *s);
void meters_unwatch(struct sandbox *s); /* closes; also after meters_init() alone */

/* Tells one client what is not zero. False when it is gone meanwhile. */
bool meters_tell(struct client *c, const struct sandbox *s);

/* The file that keeps the counts which the kernel does not keep. */
void meters_remove_file(struct helper *h, const char *id);

/* meters_room.c: whether a disk has room, without going back and forth at the edge. */
struct room {
    uint64_t total, left; /* bytes, or files; total 0: not limited */
};
/*
 * Below 2 MiB, and below 1/32 of a small one; and no longer once four times that is left. Writers are
 * refused before the last byte: file systems take room for a whole piece of a write at once.
 */
bool room_bytes_gone(struct room bytes, bool were_gone);
/* The same for files: below 8; and no longer from 32 on. */
bool room_files_gone(struct room files, bool were_gone);

/* The numbers of such a file: "<disk> <inodes>\n". Returns 0, or -EBADMSG: nothing was set. */
enum { METERS_FILE_MAX_BYTES = 64 };
int meters_file_parse(struct slice text, uint32_t *ret_disk, uint32_t *ret_inodes);
