/* A tap device: what a virtual machine's network card is plugged into. */
#pragma once

#include "base/err.h"
#include "net/rtnl.h"

/*
 * Make the tap device `name` with that hardware address in the caller's network namespace, down. It
 * lives as long as *ret_fd (close-on-exec, non-blocking), which the caller closes; a packet a read, with
 * a virtio header in front.
 */
int tap_make(const char *name, const unsigned char mac[static MAC_BYTES], int *ret_fd,
             struct err *err);
