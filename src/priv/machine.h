/*
 * Virtual machines, as silica-priv makes them: QEMU in a jail, handed descriptors and nothing else.
 *
 *   DATA/machine/vmm/<id>/       a root with QEMU, its libraries and firmware, and in guest/ the kernel
 *                                and the initial file system of guests; `current` names the one in use.
 *                                Made by the command line (image/machine.h), root's alone
 *   DATA/machine/snapshots/<template>/
 *                                memory, devices, manifest: a machine of that template that was booted,
 *                                settled and stopped. Its disk lies with the other disks, kept under the
 *                                name that the manifest gives
 *   DATA/run/machines/<id>.qmp   where the daemon speaks to a machine's QEMU
 *
 * Booting and cloning are one start that differs in memory, disk and devices. The memory of a snapshot
 * reaches QEMU as a sealed memory file only: neither QEMU nor what a guest makes it do can change or
 * punch holes into what all clones share. The daemon drives QEMU by its own socket; what is done
 * here is what needs rights.
 *
 * A manifest says what a snapshot was made with. It is compared as a whole with what would be written
 * now: another QEMU, kernel, processor, size or template is another machine, and the answer is -ESTALE
 * with the first line that differs, upon which the daemon boots the template anew.
 */
#pragma once

#include "priv/helper.h"

#include <assert.h>

enum {
    MACHINE_TEXT_BYTES = 4096,
    MACHINE_ARGS_MAX = 96,
    MACHINE_LAUNCH_BYTES = 4096, /* always of this length: see machine_launch.c */
    MACHINE_MANIFEST_BYTES = 1024,
};

/* The descriptors that QEMU gets, by number. The daemon names MACHINE_FD_DEVICES in its requests. */
enum machine_fd {
    MACHINE_FD_MEMORY = 3,
    MACHINE_FD_LAYER,
    MACHINE_FD_BASE,
    MACHINE_FD_TAP,
    MACHINE_FD_QMP,
    MACHINE_FD_DEVICES,
    MACHINE_FD_LAUNCH,
    MACHINE_FD_END_
};

static_assert((int)MACHINE_FD_DEVICES == (int)PRIV_MACHINE_DEVICES_FD, "the daemon's word for it");

/* What makes two machines the same but for their state. */
struct machine_shape {
    char template_id[TEMPLATE_ID_LEN + 1];
    char vmm_id[TEMPLATE_ID_LEN + 1];
    uint64_t memory_bytes, disk_bytes;
    unsigned cpus;
    bool kvm;
    uint64_t base_bytes; /* the template's image: size and time of its last change */
    int64_t base_ns;
};

struct machine_args {
    char text[MACHINE_TEXT_BYTES];
    const char *argv[MACHINE_ARGS_MAX + 1];
};
/* machine_args.c: the command line, from numbers and checked ids alone. -ENOBUFS when it is too long. */
int machine_args_make(const struct machine_shape *shape, const char *id, bool boot,
                      struct machine_args *ret);
extern const char machine_program[]; /* QEMU's path in its root */

/* machine_launch.c: what envd is told, as a sealed memory file for QEMU's fw_cfg. Caller closes. */
int machine_launch_make(const struct priv_start *q, int *ret_fd, struct err *err);

/* machine_start.c: PRIV_START for both kinds of machines. */
int machine_start(struct helper *h, const struct priv_start *q, struct sandbox *s, struct err *err);

/* machine_manifest.c: everything but the line that names the disk. */
int machine_manifest(const struct machine_shape *shape, char dst[static MACHINE_MANIFEST_BYTES]);

/* machine_snapshot.c */
struct machine_snapshot {
    char kept[SANDBOX_ID_LEN + 1]; /* names the disk */
    int memory_fd;                 /* sealed; the helper's, do not close */
    int devices_fd;                /* caller closes */
};
/* -ENOENT: none; -ESTALE: made with something else, err says with what. */
int machine_snapshot_open(struct helper *h, const struct machine_shape *shape,
                          struct machine_snapshot *ret, struct err *err);
/* What a machine that boots writes: memory (for user `uid`) and devices, in a folder of their own. */
int machine_draft_make(struct helper *h, const char *id, const struct machine_shape *shape,
                       uint32_t uid, int *ret_memory_fd, int *ret_devices_fd, struct err *err);
void machine_draft_remove(int snapshots_fd, const char *id);
/* The draft becomes the template's snapshot; its disk is kept. The machine has ended. May take long. */
int machine_draft_commit(int snapshots_fd, int disks_fd, const char *id, struct err *err);
void machine_memories_drop(struct helper *h);
/* After a start: drafts and disks that belong to nothing are removed. */
void machine_reap(struct helper *h);
/* The same for disks alone, at any time: those that neither a snapshot nor a draft names. */
void machine_reap_kept(struct helper *h);

/* machine_host.c */
int machines_open(struct helper *h, struct err *err);
void machines_close(struct helper *h);
/* The root for QEMU, and its id; `current` is looked at each time. */
int machine_vmm(struct helper *h, struct err *err);
/* A listening socket that the daemon alone may connect to. Caller closes. */
int machine_qmp_listen(struct helper *h, const char *id, int *ret_fd, struct err *err);
void machine_qmp_remove(struct helper *h, const char *id);
/* Memory, processors and accelerator of what is asked for. */
int machine_shape_of(struct helper *h, const struct priv_start *q, int base_fd,
                     struct machine_shape *ret, struct err *err);
