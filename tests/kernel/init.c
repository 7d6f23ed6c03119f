/*
 * Process 1 of the machine that tests/kernel/run boots.
 *
 * It lives in the initramfs: loads the modules listed in /modules, in their order, mounts the disk,
 * makes it the root with /proc, /sys, /dev and version 2 as the only control groups, and runs
 * PROGRAM with its output on the second serial line. It collects what dies, and when PROGRAM has
 * ended it turns the machine off. All other modules are left to the kernel, which asks modprobe for
 * them as on any host.
 *
 * A failure is one line on the console and the end of the machine: who waits outside sees it there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define DISK     "/dev/vda"
#define OUTPUT   "/dev/ttyS1"
#define NEW_ROOT "/new"
#define PYTHON   "/usr/bin/python3"
#define PROGRAM  "/silica/tests/kernel/guest.py"

enum {
    DISK_WAIT_MS = 60000,
    DISK_POLL_MS = 20,
    MODULE_PATH_MAX = 256,
};

static _Noreturn void turn_off(void)
{
    sync();
    (void)reboot(RB_POWER_OFF);
    for (;;) /* returning from process 1 would be a panic */
        (void)pause();
}

__attribute__((format(printf, 1, 2))) static _Noreturn void give_up(const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "init: ");
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, ": %s\n", strerror(saved));
    turn_off();
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        give_up("make %s", target);
    if (mount(type, target, type, flags, data) < 0)
        give_up("mount %s", target);
}

static void load_module(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        give_up("open %s", path);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        give_up("load %s", path);
    (void)close(fd);
}

static void load_modules(void)
{
    char line[MODULE_PATH_MAX];
    FILE *list = fopen("/modules", "re");
    if (list == NULL)
        give_up("open /modules");
    while (fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        load_module(line);
    }
    (void)fclose(list);
}

static void wait_for_disk(void)
{
    const struct timespec poll = {.tv_nsec = DISK_POLL_MS * 1000000L};
    for (int waited = 0; access(DISK, F_OK) < 0; waited += DISK_POLL_MS) {
        if (waited >= DISK_WAIT_MS)
            give_up("wait for %s", DISK);
        (void)nanosleep(&poll, NULL);
    }
}

/* The disk becomes the root the way every initramfs does it: pivot_root inside works after that. */
static void enter_disk(void)
{
    if (mkdir(NEW_ROOT, 0755) < 0 || mount(DISK, NEW_ROOT, "ext4", 0, NULL) < 0)
        give_up("mount %s", DISK);
    if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        give_up("enter %s", DISK);
}

static void mount_all(void)
{
    mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate");
    mount_at("devtmpfs", "/dev", MS_NOSUID, NULL);
    mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
    mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
    if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0) /* as systemd does it */
        give_up("make the mounts shared");
}

/* What udev adds to the kernel's own nodes. */
static void link_devices(void)
{
    static const struct {
        const char *name, *target;
    } links[] = {{"/dev/fd", "/proc/self/fd"},
                 {"/dev/stdin", "/proc/self/fd/0"},
                 {"/dev/stdout", "/proc/self/fd/1"},
                 {"/dev/stderr", "/proc/self/fd/2"}};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i].target, links[i].name) < 0 && errno != EEXIST)
            give_up("make %s", links[i].name);
}

static _Noreturn void run_program(void)
{
    static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                                      "LANG=C.UTF-8", NULL};
    struct termios line;
    int fd = open(OUTPUT, O_RDWR | O_NOCTTY | O_CLOEXEC);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || null < 0 || tcgetattr(fd, &line) < 0)
        give_up("open %s", OUTPUT);
    cfmakeraw(&line);
    (void)cfsetspeed(&line, B115200);
    if (tcsetattr(fd, TCSANOW, &line) < 0)
        give_up("set up %s", OUTPUT);
    if (setsid() < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
        dup2(fd, STDERR_FILENO) < 0)
        give_up("redirect to %s", OUTPUT);
    (void)execle(PYTHON, PYTHON, PROGRAM, (char *)NULL, env);
    give_up("run %s", PYTHON);
}

int main(void)
{
    mount_at("devtmpfs", "/dev", 0, NULL);
    load_modules();
    wait_for_disk();
    enter_disk();
    mount_all();
    link_devices();
    (void)umask(022);
    pid_t program = fork();
    if (program < 0)
        give_up("fork");
    if (program == 0)
        run_program();
    for (;;) {
        int status = 0;
        pid_t dead = waitpid(-1, &status, 0);
        if (dead < 0 && errno != EINTR)
            give_up("wait");
        if (dead != program)
            continue;
        (void)printf("init: the tests ended with status %d\n", status);
        (void)fflush(stdout);
        turn_off();
    }
}
