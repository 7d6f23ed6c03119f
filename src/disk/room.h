/*
 * When a file system is low: less than a share of it is free, that share being held between two sizes,
 * so that neither a small disk is always low nor a large one kept half empty.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DISK_LOW_PERCENT = 2 };
#define DISK_LOW_MIN_BYTES (UINT64_C(256) << 20)
#define DISK_LOW_MAX_BYTES (UINT64_C(8) << 30)

struct disk_room {
    uint64_t total, free; /* bytes; free is what unprivileged users may take */
    uint64_t kept;        /* below it no disk is made */
};

/* Of a file system of that size. */
uint64_t disk_room_kept(uint64_t total_bytes);

/* Of the file system that fd lies on. Returns 0 or a negative errno. */
int disk_room_get(int fd, struct disk_room *ret);

static inline bool disk_room_is_low(const struct disk_room *room)
{
    return room->free < room->kept;
}

/* Whether files in this folder can share blocks: tried with two that have no name. */
bool disk_can_reflink(int dir_fd);
