/* What a request must look like, whatever else is true: pure functions, fuzzed by themselves. */
#pragma once

#include "priv/protocol.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * True if packet[n] is a request with exactly its operation's size and members that a correct
 * client could have sent. What is false here ends the connection. `packet` is aligned for any of
 * the request structs.
 */
bool priv_request_check(const void *packet, size_t n);
