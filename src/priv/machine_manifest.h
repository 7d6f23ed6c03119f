/* Reading the manifest of a snapshot; machine_manifest() of machine.h writes it. */
#pragma once

#include "base/err.h"
#include "base/ids.h"
#include "base/slice.h"

#define MANIFEST_KEPT_KEY "disk-file "

/* The id in the last line, which names the disk. ret_rest (may be NULL): all before. Returns 0 or -EBADMSG. */
int manifest_kept(struct slice text, char kept[static SANDBOX_ID_LEN + 1], struct slice *ret_rest);
/* The template that it is of: the second line. Returns 0 or -EBADMSG. */
int manifest_template(struct slice text, char ret[static TEMPLATE_ID_LEN + 1]);
/* Returns 0, or -ESTALE with the first line that differs. */
int manifest_compare(struct slice was, const char *is, struct err *err);
