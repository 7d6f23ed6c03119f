/* The sandboxes that run as far as the container driver knows, by id. */
#pragma once

#include "base/list.h"
#include "sandbox/driver.h"

struct known {
    struct list node;
    char id[SANDBOX_ID_BYTES];
    bool seen; /* by the check under way: what is not seen has ended while nobody told */
};

struct known *known_find(struct list *all, const char *id); /* NULL when there is none */
void known_add(struct list *all, const char *id);           /* once only; it counts as seen */
bool known_remove(struct list *all, const char *id);        /* false when there was none */
void known_clear(struct list *all);
