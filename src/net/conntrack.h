/* What the kernel tracks for a sandbox on the host. */
#pragma once

#include "base/err.h"

#include <stdint.h>

/*
 * Forget the connections that `addr` (host byte order) made, in the caller's namespace. Without this a
 * sandbox that ends leaves its open ones in the host's table, for days.
 */
int conntrack_forget(uint32_t addr, struct err *err);
