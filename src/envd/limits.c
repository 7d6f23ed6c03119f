#include "envd/limits.h"

#include "base/keyed.h"
#include "envd/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum {
    SPACE_LEFT_BYTES = 65536, /* less than this is full: writes come in larger pieces */
};

void limits_init(struct limits *l, const struct envd_config *c)
{
    *l = (struct limits){
        .memory_fd = c->memory_events_fd,
        .pids_fd = c->pids_events_fd,
        .memory_bytes = c->memory_bytes,
        .disk_bytes = c->disk_bytes,
        .pids = c->pids,
    };
}

static uint64_t count(int fd, const char *key)
{
    uint64_t n = 0;
    if (fd >= 0)
        (void)keyed_read_u64(fd, key, &n); /* 0 when it cannot be read: nothing is claimed then */
    return n;
}

void limits_count(const struct limits *l, struct limit_counts *ret)
{
    ret->kills = count(l->memory_fd, "oom_kill");
    ret->refusals = count(l->pids_fd, "max");
}

/* " (512 MiB)" with a word before the number, or "" when the limit is not known. */
static const char *size_text(const char *word, uint64_t bytes, char ret[static 40])
{
    uint64_t mib = bytes >> 20;
    ret[0] = '\0';
    if (mib >= 1024 && mib % 1024 == 0)
        (void)snprintf(ret, 40, " (%s%llu GiB)", word, (unsigned long long)(mib / 1024));
    else if (mib > 0)
        (void)snprintf(ret, 40, " (%s%llu MiB)", word, (unsigned long long)mib);
    return ret;
}

enum fullness { HAS_ROOM, NO_BLOCKS, NO_INODES };

static enum fullness fullness_of(const char *path)
{
    struct statvfs st;
    if (statvfs(path, &st) < 0 || st.f_blocks == 0)
        return HAS_ROOM;
    uint64_t left = 0;
    if (__builtin_mul_overflow((uint64_t)st.f_bavail, (uint64_t)st.f_frsize, &left))
        return HAS_ROOM;
    if (left < SPACE_LEFT_BYTES)
        return NO_BLOCKS;
    return st.f_files > 0 && st.f_favail == 0 ? NO_INODES : HAS_ROOM;
}

static void put_full(const struct limits *l, enum fullness full, char ret[static LIMITS_TEXT_BYTES])
{
    char size[40];
    if (full == NO_INODES)
        (void)snprintf(ret, LIMITS_TEXT_BYTES, "the sandbox's disk has no room for more files");
    else
        (void)snprintf(ret, LIMITS_TEXT_BYTES, "the sandbox's disk is full%s",
                       size_text("", l->disk_bytes, size));
}

void limits_explain(const struct limits *l, const struct limit_counts *before, const char *cwd,
                    char ret[static LIMITS_TEXT_BYTES])
{
    struct limit_counts now;
    char size[40];
    limits_count(l, &now);
    ret[0] = '\0';
    if (now.kills > before->kills) {
        (void)snprintf(ret, LIMITS_TEXT_BYTES, "the sandbox ran out of memory%s",
                       size_text("limit ", l->memory_bytes, size));
    } else if (now.refusals > before->refusals && l->pids != 0) {
        (void)snprintf(ret, LIMITS_TEXT_BYTES, "the sandbox's limit of %u processes was reached",
                       l->pids);
    } else if (now.refusals > before->refusals) {
        (void)snprintf(ret, LIMITS_TEXT_BYTES, "the sandbox's limit of processes was reached");
    } else {
        enum fullness full = fullness_of("/");
        if (full == HAS_ROOM && cwd != NULL)
            full = fullness_of(cwd);
        if (full != HAS_ROOM)
            put_full(l, full, ret);
    }
}

void limits_explain_space(const struct limits *l, int num, const char *path, struct err *err)
{
    char text[LIMITS_TEXT_BYTES];
    struct err own = *err;
    if (num != -ENOSPC && num != -EDQUOT)
        return;
    enum fullness full = fullness_of(path);
    put_full(l, full != HAS_ROOM ? full : fullness_of("/"), text);
    (void)err_set(err, own.num, own.kind, "%.150s: %s", own.msg, text);
    memcpy(err->code, own.code, sizeof(own.code));
}
