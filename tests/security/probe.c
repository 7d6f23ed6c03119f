/*
 * The probe: a static program that takes envd's place as process 1 of a sandbox and answers, one
 * line of question a connection, what a process can see and do there. It states facts and judges
 * nothing; the tests hold them against the design.
 *
 * A question may begin with "as UID": then it is asked by a child with that uid and gid and no
 * capabilities, in the limited control group, as envd starts its processes.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTEN_FD = 4, FIRST_CGROUP_FD = 5, LINE_BYTES = 1024, WAIT_MS = 3000, TAKE_MAX = 4096 };

static FILE *out;

static void tell(const char *key, long result)
{
    (void)fprintf(out, "%s %s\n", key, result < 0 ? strerrorname_np(errno) : "ok");
}

/* Digits up to the first other character. The tests are the only ones who ask. */
static unsigned long number(const char *s)
{
    unsigned long v = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        v = v * 10 + (unsigned long)(*s - '0');
    return v;
}

static void cat(const char *key, const char *path)
{
    char text[8192];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n < 0) {
        tell(key, -1);
    } else {
        text[n] = '\0';
        for (char *line = text, *end; *line != '\0'; line = end) {
            end = line + strcspn(line, "\n");
            (void)fprintf(out, "%s %.*s\n", key, (int)(end - line), line);
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
        tell(key, -1);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char target[256];
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        (void)fprintf(out, "%s %s %.*s\n", key, e->d_name, (int)n, target);
    }
    (void)closedir(d);
}

static void names(const char *key, const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        tell(key, -1);
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        (void)fprintf(out, "%s %s\n", key, e->d_name);
    (void)closedir(d);
}

static void facts(void)
{
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    (void)fprintf(out, "hostname %s\npid %d\nuid %u\ngid %u\ngroups %d\n", host, (int)getpid(),
                  getuid(), getgid(), getgroups(0, NULL));
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

/* Each is asked with arguments that could do no harm if it were allowed. */
static void refused(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    char c = 'x';
#define TRY(name, ...)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        tell(name, syscall(__VA_ARGS__));                                                          \
    } while (0)
    TRY("mount", SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
    TRY("umount2", SYS_umount2, "/proc", 0);
    TRY("pivot_root", SYS_pivot_root, "/", "/");
    TRY("setns", SYS_setns, 0, 0);
    TRY("unshare_user", SYS_unshare, CLONE_NEWUSER);
    TRY("unshare_net", SYS_unshare, CLONE_NEWNET);
    TRY("unshare_ns", SYS_unshare, CLONE_NEWNS);
    TRY("unshare_files", SYS_unshare, CLONE_FILES);
    TRY("clone_user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    TRY("clone_pid", SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    TRY("clone3", SYS_clone3, &args, sizeof(args));
    TRY("bpf", SYS_bpf, 0, NULL, 0);
    TRY("perf_event_open", SYS_perf_event_open, NULL, 0, 0, 0, 0);
    TRY("io_uring_setup", SYS_io_uring_setup, 1, NULL);
    TRY("userfaultfd", SYS_userfaultfd, 0);
    TRY("keyctl", SYS_keyctl, 0, 0);
    TRY("add_key", SYS_add_key, "user", "a", "b", 1, 0);
    TRY("request_key", SYS_request_key, "user", "a", NULL, 0);
    TRY("init_module", SYS_init_module, NULL, 0, "");
    TRY("kexec_load", SYS_kexec_load, 0, 0, NULL, 0);
    TRY("reboot", SYS_reboot, 0, 0, 0, NULL);
    TRY("swapon", SYS_swapon, "/x", 0);
    TRY("sethostname", SYS_sethostname, "x", 1);
    TRY("settimeofday", SYS_settimeofday, NULL, NULL);
    TRY("syslog", SYS_syslog, 10, NULL, 0);
    TRY("open_by_handle_at", SYS_open_by_handle_at, -1, NULL, 0);
    TRY("fanotify_init", SYS_fanotify_init, 0, 0);
    TRY("quotactl", SYS_quotactl, 0, NULL, 0, NULL);
    TRY("fsopen", SYS_fsopen, "tmpfs", 0);
    TRY("open_tree", SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE);
    TRY("iopl", SYS_iopl, 3);
    TRY("unknown_call", 9999);
    TRY("mknod_block", SYS_mknod, "/tmp/probe-node", S_IFBLK | 0600, 0x0800);
    TRY("tiocsti", SYS_ioctl, 0, TIOCSTI, &c);
    TRY("tiocsti_high", SYS_ioctl, 0, UINT64_C(0x100000000) | TIOCSTI, &c);
    TRY("tioclinux", SYS_ioctl, 0, TIOCLINUX, &c);
    TRY("socket_packet", SYS_socket, AF_PACKET, SOCK_RAW, 0);
    TRY("socket_raw", SYS_socket, AF_INET, SOCK_RAW, 1);
    TRY("socket_vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0);
    TRY("socket_alg", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0);
    TRY("socket_high", SYS_socket, UINT64_C(0x100000000) | AF_VSOCK, SOCK_STREAM, 0);
    TRY("socket_uevent", SYS_socket, AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
    TRY("socket_uevent_high", SYS_socket, AF_NETLINK, SOCK_DGRAM,
        UINT64_C(0x100000000) | NETLINK_KOBJECT_UEVENT);
    TRY("socket_xfrm", SYS_socket, AF_NETLINK, SOCK_DGRAM, NETLINK_XFRM);
    TRY("socket_sctp", SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP);
    TRY("socket_sctp6", SYS_socket, AF_INET6, SOCK_STREAM, IPPROTO_SCTP);
    TRY("socket_udplite", SYS_socket, AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
    TRY("socket_route", SYS_socket, AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    TRY("socket_diag", SYS_socket, AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
    TRY("socket_audit", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
    TRY("tiocsetd", SYS_ioctl, 0, TIOCSETD, &c);
    TRY("io_setup", SYS_io_setup, 1, &c);
    TRY("socket_inet", SYS_socket, AF_INET, SOCK_STREAM, 0);
    TRY("socket_unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    TRY("socket_ping", SYS_socket, AF_INET, SOCK_DGRAM, 1);
    TRY("personality_bad", SYS_personality, 0x0800000);
    TRY("personality_query", SYS_personality, 0xffffffff);
    TRY("chroot", SYS_chroot, "/");
#undef TRY
}

static int open_connection(const char *addr, const char *port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(port))};
    if (inet_pton(AF_INET, addr, &to.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, WAIT_MS), error = 0;
    socklen_t len = sizeof(error);
    if (n == 0)
        error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    errno = error;
    return error != 0 ? -1 : 0;
}

/* connect ADDR PORT: "ok" when somebody answers. */
static void try_connect(const char *addr, const char *port)
{
    int fd = open_connection(addr, port, SOCK_STREAM);
    tell("connect", fd < 0 ? -1 : wait_for(fd, POLLOUT));
    if (fd >= 0)
        (void)close(fd);
}

/* udp ADDR PORT: sends a datagram and tells what comes back. */
static void try_udp(const char *addr, const char *port)
{
    char reply[256] = "";
    int fd = open_connection(addr, port, SOCK_DGRAM);
    long r = fd < 0 ? -1 : send(fd, "ping", 4, 0);
    if (r >= 0)
        r = wait_for(fd, POLLIN);
    if (r >= 0)
        r = recv(fd, reply, sizeof(reply) - 1, 0);
    tell("udp", r);
    (void)fprintf(out, "reply %s\n", reply);
    if (fd >= 0)
        (void)close(fd);
}

static void try_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_NONBLOCK, 0600);
    tell("write", fd < 0 ? -1 : write(fd, text, strlen(text)));
    if (fd >= 0)
        (void)close(fd);
}

/* hog MIB: touches that much memory. */
static void try_memory(const char *mib)
{
    size_t n = number(mib) << 20;
    char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED)
        memset(p, 1, n);
    tell("hog", p == MAP_FAILED ? -1 : 0);
}

/* forks N: how many processes can be made at once. */
static void try_forks(const char *count)
{
    unsigned long want = number(count), made = 0;
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
    (void)fprintf(out, "forks %lu %s\n", made, made < want ? strerrorname_np(errno) : "ok");
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
static void try_take(const char *what)
{
    unsigned n = 0;
    while (n < TAKE_MAX && take_one(what) >= 0)
        n++;
    (void)fprintf(out, "took %u %s\n", n, n < TAKE_MAX ? strerrorname_np(errno) : "ok");
}

static void try_stat(const char *path)
{
    struct stat st;
    int r = lstat(path, &st);
    tell("stat", r);
    if (r == 0)
        (void)fprintf(out, "mode %o\nowner %u %u\n", st.st_mode, st.st_uid, st.st_gid);
}

static void ask(char *line)
{
    char *rest = line, *word[4] = {0};
    for (unsigned i = 0; i < 3 && (word[i] = strsep(&rest, " ")) != NULL; i++)
        ;
    word[3] = rest;
    const char *what = word[0], *a = word[1], *b = word[2];
    if (strcmp(what, "facts") == 0)
        facts();
    else if (strcmp(what, "refused") == 0)
        refused();
    else if (a == NULL)
        (void)fprintf(out, "what?\n");
    else if (strcmp(what, "cat") == 0)
        cat("cat", a);
    else if (strcmp(what, "names") == 0)
        names("name", a);
    else if (strcmp(what, "stat") == 0)
        try_stat(a);
    else if (strcmp(what, "hog") == 0)
        try_memory(a);
    else if (strcmp(what, "forks") == 0)
        try_forks(a);
    else if (strcmp(what, "take") == 0)
        try_take(a);
    else if (strcmp(what, "exit") == 0)
        _exit((int)number(a));
    else if (b == NULL)
        (void)fprintf(out, "what?\n");
    else if (strcmp(what, "connect") == 0)
        try_connect(a, b);
    else if (strcmp(what, "udp") == 0)
        try_udp(a, b);
    else if (strcmp(what, "write") == 0)
        try_write(a, b);
    else
        (void)fprintf(out, "what?\n");
}

static bool is_write_only(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_WRONLY;
}

/* As envd does it: the limited group first, then the ids. */
static void ask_as(char *line)
{
    char *end = line + strspn(line, "0123456789");
    uid_t uid = (uid_t)number(line);
    for (int fd = FIRST_CGROUP_FD; is_write_only(fd); fd++) /* what follows is not */
        if (write(fd, "0", 1) < 0)
            (void)fprintf(out, "cgroup_enter %s\n", strerrorname_np(errno));
    if (uid != 0 && (setgid(uid) < 0 || setuid(uid) < 0))
        (void)fprintf(out, "setuid %s\n", strerrorname_np(errno));
    ask(end + (*end == ' '));
    (void)fflush(out);
    _exit(0);
}

static void serve(int fd)
{
    char line[LINE_BYTES];
    FILE *in = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, 3), "re");
    out = fdopen(fd, "we");
    if (in == NULL || out == NULL || fgets(line, sizeof(line), in) == NULL)
        return;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "as ", 3) == 0) {
        (void)fflush(out);
        pid_t pid = fork();
        int status = 0;
        if (pid == 0)
            ask_as(line + 3);
        (void)waitpid(pid, &status, 0);
        if (WIFSIGNALED(status))
            (void)fprintf(out, "killed %d\n", WTERMSIG(status));
    } else {
        ask(line);
    }
    (void)fclose(in);
    (void)fclose(out);
}

int main(void)
{
    char told[4096] = "";
    ssize_t n = read(3, told, sizeof(told) - 1);
    (void)close(3);
    if (n <= 0 || dprintf(2, "probe up\n") < 0)
        return 3;
    for (;;) {
        struct pollfd p = {.fd = LISTEN_FD, .events = POLLIN};
        if (poll(&p, 1, -1) < 0)
            continue;
        int fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(fd);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}
