/*
 * What micro-VMs are made of, prepared on the host before the first one starts.
 *
 *     <data>/machine/kernel/<package>_<version>/   Debian's kernel: vmlinuz and the modules we load
 *     <data>/machine/vmm/<id>/                     the root that QEMU gets in its jail
 *     <data>/machine/vmm/current                   the id that new machines use
 *     <templates>/<template>/rootfs.img            a template's root file system as an ext4 disk
 *
 * A folder of vmm holds QEMU with its libraries and firmware at the paths that it asks for
 * (/usr/bin/qemu-system-x86_64, -L /usr/share/qemu), guest/kernel, guest/initrd, and empty folders
 * proc, dev, run and tmp. Its id is a hash of all that, so that a snapshot names exactly what it was
 * made with; a published folder is never changed. All files belong to root, none is a link or setuid.
 *
 * All of this needs root, runs foreign programs by image_run() and blocks for seconds: it is for
 * commands and for the start of the server, not for a loop's thread.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

enum { MACHINE_ID_LEN = 20 }; /* hex digits */

struct machine_prepare_opts {
    const char *envd, *guest; /* paths of silica-envd and silica-guest; required */
    bool offline; /* never ask for packages: take a kernel that is prepared or installed */
    /* One line for a person about what begins; on the same thread; NULL for silence. */
    void (*progress)(void *user, const char *line);
    void *progress_user;
};

/*
 * Make <data>/machine/vmm/<id> current; nothing is changed when it is already. The kernel is the one
 * behind Debian's package linux-image-cloud-amd64, downloaded by the host's apt and not installed;
 * if that fails, the newest one from before. Several may run at once: they take turns.
 *
 * Returns 0 with the id; -ENOENT when QEMU or all kernels are missing (the message says what to
 * do); other negative errno. On failure what was current stays.
 */
int machine_prepare(const char *data_dir, const struct machine_prepare_opts *opts,
                    char ret_id[static MACHINE_ID_LEN + 1], struct err *err);

/*
 * Make the template's rootfs.img; nothing when it is there. `template_id` is an id, no alias. Takes
 * some seconds and as much disk as the template again. Returns 0 or a negative errno.
 */
int machine_base_image(const char *templates_dir, const char *template_id, struct err *err);
