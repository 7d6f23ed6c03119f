/*
 * policy-doc --write FILE | --check FILE: docs/sandbox-policy.md from the lists in this folder.
 * --check exits with 1 and says so when the file is not what --write would leave.
 */
#include "base/cleanup.h"
#include "base/fs.h"
#include "jail/jail_internal.h"
#include "jail/seccomp_list.h"

#include <fcntl.h>
#include <linux/capability.h>

enum { DOC_MAX_BYTES = 65536, NAMES_A_LINE = 10 };

static const char *const cap_names[] = {
    [CAP_CHOWN] = "chown",
    [CAP_DAC_OVERRIDE] = "dac_override",
    [CAP_FOWNER] = "fowner",
    [CAP_FSETID] = "fsetid",
    [CAP_KILL] = "kill",
    [CAP_SETGID] = "setgid",
    [CAP_SETUID] = "setuid",
    [CAP_SETPCAP] = "setpcap",
    [CAP_NET_BIND_SERVICE] = "net_bind_service",
    [CAP_SYS_CHROOT] = "sys_chroot",
    [CAP_AUDIT_WRITE] = "audit_write",
    [CAP_SETFCAP] = "setfcap",
};

static void put_names(struct buf *out, const char *title, const char *const *names)
{
    (void)buf_printf(out, "\n%s\n\n", title);
    for (unsigned i = 0; names[i] != NULL; i++)
        (void)buf_printf(out, "%s`%s`",
                         i == 0                  ? ""
                         : i % NAMES_A_LINE == 0 ? ",\n"
                                                 : ", ",
                         names[i]);
    (void)buf_put_str(out, "\n");
}

static void put_row(struct buf *out, const char *dir, const char *const *names, const char *how)
{
    for (; *names != NULL; names++)
        (void)buf_printf(out, "| `%s/%s` | %s |\n", dir, *names, how);
}

static void put_caps(struct buf *out)
{
    uint64_t set = jail_bounding_set();
    (void)buf_put_str(out, "\n## Capabilities\n\nRoot inside has at most, over objects of its own "
                           "user namespace; the reasons are in `src/jail/caps.c`:\n\n");
    for (unsigned cap = 0; cap < 64; cap++) {
        bool named = cap < ARRAY_LEN(cap_names) && cap_names[cap] != NULL;
        if ((set >> cap & 1) != 0)
            (void)buf_printf(out, "- %u `%s`\n", cap, named ? cap_names[cap] : "?");
    }
}

static void put_files(struct buf *out)
{
    (void)buf_put_str(out, "\n## /dev, /proc and /sys\n\n| path | what it is |\n| --- | --- |\n");
    for (const struct jail_node *n = jail_dev_nodes; n->name != NULL; n++)
        (void)buf_printf(out, "| `/dev/%s` | a node of its own, character %u:%u |\n", n->name,
                         n->major, n->minor);
    (void)buf_put_str(out, "| `/dev/pts`, `/dev/ptmx` | terminals of its own |\n"
                           "| `/dev/shm` | memory of its own, within its limit |\n");
    put_row(out, "/proc", jail_proc_read_only, "read-only");
    put_row(out, "/proc", jail_proc_masked, "covered: empty");
    (void)buf_put_str(out, "| `/sys` | read-only |\n");
    put_row(out, "/sys", jail_sys_masked, "covered: empty");
}

static int make_doc(struct buf *out)
{
    (void)buf_put_str(
        out, "# What a container sandbox may do\n\n"
             "<!-- Written by `policy-doc --write docs/sandbox-policy.md` from the lists in "
             "src/jail. -->\n\nWhy it is so: [design 0002](design/0002-container-jail.md) and "
             "[SECURITY.md](../SECURITY.md).\n");
    put_caps(out);
    put_files(out);
    (void)buf_put_str(out, "\n## System calls\n\nCalls in neither list, `clone3` among them, give "
                           "ENOSYS, and so do those of other ABIs. Arguments that are refused "
                           "are in `src/jail/seccomp.c`.\n");
    put_names(out, "Allowed:", seccomp_allowed);
    put_names(out, "Refused with EPERM:", seccomp_refused);
    (void)buf_put_str(
        out, "\n## Programs that are put away\n\nQEMU of a virtual machine has no "
             "capabilities, `no_new_privs`, a read-only root of its own files, `/dev/null` "
             "and `/dev/urandom` (and `/dev/kvm` where it is used), and a `/proc` that "
             "shows itself. Of the calls above it is refused more, and all processes of its "
             "own; threads pass.\n");
    put_names(out, "Refused with EPERM to them:", seccomp_program_refused);
    return out->error;
}

static int write_doc(const char *path, struct slice text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fs_write_all(fd, text.p, text.n);
}

int main(int argc, char **argv)
{
    _cleanup_buf_ struct buf want = BUF_INIT(DOC_MAX_BYTES), have = BUF_INIT(DOC_MAX_BYTES);
    struct err err = {0};
    if (argc != 3 || make_doc(&want) < 0) {
        (void)fprintf(stderr, "usage: policy-doc --write FILE | --check FILE\n");
        return 2;
    }
    if (slice_eq_str(slice_str(argv[1]), "--write"))
        return write_doc(argv[2], buf_slice(&want)) < 0;
    if (fs_read_file(AT_FDCWD, argv[2], &have, &err) < 0) {
        (void)fprintf(stderr, "policy-doc: %s\n", err.msg);
        return 1;
    }
    if (slice_eq(buf_slice(&want), buf_slice(&have)))
        return 0;
    (void)fprintf(stderr, "policy-doc: %s is out of date, run policy-doc --write\n", argv[2]);
    return 1;
}
