// deps: priv_manifest base
/*
 * The manifest of a snapshot, as silica-priv reads it from its own folder: whatever is in the file, what
 * is taken are ids of the right form, and what differs is told in printable words of bounded length.
 */
#include "base/cleanup.h"
#include "priv/machine.h"
#include "priv/machine_manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct machine_shape shape = {.template_id = "abcdefghij0123456789",
                                               .vmm_id = "0123456789abcdef0123",
                                               .memory_bytes = 1 << 28,
                                               .disk_bytes = 1 << 30,
                                               .cpus = 1};
    char kept[SANDBOX_ID_LEN + 1], template_id[TEMPLATE_ID_LEN + 1], is[MACHINE_MANIFEST_BYTES];
    struct slice text = slice_of((const char *)data, n), rest;
    struct err err = {0};
    if (n > MACHINE_MANIFEST_BYTES)
        return -1;
    if (manifest_template(text, template_id) == 0)
        must(id_is_template(template_id));
    if (manifest_kept(text, kept, &rest) < 0)
        return 0;
    must(id_is_sandbox(kept) && rest.n < n && rest.p == text.p);
    must(machine_manifest(&shape, is) == 0);
    int r = manifest_compare(rest, is, &err);
    must(r == 0 || (r == -ESTALE && err.msg[0] != '\0'));
    must((r == 0) == slice_eq_str(rest, is));
    for (const char *c = err.msg; *c != '\0'; c++)
        must(*c >= ' ' && *c <= '~');
    return 0;
}
