/*
 * A daemon that was taken over: process 1 of a sandbox in envd's place, which answers the control
 * plane and the edge as badly as it can. For tests/security/guest_to_host.py.
 *
 * /play/NAME is answered by the play of that name, /init by the one whose name is in /mode, /health
 * as it should be. One process a connection: a play may last for ever.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_FD = 4, HEAD_MAX_BYTES = 16384, NAME_BYTES = 32, BLOCK_BYTES = 65536 };

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        _exit(0); /* nobody listens any more */
}

/* The same again until the other end has had enough. */
static _Noreturn void for_ever(int fd, const char *text)
{
    static char block[BLOCK_BYTES];
    size_t n = strlen(text), used = 0;
    for (; used + n <= sizeof(block); used += n)
        memcpy(block + used, text, n);
    while (send(fd, block, used, MSG_NOSIGNAL) > 0)
        ;
    _exit(0);
}

static void garbage(int fd)
{
    static char noise[BLOCK_BYTES];
    int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (random >= 0 && read(random, noise, sizeof(noise)) > 0)
        (void)send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
}

static void drip(int fd)
{
    for (const char *p = "HTTP/1.1 204 No Content\r\nX-Slow: yes, very slow indeed\r\n\r\n";
         *p != '\0'; p++) {
        const char one[2] = {*p, '\0'};
        say(fd, one);
        (void)sleep(1);
    }
}

static void endless_head(int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\n");
    for_ever(fd, "X-More: and more\r\n");
}

static void endless_status(int fd)
{
    say(fd, "HTTP/1.1 200 ");
    for_ever(fd, "OK and more ");
}

static void endless_body(int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for_ever(fd, "40\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n");
}

static void endless_chunk(int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for_ever(fd, "0000000000000000");
}

static void endless_interim(int fd)
{
    for_ever(fd, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void endless_trailer(int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for_ever(fd, "X-Trailer: and more\r\n");
}

static void unasked_upgrade(int fd)
{
    say(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    garbage(fd);
}

static void silence(int fd)
{
    (void)fd;
    for (;;)
        (void)pause();
}

static void nothing(int fd)
{
    (void)fd;
}

#define SECOND "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil"

static const struct {
    const char *name;
    void (*play)(int fd);
    const char *text; /* where there is no function */
} plays[] = {
    {"ok", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"},
    {"error", NULL, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"},
    {"short", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"},
    {"long", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst" SECOND},
    {"negative", NULL, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" SECOND},
    {"overflow", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551617\r\n\r\nx" SECOND},
    {"two-lengths", NULL,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" SECOND},
    {"both", NULL,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND},
    {"chunk-size", NULL,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx" SECOND},
    {"split-cr", NULL, "HTTP/1.1 200 OK\r\nX-A: a\rX-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
    {"split-lf", NULL, "HTTP/1.1 200 OK\r\nX-A: a\n\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
    {"folded", NULL, "HTTP/1.1 200 OK\r\nX-A: a\r\n X-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
    {"space", NULL, "HTTP/1.1 200 OK\r\nX-Evil : 1\r\nContent-Length: 0\r\n\r\n"},
    {"version", NULL, "HTTP/9.9 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
    {"code", NULL, "HTTP/1.1 99999 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n"},
    {"garbage", garbage, NULL},
    {"drip", drip, NULL},
    {"head", endless_head, NULL},
    {"status", endless_status, NULL},
    {"body", endless_body, NULL},
    {"chunk", endless_chunk, NULL},
    {"interim", endless_interim, NULL},
    {"trailer", endless_trailer, NULL},
    {"upgrade", unasked_upgrade, NULL},
    {"never", silence, NULL},
    {"close", nothing, NULL},
};

static void play(int fd, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
        if (strlen(plays[i].name) != n || memcmp(plays[i].name, name, n) != 0)
            continue;
        if (plays[i].play != NULL)
            plays[i].play(fd);
        else
            say(fd, plays[i].text);
        return;
    }
    say(fd, "HTTP/1.1 404 No Such Play\r\nContent-Length: 0\r\n\r\n");
}

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void answer(int fd, const char *mode)
{
    static char head[HEAD_MAX_BYTES];
    size_t n = 0;
    while (strstr(head, "\r\n\r\n") == NULL && n + 1 < sizeof(head)) {
        ssize_t k = recv(fd, head + n, sizeof(head) - 1 - n, 0);
        if (k <= 0)
            return;
        n += (size_t)k;
    }
    const char *path = strchr(head, ' ');
    if (path == NULL)
        return;
    if (has_prefix(path, " /play/"))
        play(fd, path + 7, strcspn(path + 7, " ?"));
    else if (has_prefix(path, " /init") && strcmp(mode, "ok") != 0)
        play(fd, mode, strlen(mode));
    else
        say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
}

static void read_mode(char mode[static NAME_BYTES])
{
    int fd = open("/mode", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, mode, NAME_BYTES - 1) : 0;
    mode[n > 0 ? n : 0] = '\0';
    mode[strcspn(mode, "\n")] = '\0';
    if (fd >= 0)
        (void)close(fd);
}

int main(void)
{
    char mode[NAME_BYTES];
    struct sigaction reap = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    (void)sigaction(SIGCHLD, &reap, NULL);
    (void)fcntl(LISTEN_FD, F_SETFL, 0); /* blocking */
    read_mode(mode);
    for (;;) {
        int fd = accept(LISTEN_FD, NULL, NULL);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            answer(fd, mode);
            (void)shutdown(fd, SHUT_WR);
            _exit(0);
        }
        (void)close(fd);
    }
}
