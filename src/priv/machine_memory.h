/* The memory of a machine as a file: without its empty pages, and sealed. */
#pragma once

#include <stdint.h>

/* Pages of zeros become holes. Returns 0 or a negative errno. */
int memory_thin_out(int fd);

/*
 * A copy of the file in memory, `bytes` long, which nobody can write, grow, shrink or punch holes into
 * any more; mapping it privately is all that is left. Caller closes *ret_fd.
 */
int memory_seal(int file_fd, uint64_t bytes, int *ret_fd);
