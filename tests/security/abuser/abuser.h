/* The parts of security-abuser. A member is called again and again in a process of its own. */
#pragma once

#include <stdint.h>

struct order {
    unsigned count;
    const char *place; /* a folder, or an IPv4 address; may be empty */
};

/* Writes to standard output. */
void say(const char *text);
/* Tells an error by its name, once for all processes. */
void met(int error);
/* Starts n processes that call member for ever. */
void crowd(unsigned n, void (*member)(const struct order *), const struct order *o);

/* kernel.c: what the kernel keeps for a process */
void abuse_maps(const struct order *o);
void abuse_futex(const struct order *o);
void abuse_pipes(const struct order *o);
void abuse_signals(const struct order *o);
void abuse_timers(const struct order *o);
void abuse_ipc(const struct order *o);
void abuse_fds(const struct order *o);
void abuse_proc(const struct order *o);
/* io.c: files, output, network */
void abuse_output(const struct order *o);
void abuse_cache(const struct order *o);
void abuse_fill(const struct order *o);
void abuse_fsync(const struct order *o);
void abuse_sync(const struct order *o);
void abuse_inodes(const struct order *o);
void abuse_meta(const struct order *o);
void abuse_udp(const struct order *o);
void abuse_tcp(const struct order *o);
void abuse_dns(const struct order *o);
