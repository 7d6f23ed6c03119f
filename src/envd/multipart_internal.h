/* Between the files of the multipart parser. */
#pragma once

#include "envd/multipart.h"

struct multipart_disposition {
    struct buf name, filename;
    bool has_filename;
};

/*
 * Read Content-Disposition out of a part's head (ends with an empty line). 0, or -EINVAL. Fields
 * other than that are checked for form only. `ret` must be given to _done() in any case.
 */
int multipart_head_parse(struct slice head, struct multipart_disposition *ret);
void multipart_disposition_done(struct multipart_disposition *d);
