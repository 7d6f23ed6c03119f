#include "sandbox/container/known.h"

#include <stdio.h>
#include <string.h>

struct known *known_find(struct list *all, const char *id)
{
    list_for_each_safe(it, next, all)
    {
        struct known *k = container_of(it, struct known, node);
        if (strcmp(k->id, id) == 0)
            return k;
    }
    return NULL;
}

void known_add(struct list *all, const char *id)
{
    struct known *k = known_find(all, id);
    if (k == NULL) {
        k = xnew(struct known);
        (void)snprintf(k->id, sizeof(k->id), "%s", id);
        list_append(all, &k->node);
    }
    k->seen = true;
}

bool known_remove(struct list *all, const char *id)
{
    struct known *k = known_find(all, id);
    if (k == NULL)
        return false;
    list_remove(&k->node);
    free(k);
    return true;
}

void known_clear(struct list *all)
{
    list_for_each_safe(it, next, all)
    {
        list_remove(it);
        free(container_of(it, struct known, node));
    }
}
