/* Only in a build with -Dcrash_points=true. */
#include "base/crash.h"

#ifdef SILICA_CRASH_POINTS

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CRASH_WAIT_S = 60, CRASH_POLL_MS = 10, CRASH_TEXT_BYTES = 160, CRASH_COUNT_MAX = 1 << 20 };

static const char *file_name(void)
{
    const char *path = secure_getenv("SILICA_CRASH");
    return path != NULL && path[0] == '/' ? path : NULL;
}

const char *crash_setting(void)
{
    static char text[PATH_MAX + 16];
    const char *path = file_name();
    if (path == NULL)
        return NULL;
    (void)snprintf(text, sizeof(text), "SILICA_CRASH=%s", path);
    return text;
}

struct order {
    bool kill;
    uint64_t count;
};

/* Whether the text is an order for that point. */
static bool order_read(struct slice text, const char *name, struct order *ret)
{
    struct slice line, action, at;
    if (!slice_next(&text, '\n', &line) || !slice_next(&line, ' ', &action) ||
        !slice_next(&line, ' ', &at) || !slice_eq_str(at, name))
        return false;
    ret->kill = slice_eq_str(action, "kill");
    ret->count = 1;
    return (ret->kill || slice_eq_str(action, "wait")) &&
           (line.n == 0 || parse_u64(line, CRASH_COUNT_MAX, &ret->count) == 0);
}

static bool order_find(const char *path, const char *name, struct order *ret)
{
    char text[CRASH_TEXT_BYTES];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    return n > 0 && order_read(slice_of(text, (size_t)n), name, ret);
}

static void tell(const char *path, const char *name)
{
    char beside[PATH_MAX], text[CRASH_TEXT_BYTES];
    (void)snprintf(beside, sizeof(beside), "%s.reached", path);
    int n = snprintf(text, sizeof(text), "%s %d\n", name, (int)getpid());
    _cleanup_close_ int fd =
        open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0)
        (void)fs_write_all(fd, text, (size_t)n); /* then the test says that nothing was reached */
}

static void stand_still(const char *path)
{
    const struct timespec pause = {.tv_nsec = CRASH_POLL_MS * 1000000L};
    for (unsigned i = 0; i < CRASH_WAIT_S * 1000 / CRASH_POLL_MS && access(path, F_OK) == 0; i++)
        (void)nanosleep(&pause, NULL);
}

void crash_point(const char *name)
{
    static uint64_t hits;
    static const char *hit;
    int saved = errno;
    struct order order;
    const char *path = file_name();
    if (path == NULL || !order_find(path, name, &order)) {
        errno = saved;
        return;
    }
    if (hit != name)
        hits = 0;
    hit = name;
    if (++hits >= order.count) {
        hits = 0;
        tell(path, name);
        if (!order.kill)
            stand_still(path);
        else if (unlink(path) == 0)
            (void)raise(SIGKILL);
    }
    errno = saved;
}

#endif
