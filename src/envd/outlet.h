/*
 * One output pipe of a process. Lives on as an orphan when the process has ended and somebody else
 * still writes. Only the process files include this.
 */
#pragma once

#include "envd/process.h"

enum { OUTLET_EMPTY = 0, OUTLET_MORE = 1, OUTLET_END = 2 };

struct outlet {
    struct list link;        /* in table->orphans, else alone */
    struct process_table *t; /* borrowed */
    struct process *p;       /* NULL: an orphan */
    const char *name;        /* "stdout", "stderr": the member of the data event */
    int fd;                  /* owned */
    bool polling;
    uv_poll_t poll;
};

/* Takes fd over in every case. */
int outlet_new(struct process *p, struct process_table *t, const char *name, int fd,
               struct outlet **ret);

/* Watch for readable bytes, or stop watching. NULL is fine. */
void outlet_watch(struct outlet *o, bool want);

/* Read one piece and give it to the process. OUTLET_EMPTY, OUTLET_MORE, OUTLET_END. */
int outlet_read(struct outlet *o);

/* Forget the process: from now on bytes are thrown away, until the last writer closes. */
void outlet_orphan(struct outlet *o);
void outlet_close(struct outlet *o); /* NULL is fine */

/* In process.c: bytes that came; the pipe's end; after a turn of reading. */
void process_on_output(struct process *p, struct outlet *o, struct slice data);
void process_on_outlet_end(struct process *p, struct outlet *o);
void process_after_read(struct process *p);
bool process_wants_output(const struct process *p);
