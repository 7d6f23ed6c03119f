/* The container driver: the daemon's side. All privileged work is done by silica-priv. */
#pragma once

#include "sandbox/driver.h"

#include <uv.h>

/*
 * Connects to silica-priv at the unix seqpacket socket `priv_socket` (waits up to a minute for it to
 * appear, and reconnects when it is restarted). Returns a driver; free by ops->free().
 */
int container_driver_new(uv_loop_t *loop, const char *priv_socket, struct driver **ret,
                         struct err *err);

/*
 * End a machine of kind DRIVER_MACHINE_BOOT of such a driver and keep what it was as its template's
 * snapshot. done once, unless the driver is freed before.
 */
void container_driver_snapshot(struct driver *d, const char *id,
                               void (*done)(void *user, const struct err *err), void *user);
