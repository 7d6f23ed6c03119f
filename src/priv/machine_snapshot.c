/*
 * Snapshots of templates: what was made with what, the memory that clones share, drafts and how one
 * becomes a snapshot. See machine.h for where things lie.
 *
 * Publication: the disk is kept under a name of its own and the folder appears by rename, so that
 * memory, devices and disk of one moment are always seen together. What a crash leaves is a draft or a
 * disk that no manifest names; the next start removes both, and the death of who publishes is followed by
 * another process that does.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/crash.h"
#include "base/fs.h"
#include "base/log.h"
#include "priv/machine_manifest.h"
#include "priv/machine_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DRAFT_NAME_BYTES = 32,
    MEMORIES_MAX = 8,
    DEVICES_MAX_BYTES = 64 << 20, /* what QEMU writes has half a MiB */
};
static const char draft_prefix[] = ".new-";

/* The memory of one snapshot, as long as it may be asked for again. */
struct machine_memory {
    struct list node;
    char template_id[TEMPLATE_ID_LEN + 1];
    char kept[SANDBOX_ID_LEN + 1];
    int fd;
};

static int read_manifest(int dir_fd, struct buf *text)
{
    return fs_read_file(dir_fd, "manifest", text, NULL);
}

/* ---- the memory that clones share ---- */

static void memory_drop(struct machine_memory *m)
{
    list_remove(&m->node);
    (void)fd_close(m->fd);
    free(m);
}

void machine_memories_drop(struct helper *h)
{
    list_for_each_safe(it, next, &h->machines.memories)
        memory_drop(container_of(it, struct machine_memory, node));
}

/* The one that was asked for last is at the end of the list. */
static int memory_find(struct helper *h, const char *template_id, const char *kept)
{
    unsigned n = 0;
    list_for_each_safe(it, next, &h->machines.memories)
    {
        struct machine_memory *m = container_of(it, struct machine_memory, node);
        if (strcmp(m->kept, kept) == 0) {
            list_remove(&m->node);
            list_append(&h->machines.memories, &m->node);
            return m->fd;
        }
        if (strcmp(m->template_id, template_id) == 0)
            memory_drop(m); /* of an older snapshot; clones keep what they have */
        else
            n++;
    }
    if (n >= MEMORIES_MAX)
        memory_drop(container_of(h->machines.memories.next, struct machine_memory, node));
    return -ENOENT;
}

static int memory_get(struct helper *h, const struct machine_shape *shape, const char *kept,
                      int dir_fd, int *ret_fd, struct err *err)
{
    *ret_fd = memory_find(h, shape->template_id, kept);
    if (*ret_fd >= 0)
        return 0;
    _cleanup_close_ int file = openat(dir_fd, "memory", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return err_sys(err, -errno, "open the memory of a snapshot");
    int fd = -EBADF, r = memory_seal(file, shape->memory_bytes, &fd);
    if (r < 0)
        return err_sys(err, r, "load the memory of a snapshot");
    struct machine_memory *m = xnew(struct machine_memory);
    (void)snprintf(m->template_id, sizeof(m->template_id), "%s", shape->template_id);
    (void)snprintf(m->kept, sizeof(m->kept), "%s", kept);
    m->fd = *ret_fd = fd;
    list_append(&h->machines.memories, &m->node);
    return 0;
}

int machine_snapshot_open(struct helper *h, const struct machine_shape *shape,
                          struct machine_snapshot *ret, struct err *err)
{
    char is[MACHINE_MANIFEST_BYTES];
    _cleanup_buf_ struct buf text = BUF_INIT(MACHINE_MANIFEST_BYTES);
    struct slice was = {0};
    _cleanup_close_ int dir = openat(h->machines.snapshots_fd, shape->template_id,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = dir < 0 ? -errno : machine_manifest(shape, is);
    if (r == -ENOENT)
        return err_set(err, r, ERR_NOT_FOUND, "the template has no snapshot yet");
    if (r == 0)
        r = read_manifest(dir, &text);
    if (r == 0)
        r = manifest_kept(buf_slice(&text), ret->kept, &was);
    if (r < 0)
        return err_set(err, -ESTALE, ERR_CONFLICT, "the snapshot cannot be read (%d)", r);
    r = manifest_compare(was, is, err);
    if (r == 0)
        r = memory_get(h, shape, ret->kept, dir, &ret->memory_fd, err);
    if (r < 0)
        return r;
    ret->devices_fd = openat(dir, "devices", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return ret->devices_fd < 0 ? err_sys(err, -errno, "open the devices of a snapshot") : 0;
}

/* ---- drafts ---- */

static void draft_name(char dst[static DRAFT_NAME_BYTES], const char *id)
{
    (void)snprintf(dst, DRAFT_NAME_BYTES, "%s%s", draft_prefix, id);
}

static int draft_fill(int dir, const char *id, const struct machine_shape *shape, uint32_t uid,
                      int *ret_memory_fd, int *ret_devices_fd)
{
    char text[MACHINE_MANIFEST_BYTES + 64];
    int r = machine_manifest(shape, text);
    if (r < 0)
        return r;
    size_t n = strlen(text);
    (void)snprintf(text + n, sizeof(text) - n, MANIFEST_KEPT_KEY "%s\n", id);
    r = fs_replace_file(dir, "manifest", slice_str(text), 0600, NULL);
    if (r < 0)
        return r;
    _cleanup_close_ int memory =
        openat(dir, "memory", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    _cleanup_close_ int devices =
        openat(dir, "devices", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (memory < 0 || devices < 0 || ftruncate(memory, (off_t)shape->memory_bytes) < 0 ||
        fchown(memory, uid, uid) < 0)
        return -errno;
    *ret_memory_fd = take_fd(&memory);
    *ret_devices_fd = take_fd(&devices);
    return 0;
}

int machine_draft_make(struct helper *h, const char *id, const struct machine_shape *shape,
                       uint32_t uid, int *ret_memory_fd, int *ret_devices_fd, struct err *err)
{
    char name[DRAFT_NAME_BYTES];
    draft_name(name, id);
    if (mkdirat(h->machines.snapshots_fd, name, 0700) < 0)
        return err_sys(err, -errno, "make the folder of a snapshot");
    CRASH_POINT("priv.draft.folder");
    _cleanup_close_ int dir =
        openat(h->machines.snapshots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = dir < 0 ? -errno : draft_fill(dir, id, shape, uid, ret_memory_fd, ret_devices_fd);
    CRASH_POINT("priv.draft.made");
    return r < 0 ? err_sys(err, r, "make the files of a snapshot") : 0;
}

void machine_draft_remove(int snapshots_fd, const char *id)
{
    char name[DRAFT_NAME_BYTES];
    draft_name(name, id);
    (void)fs_remove_tree(snapshots_fd, name, NULL); /* what stays is removed by the next start */
}

static int draft_finish(int dir)
{
    struct stat st;
    _cleanup_close_ int memory = openat(dir, "memory", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    _cleanup_close_ int devices = openat(dir, "devices", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (memory < 0 || devices < 0 || fstat(devices, &st) < 0)
        return -errno;
    if (st.st_size == 0)
        return -ENODATA;
    if (st.st_size > DEVICES_MAX_BYTES)
        return -EFBIG;
    int r = memory_thin_out(memory);
    if (r == 0 && (fchown(memory, 0, 0) < 0 || fchmod(memory, 0400) < 0 || fsync(memory) < 0 ||
                   fsync(devices) < 0 || fsync(dir) < 0))
        r = -errno;
    return r;
}

/* In place of the one that is there, whose disk goes with it. */
static int replace(int snapshots_fd, int disks_fd, const char *from, const char *to)
{
    char old[SANDBOX_ID_LEN + 1] = "";
    _cleanup_buf_ struct buf text = BUF_INIT(MACHINE_MANIFEST_BYTES);
    _cleanup_close_ int dir =
        openat(snapshots_fd, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && read_manifest(dir, &text) == 0)
        (void)manifest_kept(buf_slice(&text), old, NULL);
    int r = fs_remove_tree(snapshots_fd, to, NULL);
    CRASH_POINT("priv.snapshot.old-removed");
    if (r == 0 && (renameat(snapshots_fd, from, snapshots_fd, to) < 0 || fsync(snapshots_fd) < 0))
        r = -errno;
    CRASH_POINT("priv.snapshot.renamed");
    if (r == 0 && old[0] != '\0')
        (void)disk_kept_remove(disks_fd, old); /* else machine_reap_kept() does it, some time */
    return r;
}

int machine_draft_commit(int snapshots_fd, int disks_fd, const char *id, struct err *err)
{
    char name[DRAFT_NAME_BYTES], template_id[TEMPLATE_ID_LEN + 1];
    _cleanup_buf_ struct buf text = BUF_INIT(MACHINE_MANIFEST_BYTES);
    draft_name(name, id);
    _cleanup_close_ int dir =
        openat(snapshots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = dir < 0 ? -errno : read_manifest(dir, &text);
    if (r == 0)
        r = manifest_template(buf_slice(&text), template_id);
    if (r == 0)
        r = draft_finish(dir);
    if (r < 0)
        return err_sys(err, r, "finish the snapshot of a template");
    CRASH_POINT("priv.snapshot.finished");
    r = disk_keep(disks_fd, id, err);
    CRASH_POINT("priv.snapshot.disk-kept");
    if (r < 0)
        return r;
    r = replace(snapshots_fd, disks_fd, name, template_id);
    CRASH_POINT("priv.snapshot.published");
    return r < 0 ? err_sys(err, r, "publish the snapshot of a template") : 0;
}

/* ---- after a start ---- */

struct kept_search {
    struct helper *h;
    const char *kept;
    bool found;
};

static int each_folder(int fd, void (*each)(void *user, const char *name), void *user)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (dir == NULL) {
        (void)fd_close(copy);
        return -EIO;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        each(user, e->d_name);
    (void)closedir(dir);
    return 0;
}

static void compare_kept(void *user, const char *name)
{
    struct kept_search *k = user;
    char kept[SANDBOX_ID_LEN + 1];
    _cleanup_buf_ struct buf text = BUF_INIT(MACHINE_MANIFEST_BYTES);
    if (!id_is_template(name) && !slice_has_prefix(slice_str(name), draft_prefix))
        return;
    _cleanup_close_ int dir =
        openat(k->h->machines.snapshots_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && read_manifest(dir, &text) == 0 &&
        manifest_kept(buf_slice(&text), kept, NULL) == 0 && strcmp(kept, k->kept) == 0)
        k->found = true;
}

static void reap_kept(void *user, const char *kept)
{
    struct kept_search k = {.h = user, .kept = kept};
    if (each_folder(k.h->machines.snapshots_fd, compare_kept, &k) == 0 && !k.found)
        (void)disk_kept_remove(k.h->disks.dir_fd, kept);
}

static void reap_draft(void *user, const char *name)
{
    struct helper *h = user;
    const char *id = name + sizeof(draft_prefix) - 1;
    if (slice_has_prefix(slice_str(name), draft_prefix) && id_is_sandbox(id) &&
        sandbox_find(h, id) == NULL)
        machine_draft_remove(h->machines.snapshots_fd, id);
}

static void reap_qmp(void *user, const char *name)
{
    struct helper *h = user;
    char id[SANDBOX_ID_LEN + 1];
    (void)snprintf(id, sizeof(id), "%.*s", (int)SANDBOX_ID_LEN, name);
    if (id_is_sandbox(id) && sandbox_find(h, id) == NULL)
        (void)unlinkat(h->machines.qmp_fd, name, 0);
}

void machine_reap_kept(struct helper *h)
{
    if (disks_each_kept(&h->disks, reap_kept, h) < 0)
        log_warning("the disks of snapshots could not be looked through");
}

void machine_reap(struct helper *h)
{
    if (each_folder(h->machines.snapshots_fd, reap_draft, h) < 0 ||
        each_folder(h->machines.qmp_fd, reap_qmp, h) < 0)
        log_warning("what machines of the last run left could not be looked through");
    machine_reap_kept(h);
}
