/*
 * The launch object of a machine (docs/design/0001): the guest reads it through QEMU's fw_cfg, when it
 * boots and again when it was cloned. It is always of one length, because the guest learnt the length
 * when it booted.
 */
#include "priv/machine.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/random.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { ENTROPY_BYTES = 32 };

static int put_text(const struct priv_start *q, struct buf *text)
{
    char entropy[2 * ENTROPY_BYTES + 1];
    random_hex(entropy, ENTROPY_BYTES);
    (void)buf_printf(text,
                     "{\"sandboxId\":\"%s\",\"templateId\":\"%s\",\"controlSecret\":\"%s\","
                     "\"port\":%d,\"memoryBytes\":%llu,\"cpuMillis\":%u,\"diskBytes\":%llu,"
                     "\"pids\":%u,\"machine\":true,\"entropy\":\"%s\"}",
                     q->id, q->template_id, q->control_secret, (int)ENVD_PORT,
                     (unsigned long long)q->memory_bytes, q->cpu_millis,
                     (unsigned long long)q->disk_bytes, q->pids, entropy);
    while (text->error == 0 && text->n < MACHINE_LAUNCH_BYTES)
        (void)buf_put_char(text, '\n');
    explicit_bzero(entropy, sizeof(entropy));
    return text->error;
}

int machine_launch_make(const struct priv_start *q, int *ret_fd, struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf text = BUF_INIT(MACHINE_LAUNCH_BYTES);
    _cleanup_close_ int fd = memfd_create("silica-launch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : put_text(q, &text);
    if (r == 0)
        r = fs_write_all(fd, text.p, text.n);
    if (r == 0 &&
        (fchmod(fd, 0444) < 0 ||
         fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0))
        r = -errno;
    if (r < 0)
        return err_sys(err, r, "write what a machine is told");
    *ret_fd = take_fd(&fd);
    return 0;
}
