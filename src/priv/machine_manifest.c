/* What a snapshot was made with, as text: one line a fact, the last names the disk. */
#include "priv/machine_manifest.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "priv/machine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum { LINE_BYTES = 80 }; /* of a line that is told about */

/* Saved registers mean something to the same kind of processor alone. */
static void processor_name(char dst[static 96])
{
    _cleanup_buf_ struct buf text = BUF_INIT(65536); /* the first processors are enough */
    struct slice rest, line;
    (void)snprintf(dst, 96, "unknown");
    int r = fs_read_file(AT_FDCWD, "/proc/cpuinfo", &text, NULL);
    if (r < 0 && r != -ENOBUFS)
        return;
    rest = buf_slice(&text);
    while (slice_next(&rest, '\n', &line)) {
        size_t colon = slice_find(line, ':');
        if (!slice_has_prefix(line, "model name") || colon + 2 >= line.n)
            continue;
        (void)snprintf(dst, 96, "%.*s", (int)(line.n - colon - 2), line.p + colon + 2);
        return;
    }
}

int machine_manifest(const struct machine_shape *s, char dst[static MACHINE_MANIFEST_BYTES])
{
    char processor[96];
    processor_name(processor);
    int n = snprintf(dst, MACHINE_MANIFEST_BYTES,
                     "format 1\ntemplate %s\ntemplate-image %" PRIu64 " %" PRId64 "\nvmm %s\n"
                     "accelerator %s\nprocessor %s\nprocessors %u\nmemory %" PRIu64
                     "\ndisk %" PRIu64 "\n",
                     s->template_id, s->base_bytes, s->base_ns, s->vmm_id, s->kvm ? "kvm" : "tcg",
                     processor, s->cpus, s->memory_bytes, s->disk_bytes);
    return n < 0 || n >= MACHINE_MANIFEST_BYTES ? -ENOBUFS : 0;
}

int manifest_kept(struct slice text, char kept[static SANDBOX_ID_LEN + 1], struct slice *ret_rest)
{
    size_t line = sizeof(MANIFEST_KEPT_KEY) - 1 + SANDBOX_ID_LEN + 1;
    if (text.n < line)
        return -EBADMSG;
    struct slice last = slice_sub(text, text.n - line, line);
    if (!slice_has_prefix(last, MANIFEST_KEPT_KEY) || !slice_has_suffix(last, "\n") ||
        slice_copy(slice_sub(last, sizeof(MANIFEST_KEPT_KEY) - 1, SANDBOX_ID_LEN), kept,
                   SANDBOX_ID_LEN + 1) < 0 ||
        !id_is_sandbox(kept))
        return -EBADMSG;
    if (ret_rest != NULL)
        *ret_rest = slice_sub(text, 0, text.n - line);
    return 0;
}

int manifest_compare(struct slice was, const char *is, struct err *err)
{
    struct slice now = slice_str(is), a = {0}, b = {0};
    char old[LINE_BYTES], new[LINE_BYTES];
    if (slice_eq(was, now))
        return 0;
    while (slice_next(&was, '\n', &a) && slice_next(&now, '\n', &b))
        if (!slice_eq(a, b))
            return err_set(err, -ESTALE, ERR_CONFLICT,
                           "the snapshot was made with '%s', this would be '%s'",
                           log_quote(a, old, sizeof(old)), log_quote(b, new, sizeof(new)));
    return err_set(err, -ESTALE, ERR_CONFLICT, "the snapshot is of another format");
}

int manifest_template(struct slice text, char ret[static TEMPLATE_ID_LEN + 1])
{
    static const char key[] = "template ";
    struct slice line;
    for (unsigned i = 0; i < 2; i++)
        if (!slice_next(&text, '\n', &line))
            return -EBADMSG;
    if (!slice_has_prefix(line, key) ||
        slice_copy(slice_sub(line, strlen(key), line.n - strlen(key)), ret, TEMPLATE_ID_LEN + 1) <
            0 ||
        !id_is_template(ret))
        return -EBADMSG;
    return 0;
}
