/* Abuse of files, output and network. */
#include "abuser.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE = 1 << 20,
    CACHE_BYTES = 768 << 20, /* more than a sandbox of 512 MiB can keep in memory */
    FILES_IN_FOLDER = 1000,
    DNS_PORT = 53,
    FLOOD_PORT = 9,
};
#define FILL_MAX_BYTES (UINT64_C(3) << 30) /* where nothing stops it, it stops itself */
#define FILES_MAX      200000u

static char piece[PIECE];

void abuse_output(const struct order *o)
{
    (void)o;
    (void)sleep(piece[0] == '\0' ? 1 : 0); /* until the first lines are out */
    memset(piece, 'y', sizeof(piece));
    if (write(STDOUT_FILENO, piece, sizeof(piece)) < 0)
        met(errno);
}

static void own_path(char path[static 128], const struct order *o, const char *what)
{
    (void)snprintf(path, 128, "%.60s/%s-%d", o->place[0] != '\0' ? o->place : "/tmp", what,
                   (int)getpid());
}

static int own_file(const struct order *o, const char *what)
{
    char path[128];
    own_path(path, o, what);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        met(errno);
    return fd;
}

/* A file larger than the memory limit, written once and then read round and round. */
void abuse_cache(const struct order *o)
{
    int fd = own_file(o, "cache");
    for (unsigned n = 0; fd >= 0 && n < CACHE_BYTES / PIECE; n++)
        if (write(fd, piece, PIECE) < 0)
            met(errno);
    for (off_t at = 0; fd >= 0; at = (at + PIECE) % CACHE_BYTES)
        if (pread(fd, piece, PIECE, at) < 0)
            met(errno);
}

/* Writes until the disk is full, empties the file, begins again. */
void abuse_fill(const struct order *o)
{
    int fd = own_file(o, "fill");
    uint64_t written = 0;
    while (fd >= 0) {
        ssize_t n = write(fd, piece, PIECE);
        written += n > 0 ? (uint64_t)n : 0;
        if (n > 0 && written < FILL_MAX_BYTES)
            continue;
        if (n < 0)
            met(errno);
        written = 0;
        (void)!ftruncate(fd, 0);
        (void)lseek(fd, 0, SEEK_SET);
    }
}

void abuse_fsync(const struct order *o)
{
    int fd = own_file(o, "fsync");
    while (fd >= 0) {
        if (pwrite(fd, piece, 4096, 0) < 0)
            met(errno);
        (void)fsync(fd);
    }
}

void abuse_sync(const struct order *o)
{
    int fd = own_file(o, "sync");
    while (fd >= 0) {
        (void)!pwrite(fd, piece, 65536, 0);
        sync();
    }
}

static void folder_file(char path[static 192], const char *folder, unsigned i)
{
    (void)snprintf(path, 192, "%.100s/%u/%u", folder, i / FILES_IN_FOLDER, i);
}

/* Empty files until there is no more inode, then the last of them again and again. */
void abuse_inodes(const struct order *o)
{
    char folder[128], path[192];
    own_path(folder, o, "inodes");
    (void)mkdir(folder, 0700);
    for (unsigned i = 0;; i = i + 1 < FILES_MAX ? i + 1 : 0) {
        (void)snprintf(path, sizeof(path), "%.100s/%u", folder, i / FILES_IN_FOLDER);
        if (i % FILES_IN_FOLDER == 0 && mkdir(path, 0700) < 0)
            met(errno);
        folder_file(path, folder, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            met(errno);
        else
            (void)close(fd);
    }
}

void abuse_meta(const struct order *o)
{
    char from[128], to[128];
    own_path(from, o, "from");
    own_path(to, o, "to");
    int fd = open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        met(errno);
    else
        (void)close(fd);
    (void)rename(from, to);
    (void)chmod(to, 0644);
    (void)unlink(to);
}

static struct sockaddr_in target(const struct order *o, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, o->place, &a.sin_addr) != 1)
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void flood(const struct order *o, uint16_t port, const void *data, size_t n)
{
    struct sockaddr_in a = target(o, port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        met(errno);
    while (fd >= 0)
        if (sendto(fd, data, n, 0, (struct sockaddr *)&a, sizeof(a)) < 0)
            met(errno);
}

void abuse_udp(const struct order *o)
{
    flood(o, FLOOD_PORT, piece, 64);
}

/* A question for "a." of type A; only the number differs, so that a cache does not help much. */
void abuse_dns(const struct order *o)
{
    static unsigned char q[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
    q[0] = (unsigned char)getpid();
    flood(o, DNS_PORT, q, sizeof(q));
}

/* Connections without end: what answers is hung up on, what does not is given up at once. */
void abuse_tcp(const struct order *o)
{
    struct sockaddr_in a = target(o, FLOOD_PORT);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        met(errno);
        return;
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
        met(errno);
    (void)close(fd);
}
