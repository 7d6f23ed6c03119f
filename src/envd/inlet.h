/*
 * The stdin pipe of a process: a queue of writes that are answered when the pipe took them. Only
 * the process files include this.
 */
#pragma once

#include "envd/process.h"

struct inlet {
    int fd;          /* owned; -EBADF when there is none */
    uv_poll_t *poll; /* frees itself; NULL when there is no descriptor */
    bool polling, closing;
    size_t *queued_bytes; /* borrowed; the sum over all inlets */
    struct list queue;    /* struct inlet_item */
};

void inlet_init(struct inlet *in, size_t *queued_bytes); /* no stdin */
/* Takes fd over in every case. */
int inlet_open(struct inlet *in, uv_loop_t *loop, int fd);
int inlet_write(struct inlet *in, struct slice data, void (*done)(void *user, int result),
                void *user);
void inlet_finish(struct inlet *in); /* close when the queue is written */
void inlet_fail(struct inlet *in);   /* close now; what is queued gets -EPIPE */
