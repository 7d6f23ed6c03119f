/* What machines need of the host: folders, the root for QEMU, the accelerator, sockets for QMP. */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "priv/folders.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { ID_FILE_BYTES = 64, CPUS_MAX = 64, QMP_NAME_BYTES = 40 };

static int open_part(const struct helper *h, const char *name, mode_t mode, int *ret_fd,
                     struct err *err)
{
    char path[256];
    if (fs_join(path, sizeof(path), h->options.data_dir, name) < 0)
        return err_sys(err, -ENAMETOOLONG, "%s", h->options.data_dir);
    return folder_open(path, true, mode, ret_fd, err);
}

int machines_open(struct helper *h, struct err *err)
{
    struct machines *m = &h->machines;
    m->kvm = h->options.kvm;
    _cleanup_close_ int top = -EBADF;
    int r = open_part(h, "machine", 0755, &top, err);
    if (r == 0)
        r = open_part(h, "machine/vmm", 0755, &m->vmms_fd, err);
    if (r == 0)
        r = open_part(h, "machine/snapshots", 0700, &m->snapshots_fd, err);
    return r == 0 ? open_part(h, "run/machines", 0755, &m->qmp_fd, err) : r;
}

void machines_close(struct helper *h)
{
    struct machines *m = &h->machines;
    machine_memories_drop(h);
    int *const fds[] = {&m->vmms_fd, &m->snapshots_fd, &m->qmp_fd, &m->vmm_fd};
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        *fds[i] = fd_close(*fds[i]);
}

static int read_current(int vmms_fd, char id[static TEMPLATE_ID_LEN + 1])
{
    _cleanup_buf_ struct buf text = BUF_INIT(ID_FILE_BYTES);
    int r = fs_read_file(vmms_fd, "current", &text, NULL);
    if (r < 0)
        return r;
    struct slice s = buf_slice(&text);
    if (slice_has_suffix(s, "\n"))
        s = slice_sub(s, 0, s.n - 1);
    if (slice_copy(s, id, TEMPLATE_ID_LEN + 1) < 0 || !id_is_template(id))
        return -EBADMSG;
    return 0;
}

int machine_vmm(struct helper *h, struct err *err)
{
    struct machines *m = &h->machines;
    char id[TEMPLATE_ID_LEN + 1];
    int r = read_current(m->vmms_fd, id);
    if (r < 0)
        return err_set(err, r, ERR_UNAVAILABLE,
                       "nothing is prepared for virtual machines: run `silica template machine`");
    if (m->vmm_fd >= 0 && strcmp(id, m->vmm_id) == 0)
        return 0;
    _cleanup_close_ int fd =
        openat(m->vmms_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, -errno, "open QEMU's folder %s", id);
    if (st.st_uid != 0)
        return err_set(err, -EPERM, ERR_DENIED, "QEMU's folder %s does not belong to root", id);
    m->vmm_fd = fd_close(m->vmm_fd);
    m->vmm_fd = take_fd(&fd);
    (void)snprintf(m->vmm_id, sizeof(m->vmm_id), "%s", id);
    return 0;
}

static void qmp_name(char dst[static QMP_NAME_BYTES], const char *id)
{
    (void)snprintf(dst, QMP_NAME_BYTES, "%s.qmp", id);
}

/* The file belongs to the daemon's uid and is closed to all others, as the helper's own socket. */
int machine_qmp_listen(struct helper *h, const char *id, int *ret_fd, struct err *err)
{
    char name[QMP_NAME_BYTES];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    uint32_t uid = h->options.client_uid;
    qmp_name(name, id);
    int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/machines/%s",
                     h->options.data_dir, name);
    if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    int r = fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    (void)umask(old);
    if (r == 0 && (fchownat(h->machines.qmp_fd, name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0 ||
                   listen(fd, 1) < 0))
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "make the socket of a machine");
    *ret_fd = take_fd(&fd);
    return 0;
}

void machine_qmp_remove(struct helper *h, const char *id)
{
    char name[QMP_NAME_BYTES];
    qmp_name(name, id);
    (void)unlinkat(h->machines.qmp_fd, name, 0);
}

/* Whole processors, and one of the host's stays for everybody else (docs/design/0008). */
static unsigned cpus_of(uint32_t cpu_millis)
{
    cpu_set_t set;
    unsigned asked = (cpu_millis + 999) / 1000, host = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1)
        host = (unsigned)CPU_COUNT(&set) - 1;
    unsigned n = asked < host ? asked : host;
    return n < CPUS_MAX ? n : CPUS_MAX;
}

int machine_shape_of(struct helper *h, const struct priv_start *q, int base_fd,
                     struct machine_shape *ret, struct err *err)
{
    struct stat st;
    struct machine_shape s = {.memory_bytes = q->memory_bytes,
                              .disk_bytes = q->disk_bytes,
                              .cpus = cpus_of(q->cpu_millis),
                              .kvm = h->machines.kvm};
    if (q->memory_bytes < PRIV_MACHINE_MIN_BYTES || q->memory_bytes % (UINT64_C(1) << 20) != 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "the memory of a virtual machine must be whole MiB, 128 at least");
    if (fstat(base_fd, &st) < 0)
        return err_sys(err, -errno, "look at the template's image");
    s.base_bytes = (uint64_t)st.st_size;
    s.base_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    (void)snprintf(s.template_id, sizeof(s.template_id), "%.20s", q->template_id);
    (void)snprintf(s.vmm_id, sizeof(s.vmm_id), "%.20s", h->machines.vmm_id);
    *ret = s;
    return 0;
}
