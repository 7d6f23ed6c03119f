/*
 * What the files of the probe share. Each subject is a file with a table of its questions; probe.c
 * finds the question in the tables.
 */
#pragma once

#include <stdio.h>

enum { PROBE_LINE_BYTES = 16384, PROBE_ARGS_MAX = 4 };

/* Where the answer goes, a line a fact: "key rest". */
extern FILE *probe_out;

struct probe_question {
    const char *name; /* NULL: the end of a table */
    unsigned n_args;  /* words; the last takes the rest of the line */
    void (*run)(char *const *arg);
};
extern const struct probe_question probe_look[], probe_refused[], probe_reach[], probe_take[],
    probe_steps[], probe_filter[], probe_walk[], probe_run[], probe_monitor[];

/* "key ok", or "key ERRNO" of the call before when the result is negative. */
void probe_tell(const char *key, long result);

/* Digits up to the first other character. The tests are the only ones who ask. */
unsigned long probe_number(const char *s);

/* probe_monitor.c: if there is a script of what a monitor says, play it and do not return. */
void probe_monitor_play(void);
