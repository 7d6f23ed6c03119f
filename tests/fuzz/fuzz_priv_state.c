// deps: base
/*
 * The state file of a sandbox, as the next life of silica-priv reads it: what is taken names a
 * process and a slot that can be, and is written again as the same.
 */
#include "priv/state.c" /* NOLINT(bugprone-suspicious-include): of a program, not a library */

#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool good)
{
    if (!good)
        abort();
}

void meters_remove_file(struct helper *h, const char *id)
{
    (void)h;
    (void)id;
}

/* The folder of state files is /proc/self/fd, the file's name the number of one in memory. */
static int read_record(int file, struct sandbox_record *ret)
{
    static struct helper helper = {.state_fd = -EBADF};
    char name[12];
    if (helper.state_fd < 0)
        helper.state_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(name, sizeof(name), "%d", file);
    return state_read(&helper, name, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static int file = -1;
    struct sandbox_record record;
    if (file < 0)
        file = memfd_create("state", MFD_CLOEXEC);
    if (ftruncate(file, 0) < 0 || pwrite(file, data, n, 0) != (ssize_t)n)
        return 0;
    int r = read_record(file, &record);
    must(r == 0 || r == -EBADMSG || r == -ENOBUFS);
    if (r == 0)
        must(record.pid > 0 && record.slot < SLOTS_PER_INSTANCE && record.kind < PRIV_KIND_MAX_);
    return 0;
}
