/*
 * What a hostile tenant runs: one kind of abuse until it is killed. Static, so that it runs in any
 * template; tests/security/abuse_*.py and bench/neighbour upload it and start it.
 *
 *   security-abuser KIND [COUNT [PLACE]]
 *
 * COUNT is how many processes (or threads, or MiB: see the table) take part, PLACE a folder or an
 * address. It prints "up" when all of them run, and "met NAME" once for each error that the abuse
 * runs into. Nothing here is polite: errors are met and the abuse goes on. But every process of it
 * ends by itself after LIFE_S, so that a host without the defence comes back.
 */
#include "abuser.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ERRORS_MAX = 256, SHORT_SLICE_NS = 100000, LIFE_S = 60 };

static char *seen; /* shared by all processes: which errors have been told */

void say(const char *text)
{
    (void)!write(STDOUT_FILENO, text, strlen(text));
}

void met(int error)
{
    char line[64];
    if (error <= 0 || error >= ERRORS_MAX || __atomic_test_and_set(&seen[error], __ATOMIC_RELAXED))
        return;
    (void)snprintf(line, sizeof(line), "met %s\n", strerrorname_np(error));
    say(line);
}

void crowd(unsigned n, void (*member)(const struct order *), const struct order *o)
{
    for (unsigned i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            (void)alarm(LIFE_S);
            for (;;)
                member(o);
        }
        if (pid < 0)
            met(errno);
    }
}

static _Noreturn void wait_for_the_end(void)
{
    (void)alarm(LIFE_S);
    say("up\n");
    for (;;)
        (void)pause();
}

/* ---- processor ---- */

static void spin(const struct order *o)
{
    (void)o;
    for (volatile unsigned i = 0; i < 1000000; i++)
        ;
}

/* Sleeps a moment before each short turn. */
static void nap(const struct order *o)
{
    static const struct timespec moment = {.tv_nsec = 1000};
    (void)o;
    (void)nanosleep(&moment, NULL);
    for (volatile unsigned i = 0; i < 50000; i++)
        ;
}

/* The same, and asks for short slices: the scheduler's favourite. */
static void wake(const struct order *o)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = sizeof(attr), .runtime = SHORT_SLICE_NS};
    (void)syscall(SYS_sched_setattr, 0, &attr, 0);
    for (unsigned turns = 0; turns < 1000; turns++)
        nap(o);
}

static void yield(const struct order *o)
{
    (void)o;
    (void)sched_yield();
}

/* ---- processes ---- */

static void fork_and_end(const struct order *o)
{
    (void)o;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0)
        met(errno);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void exec_and_end(const struct order *o)
{
    static char self[] = "/proc/self/exe", nop[] = "nop", *argv[] = {self, nop, NULL};
    (void)o;
    pid_t pid = vfork();
    if (pid == 0) {
        (void)execv(self, argv);
        _exit(1);
    }
    if (pid < 0)
        met(errno);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* Every one of them goes on forking; only the first error is told. */
static void bomb(const struct order *o)
{
    unsigned left = alarm(0); /* is not inherited */
    (void)o;
    if (fork() < 0)
        met(errno);
    (void)alarm(left > 0 ? left : 1);
}

/* Children of nobody: process 1 has to bury them. In sessions of their own. */
static void orphan(const struct order *o)
{
    (void)o;
    pid_t pid = fork();
    if (pid == 0) {
        (void)setsid();
        (void)fork();
        _exit(0);
    }
    if (pid < 0)
        met(errno);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static void crash(const struct order *o)
{
    (void)o;
    pid_t pid = fork();
    if (pid == 0)
        (void)raise(SIGSEGV);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* ---- memory ---- */

static void hog(const struct order *o)
{
    enum { PIECE = 1 << 20 };
    int status = 0;
    (void)o;
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            void *p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED)
                _exit(2);
            memset(p, 1, PIECE);
        }
    }
    if (pid < 0)
        met(errno);
    else if (waitpid(pid, &status, 0) == pid)
        met(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? ENOMEM : ECHILD);
}

static void fault(const struct order *o)
{
    enum { AREA = 16 << 20, PAGE = 4096 };
    static char *area;
    (void)o;
    if (area == NULL)
        area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; area != MAP_FAILED && i < AREA; i += PAGE)
        area[i] = 1;
    (void)madvise(area, AREA, MADV_DONTNEED);
}

/* ---- the table ---- */

static const struct kind {
    const char *name;
    void (*member)(const struct order *);
    unsigned count; /* default */
} kinds[] = {
    {"cpu", spin, 2},
    {"naps", nap, 64},
    {"wakes", wake, 64},
    {"yield", yield, 16},
    {"storm", fork_and_end, 16},
    {"execs", exec_and_end, 16},
    {"bomb", bomb, 1},
    {"orphans", orphan, 16},
    {"crash", crash, 8},
    {"memory", hog, 2},
    {"faults", fault, 8},
    {"maps", abuse_maps, 4},
    {"futex", abuse_futex, 4},
    {"pipes", abuse_pipes, 16},
    {"signals", abuse_signals, 8},
    {"timers", abuse_timers, 8},
    {"ipc", abuse_ipc, 4},
    {"fds", abuse_fds, 4},
    {"proc", abuse_proc, 8},
    {"output", abuse_output, 4},
    {"cache", abuse_cache, 2},
    {"fill", abuse_fill, 1},
    {"fsync", abuse_fsync, 4},
    {"sync", abuse_sync, 4},
    {"inodes", abuse_inodes, 1},
    {"meta", abuse_meta, 4},
    {"udp", abuse_udp, 4},
    {"tcp", abuse_tcp, 8},
    {"dns", abuse_dns, 8},
};

static unsigned number(const char *text)
{
    unsigned n = 0;
    for (; *text >= '0' && *text <= '9' && n < 1000000; text++)
        n = n * 10 + (unsigned)(*text - '0');
    return n;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "nop") == 0)
        return 0;
    seen = mmap(NULL, ERRORS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; argc >= 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        struct order o = {.count = argc > 2 ? number(argv[2]) : kinds[i].count,
                          .place = argc > 3 ? argv[3] : ""};
        crowd(o.count, kinds[i].member, &o);
        wait_for_the_end();
    }
    (void)fputs("security-abuser: no such kind\n", stderr);
    return 2;
}
