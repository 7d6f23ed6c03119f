/*
 * One question to one nameserver, by UDP or TCP: a socket of its own with a source port that the
 * kernel picks at random, connected, so that only that server is heard, and a random id.
 *
 * It has no clock: who started it closes it when it takes too long.
 */
#pragma once

#include "dns/message.h"
#include "dns/servers.h"

#include <uv.h>

struct dns_attempt;

/* Wrong messages that one attempt passes over before it gives up: somebody is guessing. */
enum { DNS_WRONG_MAX = 64 };

/*
 * Called once, from the loop, unless it was closed before: the rcode and msg[n], adopted for the query
 * and borrowed for the call; or a negative errno when this server gives no answer. The callee closes
 * the attempt, now or later.
 */
typedef void (*dns_attempt_done)(void *user, int result, uint8_t *msg, size_t n);

/* `q` is copied. A negative errno when it could not even be sent; then nothing is called. */
int dns_attempt_start(uv_loop_t *loop, const struct dns_server *server, const struct dns_query *q,
                      bool tcp, dns_attempt_done done, void *user, struct dns_attempt **ret);

/* By UDP: ask the same server once more, the answer to either will do. 0 or a negative errno. */
int dns_attempt_repeat(struct dns_attempt *a);

/* Closes the socket now; the memory goes at the end of the loop's turn. NULL is fine. */
void dns_attempt_close(struct dns_attempt *a);
