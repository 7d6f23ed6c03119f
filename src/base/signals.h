/*
 * The words by which the wire names signals ("killed", "segmentation fault"): those of Go's syscall
 * table on Linux, which E2B's daemon prints. Spoken by the daemon inside, read by the SDK.
 */
#pragma once

#include "base/slice.h"

/* The word for a signal number, NULL when it has none. */
const char *signal_word(int number);

/* The number for a word, 0 when it is none. */
int signal_of_word(struct slice word);
