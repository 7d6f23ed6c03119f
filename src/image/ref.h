/* How clients name a template: an id or an alias, with an optional tag. Text only, no disk. */
#pragma once

#include "base/ids.h"
#include "base/slice.h"

struct template_ref {
    char name[TEMPLATE_ALIAS_MAX + 1]; /* the id or the alias */
    bool maybe_id;                     /* has the shape of an id (an alias may have it too) */
};

/*
 * "name" or "name:default"; the name is an alias or an id. Returns 0, -EINVAL for what is no
 * reference, -ENOENT for a well-formed tag other than "default" (there are no others).
 */
int template_ref_parse(struct slice s, struct template_ref *ret);
