/* Checks for virtual machines: what `--driver auto` would take here and why; what they are made of. */
#include "cli/accelerator.h"
#include "cli/doctor.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/ids.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static const char qemu[] = "/usr/bin/qemu-system-x86_64";

bool doctor_kvm(struct doctor *d)
{
    struct accelerator a;
    accelerator_probe(&a);
    return doctor_ok(d, "driver auto takes %s: %s%s", a.kvm ? "microvm" : "container", a.reason,
                     a.kvm ? "" : "; microvm works by software emulation, slower inside");
}

static bool is_prepared(const struct doctor *d)
{
    char path[PATH_MAX];
    _cleanup_buf_ struct buf id = BUF_INIT(64);
    return fs_join(path, sizeof(path), d->data, "machine/vmm/current") == 0 &&
           fs_read_file(AT_FDCWD, path, &id, NULL) == 0 && id.n > 0;
}

/* Nothing fails here: containers need none of it. */
bool doctor_machines(struct doctor *d)
{
    if (access(qemu, X_OK) < 0)
        return doctor_ok(d,
                         "%s is not installed: containers only (apt-get install "
                         "--no-install-recommends qemu-system-x86)",
                         qemu);
    if (access("/dev/net/tun", F_OK) < 0)
        return doctor_bad(d, "modprobe tun", "/dev/net/tun is missing");
    return doctor_ok(d,
                     is_prepared(d) ? "QEMU is there, kernel and QEMU are prepared in %s"
                                    : "QEMU is there; `silica template machine` prepares the "
                                      "rest in %s, or the first start with --driver microvm",
                     d->data);
}
