/* Questions that only look: files, folders, links, and all that a process can learn of itself. */
#include "probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void cat(const char *key, const char *path)
{
    char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0) {
        probe_tell(key, -1);
    } else {
        text[n] = '\0';
        for (char *line = text, *end; *line != '\0'; line = end) {
            end = line + strcspn(line, "\n");
            (void)fprintf(probe_out, "%s %.*s\n", key, (int)(end - line), line);
            end += *end == '\n';
        }
    }
    if (fd >= 0)
        (void)close(fd);
}

static void links(const char *key, const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        probe_tell(key, -1);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char target[256];
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        (void)fprintf(probe_out, "%s %s %.*s\n", key, e->d_name, (int)n, target);
    }
    (void)closedir(d);
}

static void names(const char *key, const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        probe_tell(key, -1);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        (void)fprintf(probe_out, "%s %s\n", key, e->d_name);
    (void)closedir(d);
}

static void facts(char *const *arg)
{
    (void)arg;
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    (void)fprintf(probe_out, "hostname %s\npid %d\nuid %u\ngid %u\ngroups %d\n", host,
                  (int)getpid(), getuid(), getgid(), getgroups(0, NULL));
    cat("status", "/proc/self/status");
    cat("uid_map", "/proc/self/uid_map");
    cat("gid_map", "/proc/self/gid_map");
    cat("setgroups", "/proc/self/setgroups");
    cat("mount", "/proc/self/mountinfo");
    cat("cgroup", "/proc/self/cgroup");
    cat("limit", "/proc/self/limits");
    cat("hosts", "/etc/hosts");
    cat("resolv", "/etc/resolv.conf");
    cat("hostfile", "/etc/hostname");
    cat("oom", "/proc/self/oom_score_adj");
    links("ns", "/proc/self/ns");
    links("fd", "/proc/self/fd");
    names("dev", "/dev");
    names("root", "/");
}

static void ask_stat(char *const *arg)
{
    const char *path = arg[0];
    struct stat st;
    int r = lstat(path, &st);
    probe_tell("stat", r);
    if (r == 0)
        (void)fprintf(probe_out, "mode %o\nowner %u %u\n", st.st_mode, st.st_uid, st.st_gid);
}

static void ask_cat(char *const *arg)
{
    cat("cat", arg[0]);
}

static void ask_names(char *const *arg)
{
    names("name", arg[0]);
}

static void ask_links(char *const *arg)
{
    links("link", arg[0]);
}

const struct probe_question probe_look[] = {
    {"facts", 0, facts},     {"cat", 1, ask_cat},   {"names", 1, ask_names},
    {"links", 1, ask_links}, {"stat", 1, ask_stat}, {NULL, 0, NULL},
};
