/* System calls and arguments that the policy refuses, and some beside them that it allows. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Each is asked with arguments that could do no harm if it were allowed. */
static void refused(char *const *arg)
{
    (void)arg;
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    char c = 'x';
#define TRY(name, ...)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        probe_tell(name, syscall(__VA_ARGS__));                                                    \
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

const struct probe_question probe_refused[] = {{"refused", 0, refused}, {NULL, 0, NULL}};
