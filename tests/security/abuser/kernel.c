/* Abuse of what the kernel keeps for a process: maps, locks, pipes, signals, timers, queues, files. */
#include "abuser.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4 };

static void threads(void *(*run)(void *))
{
    pthread_t t;
    for (unsigned i = 1; i < THREADS; i++)
        if (pthread_create(&t, NULL, run, NULL) != 0)
            met(EAGAIN);
    (void)run(NULL);
}

/* Threads of one process unmap what the others' processors may have cached. */
static void *map_and_unmap(void *unused)
{
    enum { AREA = 1 << 20 };
    for (;;) {
        char *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            met(errno);
            continue;
        }
        for (unsigned i = 0; i < AREA; i += 65536)
            p[i] = 1;
        (void)mprotect(p, AREA / 2, PROT_READ);
        (void)munmap(p, AREA);
    }
    return unused;
}

void abuse_maps(const struct order *o)
{
    (void)o;
    threads(map_and_unmap);
}

static uint32_t word;

static void *fight(void *unused)
{
    static const struct timespec moment = {.tv_nsec = 100000};
    for (;;) {
        (void)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &moment, NULL, 0);
        (void)syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 64, NULL, NULL, 0);
    }
    return unused;
}

void abuse_futex(const struct order *o)
{
    (void)o;
    threads(fight);
}

/* Two processes that do nothing but wake each other. */
void abuse_pipes(const struct order *o)
{
    int there[2], back[2];
    char c = 0;
    (void)o;
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0) {
        met(errno);
        return;
    }
    if (fork() == 0)
        while (getppid() != 1)
            (void)!(read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1);
    for (;;)
        (void)!(write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1);
}

static void on_signal(int number)
{
    (void)number;
}

/* Queued signals up to the limit, ignored ones without end. */
void abuse_signals(const struct order *o)
{
    sigset_t set;
    (void)o;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGRTMIN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    struct sigaction act = {.sa_handler = on_signal};
    (void)sigaction(SIGUSR1, &act, NULL);
    for (;;) {
        if (sigqueue(getpid(), SIGRTMIN, (union sigval){0}) < 0)
            met(errno);
        (void)kill(getpid(), SIGUSR1);
    }
}

/* All timers there are; the first ones of each process fire as often as they can. */
void abuse_timers(const struct order *o)
{
    enum { BUSY = 64 };
    static const struct itimerspec often = {{0, 1000}, {0, 1000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct sigaction act = {.sa_handler = on_signal};
    timer_t timers[BUSY], timer;
    unsigned n = 0;
    (void)o;
    (void)sigaction(SIGUSR1, &act, NULL);
    while (timer_create(CLOCK_MONOTONIC, &event, n < BUSY ? &timers[n] : &timer) == 0)
        n++;
    met(errno);
    for (unsigned i = 0; i < n && i < BUSY; i++)
        (void)timer_settime(timers[i], 0, &often, NULL);
    for (;;)
        (void)getppid();
}

/* Takes all queues, semaphores and segments there are, then keeps them busy. */
void abuse_ipc(const struct order *o)
{
    struct {
        long type;
        char text[512];
    } m = {.type = 1};
    int queue = -1, q;
    (void)o;
    while ((q = msgget(IPC_PRIVATE, 0600)) >= 0)
        queue = q;
    met(errno);
    while (semget(IPC_PRIVATE, 250, 0600) >= 0)
        ;
    while (shmget(IPC_PRIVATE, 4096, 0600) >= 0)
        ;
    for (;;) {
        if (msgsnd(queue, &m, sizeof(m.text), IPC_NOWAIT) < 0)
            met(errno);
        (void)msgrcv(queue, &m, sizeof(m.text), 0, IPC_NOWAIT);
    }
}

/* As many descriptors as there are, each kind in turn; then waits with all of them. */
void abuse_fds(const struct order *o)
{
    int pair[2];
    (void)o;
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 && pipe2(pair, O_CLOEXEC) == 0 &&
           epoll_create1(EPOLL_CLOEXEC) >= 0 && socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0)
        ;
    met(errno);
    for (;;)
        (void)pause();
}

/* Reads all that /proc has of everybody. */
void abuse_proc(const struct order *o)
{
    static char text[65536];
    char path[64];
    DIR *dir = opendir("/proc");
    (void)o;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%.16s/smaps", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && read(fd, text, sizeof(text)) > 0)
            ;
        if (fd >= 0)
            (void)close(fd);
    }
    if (dir != NULL)
        (void)closedir(dir);
    else
        met(errno);
}
