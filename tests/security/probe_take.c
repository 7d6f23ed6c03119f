/* Questions that use something up: memory, processes, what the kernel counts; and writing files. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAKE_MAX = 4096 };

static void try_write(char *const *arg)
{
    const char *path = arg[0], *text = arg[1];
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_NONBLOCK, 0600);
    probe_tell("write", fd < 0 ? -1 : write(fd, text, strlen(text)));
    if (fd >= 0)
        (void)close(fd);
}

/* hog MIB: touches that much memory. */
static void try_memory(char *const *arg)
{
    size_t n = probe_number(arg[0]) << 20;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        memset(p, 1, n);
    probe_tell("hog", p == MAP_FAILED ? -1 : 0);
}

/* forks N: how many processes can be made at once. */
static void try_forks(char *const *arg)
{
    unsigned long want = probe_number(arg[0]), made = 0;
    int hold[2];
    if (pipe2(hold, O_CLOEXEC) < 0)
        return;
    for (; made < want; made++) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            char c;
            (void)close(hold[1]);
            (void)!read(hold[0], &c, 1);
            _exit(0);
        }
    }
    (void)fprintf(probe_out, "forks %lu %s\n", made, made < want ? strerrorname_np(errno) : "ok");
    (void)close(hold[1]);
    (void)close(hold[0]);
    while (wait(NULL) > 0)
        ;
}

static int take_one(const char *what)
{
    if (strcmp(what, "inotify") == 0)
        return inotify_init1(IN_CLOEXEC);
    if (strcmp(what, "pty") == 0)
        return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    errno = EINVAL;
    return -1;
}

/* take WHAT: as many as can be had; process 1 keeps them. */
static void try_take(char *const *arg)
{
    unsigned n = 0;
    while (n < TAKE_MAX && take_one(arg[0]) >= 0)
        n++;
    (void)fprintf(probe_out, "took %u %s\n", n, n < TAKE_MAX ? strerrorname_np(errno) : "ok");
}

static void end(char *const *arg)
{
    _exit((int)probe_number(arg[0]));
}

const struct probe_question probe_take[] = {
    {"write", 2, try_write}, {"hog", 1, try_memory}, {"forks", 1, try_forks},
    {"take", 1, try_take},   {"exit", 1, end},       {NULL, 0, NULL},
};
