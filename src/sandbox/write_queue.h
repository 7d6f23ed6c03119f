/*
 * Writes to the store, one after the other in the order they were put, on a worker thread: the loop
 * never waits for the disk. Completions run on the loop's thread, in the same order.
 *
 * Everything but `run` belongs to the loop's thread. A job is embedded in an object of its owner,
 * which must live until done().
 */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "store/store.h"

#include <uv.h>

/* Writes that clients ask for are refused past this; the manager's own moves always get in. */
enum { WRITE_QUEUE_MAX = 8192 };

struct write_job {
    struct list node;
    /* Worker thread: touches only the job and what it points to and nobody else changes. */
    int (*run)(struct store *store, struct write_job *job, struct err *err);
    void (*done)(struct write_job *job, const struct err *err); /* err NULL: it is durable */
    struct err err;
    int result;
};

struct write_queue {
    uv_loop_t *loop;
    struct store *store; /* borrowed */
    uv_work_t work;
    struct list jobs; /* the first one is at work when busy */
    unsigned n;
    bool busy;
    void (*on_idle)(struct write_queue *q); /* after the last completion; may be NULL */
};

void write_queue_init(struct write_queue *q, uv_loop_t *loop, struct store *store);
void write_queue_put(struct write_queue *q, struct write_job *job);
