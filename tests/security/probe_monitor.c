/*
 * In QEMU's place: what only a machine's process has is used or misused, and a monitor that lies.
 *
 * threads, frames, sniff, flood: questions, see below
 *
 * A script at /guest/monitor in the root is played to the first who connects, a step a line:
 *   say TEXT       a line; $ID is the id of the command that was read last
 *   hear           read a line
 *   answer TEXT    hear, then say, until the other end closes
 *   repeat N TEXT  the same line N times (0: for ever); raw N BYTE: that byte N times, without a line's end
 *   sleep MS, close, unlisten, exit N
 * At its end the connection is held and nothing is said any more.
 */
#include "probe.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MONITOR_FD = 7,
    TAP_FD = 6,
    THREADS_MAX = 1024,
    STACK_BYTES = 65536,
    SCRIPT_BYTES = 8192,
    FRAME_BYTES = 2048
};

static void *sleep_on(void *user)
{
    for (;;)
        (void)pause();
    return user;
}

static void threads(char *const *arg)
{
    static pthread_t all[THREADS_MAX];
    unsigned long want = probe_number(arg[0]), made = 0;
    int r = 0;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (; made < want && made < THREADS_MAX; made++)
        if ((r = pthread_create(&all[made], &attr, sleep_on, NULL)) != 0)
            break;
    (void)fprintf(probe_out, "threads %lu %s\n", made, r != 0 ? strerrorname_np(r) : "ok");
    for (unsigned long i = 0; i < made; i++) {
        (void)pthread_cancel(all[i]);
        (void)pthread_join(all[i], NULL);
    }
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static size_t unhex(const char *s, unsigned char *to, size_t max)
{
    size_t n = 0;
    for (; n < max && isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]); s += 2)
        to[n++] = (unsigned char)(nibble(s[0]) << 4 | nibble(s[1]));
    return n;
}

/* frames HEX,HEX,...: puts frames on the tap device, each with an empty virtio header; how many were taken. */
static void frames(char *const *arg)
{
    static const char virtio_head[10];
    unsigned taken = 0, n = 0;
    int last = 0;
    char *rest = arg[0], *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        unsigned char frame[FRAME_BYTES];
        memcpy(frame, virtio_head, sizeof(virtio_head));
        size_t size = sizeof(virtio_head) +
                      unhex(one, frame + sizeof(virtio_head), FRAME_BYTES - sizeof(virtio_head));
        n++;
        if (write(TAP_FD, frame, size) == (ssize_t)size)
            taken++;
        else
            last = errno;
    }
    (void)fprintf(probe_out, "frames %u of %u %s\n", taken, n,
                  last == 0 ? "ok" : strerrorname_np(last));
}

/* sniff MS: what comes out of the tap device in that time, a frame a line. */
static void sniff(char *const *arg)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    long long end = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + (long long)probe_number(arg[0]);
    for (;;) {
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        long long left = end - now.tv_sec * 1000LL - now.tv_nsec / 1000000;
        struct pollfd p = {.fd = TAP_FD, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return;
        unsigned char frame[FRAME_BYTES];
        ssize_t n = read(TAP_FD, frame, sizeof(frame));
        (void)fprintf(probe_out, "%s", n > 10 ? "frame " : "");
        for (ssize_t i = 10; i < n; i++)
            (void)fprintf(probe_out, "%02x", frame[i]);
        (void)fprintf(probe_out, "%s", n > 10 ? "\n" : "");
    }
}

/* flood FD BYTES LINE: writes to it, blocking, all that. */
static void flood(char *const *arg)
{
    int fd = (int)probe_number(arg[0]);
    unsigned long want = probe_number(arg[1]), done = 0, refused = 0;
    size_t n = strlen(arg[2]);
    char *line = malloc(n + 2);
    if (line == NULL)
        return;
    memcpy(line, arg[2], n);
    line[n++] = '\n';
    while (done < want) {
        ssize_t r = write(fd, line, n);
        refused += r < 0;
        done += n;
    }
    free(line);
    (void)fprintf(probe_out, "flood %lu %lu\n", done, refused);
}

const struct probe_question probe_monitor[] = {{"threads", 1, threads},
                                               {"frames", 1, frames},
                                               {"sniff", 1, sniff},
                                               {"flood", 3, flood},
                                               {NULL, 0, NULL}};

/* ---- the script ---- */

struct peer {
    int fd;
    char line[PROBE_LINE_BYTES];
    char id[32]; /* of the command that was read last */
};

static bool hear(struct peer *p)
{
    size_t n = 0;
    while (n + 1 < sizeof(p->line) && read(p->fd, p->line + n, 1) == 1)
        if (p->line[n++] == '\n')
            break;
    p->line[n] = '\0';
    const char *id = strstr(p->line, "\"id\":");
    if (id != NULL)
        (void)snprintf(p->id, sizeof(p->id), "%lu", probe_number(id + 5));
    return n > 0;
}

static bool put(const struct peer *p, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t r = write(p->fd, text, n);
        if (r <= 0)
            return false;
        text += r, n -= (size_t)r;
    }
    return true;
}

static bool say(const struct peer *p, const char *text)
{
    char out[PROBE_LINE_BYTES];
    const char *at = strstr(text, "$ID");
    int n = at == NULL
                ? snprintf(out, sizeof(out), "%s\r\n", text)
                : snprintf(out, sizeof(out), "%.*s%s%s\r\n", (int)(at - text), text, p->id, at + 3);
    return put(p, out, (size_t)n);
}

static void repeat(const struct peer *p, char *rest)
{
    unsigned long n = probe_number(strsep(&rest, " "));
    for (unsigned long i = 0; rest != NULL && (n == 0 || i < n); i++)
        if (!say(p, rest))
            break;
}

static void raw(const struct peer *p, char *rest)
{
    char piece[4096];
    unsigned long n = probe_number(strsep(&rest, " "));
    memset(piece, rest == NULL ? 'x' : (int)probe_number(rest), sizeof(piece));
    for (; n > 0 && put(p, piece, n < sizeof(piece) ? n : sizeof(piece));
         n -= n < sizeof(piece) ? n : sizeof(piece))
        ;
}

static void step(struct peer *p, char *line)
{
    const char *word = strsep(&line, " ");
    char *rest = line == NULL ? (char[]){""} : line;
    if (strcmp(word, "say") == 0)
        (void)say(p, rest);
    else if (strcmp(word, "hear") == 0)
        (void)hear(p);
    else if (strcmp(word, "answer") == 0)
        while (hear(p) && say(p, rest))
            ;
    else if (strcmp(word, "repeat") == 0)
        repeat(p, rest);
    else if (strcmp(word, "raw") == 0)
        raw(p, rest);
    else if (strcmp(word, "sleep") == 0)
        (void)usleep((useconds_t)probe_number(rest) * 1000);
    else if (strcmp(word, "close") == 0)
        (void)close(p->fd);
    else if (strcmp(word, "unlisten") == 0)
        (void)close(MONITOR_FD);
    else if (strcmp(word, "exit") == 0)
        _exit((int)probe_number(rest));
}

void probe_monitor_play(void)
{
    char script[SCRIPT_BYTES];
    int fd = open("/guest/monitor", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, script, sizeof(script) - 1);
    if (n < 0)
        return;
    script[n] = '\0';
    struct peer p = {.fd = -1};
    struct pollfd wait = {.fd = MONITOR_FD, .events = POLLIN};
    while (p.fd < 0) {
        (void)poll(&wait, 1, -1);
        p.fd = accept4(MONITOR_FD, NULL, NULL, SOCK_CLOEXEC);
    }
    char *rest = script, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (*line != '\0')
            step(&p, line);
    for (;;)
        (void)pause();
}
