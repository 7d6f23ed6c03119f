/*
 * What silica-envd writes to its standard error, as lines of our own log.
 *
 * It goes through a named pipe, so that it survives a restart of this program: envd's end is opened
 * for reading too (no SIGPIPE when nobody reads) and non-blocking (a full pipe drops lines and
 * stops nobody). It is opened anew for each: who writes there may change how it is open, and ours must
 * stay non-blocking.
 *
 * The text comes from inside a sandbox: it is read in small pieces, quoted, and limited in lines and
 * bytes a second, for one sandbox and for all. A pipe that brings more is not looked at for the rest
 * of its second, so that a flood costs its writer's time and not ours. That messages are lost is said
 * when it begins, and how many bytes when a second has passed without more.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"
#include "priv/watch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_PIECE_BYTES = 400,
    LOG_LINES_PER_S = 20,
    LOG_BYTES_PER_S = 8192,
    LOG_LINES_PER_S_OF_ALL = 200
};

struct helper;

struct log_pipe {
    struct watch watch;
    struct helper *helper;
    int fd; /* -EBADF: none */
    char id[SANDBOX_ID_LEN + 1];
    unsigned lines, bytes; /* since the last log_pipe_turn() */
    bool paused;           /* it brought too much: not watched until the next turn */
    uint64_t lost_bytes;   /* not told yet */
    const char *speaker;
    char begun[LOG_PIECE_BYTES]; /* a line that has no end yet */
    size_t n_begun;
};

int log_pipe_make(struct helper *h, const char *id, struct err *err);
/* The end to write to, opened with `how` (O_WRONLY, O_RDWR); we must be watching. Caller closes. */
int log_pipe_end(struct helper *h, const char *id, int how, int *ret_fd, struct err *err);
/* `speaker` is a literal: who writes there. */
int log_pipe_watch(struct helper *h, struct log_pipe *log, const char *id, const char *speaker,
                   struct err *err);
/* Call about once a second: a new allowance. */
void log_pipe_turn(struct helper *h, struct log_pipe *log);
void log_pipe_close(struct helper *h, struct log_pipe *log);
void log_pipe_remove(struct helper *h, const char *id);
