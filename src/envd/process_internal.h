/* The process itself and what its files call of each other. */
#pragma once

#include "envd/inlet.h"
#include "envd/process.h"

struct process {
    struct list link;         /* in table->live */
    struct process_table *t;  /* borrowed */
    int pid;                  /* ours until we reap it */
    int pidfd;                /* owned */
    char *tag;                /* owned; NULL: none */
    json_t *config;           /* owned */
    struct outlet *out, *err; /* owned; NULL after their end */
    struct inlet in;
    struct list subscribers;
    unsigned n_subscribers, n_blocked;
    uv_timer_t grace, kill_timer;
    unsigned open_handles;
    bool exited, finished;
    bool cut;   /* we signalled it: no grace for the pipes */
    bool heard; /* output came since the last check */
    int wait_status;
    uint64_t exited_ms; /* loop time */
    char *cwd;          /* owned; where it was started */
    struct limit_counts before;
};

/* process.c: the child was reaped. */
void process_on_exit(struct process *p, int wait_status);

/* process_table.c */
void process_table_add(struct process *p);
/* Out of the live table, into the retained exits. */
void process_table_end(struct process *p, const struct exit_status *status);
