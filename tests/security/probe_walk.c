/*
 * walk FOLDER: every file below it that opens for writing, and how many there are at all.
 * Answers "open MODE PATH" and "seen N". Nothing is written. Links are not followed, of /proc the
 * folders of processes are passed over.
 */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, DEPTH_MAX = 24 };

static unsigned seen;

static void walk(char *path, size_t n, unsigned depth);

static void look(char *path, size_t n, unsigned depth)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        walk(path, n, depth + 1);
        return;
    }
    if (!S_ISREG(st.st_mode))
        return;
    seen++;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd >= 0) {
        (void)fprintf(probe_out, "open %o %s\n", st.st_mode & 0777, path);
        (void)close(fd);
    }
}

static bool is_passed_over(const char *path, const char *name)
{
    bool is_other = strcmp(path, "/proc") == 0 && isdigit((unsigned char)name[0]);
    return is_other || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void walk(char *path, size_t n, unsigned depth)
{
    DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (is_passed_over(path, e->d_name) || n + len + 2 > PATH_BYTES)
            continue;
        path[n] = '/';
        memcpy(path + n + 1, e->d_name, len + 1);
        look(path, n + 1 + len, depth);
        path[n] = '\0';
    }
    (void)closedir(d);
}

static void ask_walk(char *const *arg)
{
    char path[PATH_BYTES];
    size_t n = strlen(arg[0]);
    if (n >= sizeof(path))
        return;
    memcpy(path, arg[0], n + 1);
    seen = 0;
    walk(path, n, 0);
    (void)fprintf(probe_out, "seen %u\n", seen);
}

const struct probe_question probe_walk[] = {{"walk", 1, ask_walk}, {NULL, 0, NULL}};
