/*
 * A followed process: one engine with up to two transfers, the output stream (Start or Connect) and
 * one input call (SendInput or CloseStdin) at a time, so that input flows while output does.
 *
 * Memory: the stream is paused when PROC_PENDING_MAX bytes are unread and hold a whole message, so
 * at most one message (SDK_FRAME_MAX) above that is kept.
 *
 * States: starting (pid 0) -> running -> ended. `exit` is final only when `ended`: a timeout is
 * told after the exit event, in the frame that ends the stream. A failure is sticky.
 */
#pragma once

#include "http/connect.h"
#include "sdk/sdk_internal.h"

enum {
    PROC_PENDING_MAX = 1048576,   /* unread bytes at which the stream pauses */
    PROC_INPUT_PIECE = 65536,     /* bytes of one SendInput */
    PROC_KEEPALIVE_S = 50,        /* what we ask of the server */
    PROC_SILENCE_MAX_MS = 150000, /* three keep-alives missed: the connection is dead */
    PROC_PROBE_MS = 5000,         /* asking whether the sandbox is gone */
};

/* One transfer on the process's engine. */
struct proc_call {
    CURL *easy;
    struct curl_slist *headers;
    struct buf body; /* of the request; must outlive the transfer */
    struct buf answer;
    bool active, done;
    CURLcode result;
    int status;
    int64_t retry_after_ms;
    char detail[CURL_ERROR_SIZE];
};

struct silica_proc {
    silica_sandbox *sbx; /* borrowed: processes are detached before the sandbox is closed */
    struct sdk_engine *engine;
    struct proc_call stream, input;
    struct connect_reader frames;
    bool is_start; /* Start, whose deadline kills the process; else Connect */
    bool paused, ended, failed;
    int feed_error;
    uint64_t last_byte_ns;
    uint32_t pid; /* 0 while starting */
    silica_exit exit;
    silica_error failure; /* when failed */
    struct buf data;      /* decoded bytes of the last event */
    unsigned input_tried;
};

/*
 * Send the stream request ("process.Process/Start" or "/Connect") and wait for the start event.
 * timeout_ms -1: no limit. 429 and 503 are repeated: the server did not start anything then.
 */
silica_rc proc_open(silica_sandbox *sbx, const char *method, const char *user, struct slice body,
                    int64_t timeout_ms, silica_proc **ret, silica_error *err);
void proc_free(silica_proc *p);

/* The next event without waiting; kind NONE when there is none. Failures are sticky. */
silica_rc proc_next(silica_proc *p, silica_event *ret, silica_error *err);

/* Let transfers move for at most wait_ms, or until one of fds is ready (-1 entries are skipped). */
silica_rc proc_turn(silica_proc *p, int64_t wait_ms, const int *fds, size_t n_fds,
                    silica_error *err);

/* Begin an input call; there must be none. data.p NULL closes stdin. */
silica_rc proc_input_begin(silica_proc *p, struct slice data, silica_error *err);
/* True when there is no input call any more. *ret_rc tells how the last one ended. */
bool proc_input_idle(silica_proc *p, silica_rc *ret_rc, silica_error *err);

/* One event message (JSON) into *ret: output, start, exit, keep-alive. For tests too. */
silica_rc proc_parse_event(silica_proc *p, struct slice text, silica_event *ret, silica_error *err);
