/*
 * silica-guest: /init of the machines that sandboxes are.
 *
 * The kernel starts it from the initramfs that src/image makes. It makes out of an empty machine
 * what silica-priv makes out of namespaces for a container - file systems, network, control groups,
 * the launch object on descriptor 3 - and then becomes silica-envd, which goes on as process 1.
 *
 * A step that fails is one line on the console, "silica-guest: STEP: reason", and the machine ends:
 * who started it sees both. It runs before any foreign code but for the shell of the warm-up, which
 * has the rights of `user`. Nothing here defends the machine against its own root: what it may do to
 * others is limited outside of the machine.
 */
#include "guest/guest.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

static const char ENVD[] = "/silica-envd";

/* Its file is unlinked: what the initramfs holds is memory of the sandbox. */
static int open_envd(struct guest *g, struct err *err)
{
    g->envd_fd = guest_park(open(ENVD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (g->envd_fd < 0)
        return err_sys(err, -errno, "open %s", ENVD);
    (void)unlink(ENVD); /* only saves memory */
    (void)unlink("/init");
    return 0;
}

static int become_envd(struct guest *g, struct err *err)
{
    char name[] = "silica-envd";
    char *argv[] = {name, NULL}, *envp[] = {NULL};
    (void)umask(022);
    (void)syscall(SYS_execveat, g->envd_fd, "", argv, envp, AT_EMPTY_PATH);
    return err_sys(err, -errno, "execute");
}

static const struct {
    const char *name;
    int (*run)(struct guest *g, struct err *err);
} steps[] = {
    {"kernel file systems", guest_mount_kernel},
    {"modules", guest_load_modules},
    {"launch object", guest_read_launch},
    {"silica-envd", open_envd},
    {"disks", guest_mount_disks},
    {"network", guest_start_network},
    {"root folders", guest_move_kernel},
    {"control groups", guest_make_groups},
    {"files in /etc", guest_write_etc},
    {"warm-up", guest_warm_up},
    {"new root", guest_enter_root},
    {"descriptors", guest_pass_launch},
    {"silica-envd", become_envd},
};

/* Ends the machine; outside, the emulator ends where its machine starts anew. */
static _Noreturn void give_up(const char *step, const struct err *err)
{
    (void)fprintf(stderr, "silica-guest: %s: %s\n", step, err->msg);
    (void)fflush(stderr);
    (void)tcdrain(STDERR_FILENO);
    if (getpid() == 1)
        (void)reboot(RB_AUTOBOOT);
    _exit(1); /* of process 1: a panic */
}

int main(void)
{
    struct guest g = {.envd_fd = -EBADF, .root_fd = -EBADF};
    struct err err = {0};
    buf_init(&g.launch, GUEST_LAUNCH_MAX_BYTES);
    for (size_t i = 0; i < GUEST_FDS; i++)
        g.group_fds[i] = -EBADF;
    (void)umask(0); /* folders and files below have the modes that are asked for */
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i].run(&g, &err) < 0)
            give_up(steps[i].name, &err);
    return 1; /* not reached: the last step returns failures only */
}
