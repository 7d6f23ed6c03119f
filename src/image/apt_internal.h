/* Shared by the readers of package sources only. */
#pragma once

#include "image/apt_sources.h"

/* What belongs to a whole line or stanza, before it is multiplied out over URIs and suites. */
struct apt_stanza {
    char signed_by[APT_PATH_MAX + 1];
    bool main, key_inline;
};

/* Take a Signed-By value: an absolute path, else it counts as an inline key. */
void apt_stanza_signed_by(struct apt_stanza *st, struct slice value);

/* Add one pair; what cannot be rendered in a plain line is left out silently. -E2BIG when full. */
int apt_sources_add(struct apt_sources *out, struct slice uri, struct slice suite,
                    const struct apt_stanza *st, struct err *err);
