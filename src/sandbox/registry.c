/*
 * The registry: a hash of all sandboxes by id, and the list of the running ones in order.
 *
 * Ids are random, so any mixing of their bytes spreads them; a client cannot choose one.
 */
#include "sandbox/sandbox_internal.h"

#include <assert.h>
#include <string.h>

static struct sandbox **bucket_of(struct sandbox_manager *m, const char *id)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (const char *p = id; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return &m->buckets[h % REGISTRY_BUCKETS];
}

struct sandbox *registry_find(struct sandbox_manager *m, const char *id)
{
    for (struct sandbox *sb = *bucket_of(m, id); sb != NULL; sb = sb->next_in_bucket)
        if (strcmp(sb->id, id) == 0)
            return sb;
    return NULL;
}

void registry_add(struct sandbox *sb)
{
    struct sandbox **at = bucket_of(sb->m, sb->id);
    sb->next_in_bucket = *at;
    *at = sb;
    sb->m->n++;
}

void registry_remove(struct sandbox *sb)
{
    registry_hide(sb);
    struct sandbox **at = bucket_of(sb->m, sb->id);
    while (*at != NULL && *at != sb)
        at = &(*at)->next_in_bucket;
    assert(*at == sb);
    *at = sb->next_in_bucket;
    sb->m->n--;
}

static bool is_before(const struct sandbox *a, const struct sandbox *b)
{
    if (a->started_wall_ns != b->started_wall_ns)
        return a->started_wall_ns < b->started_wall_ns;
    return strcmp(a->id, b->id) < 0;
}

/* A new one is nearly always the latest, so the place is sought from the end. */
void registry_show(struct sandbox *sb)
{
    struct list *at = &sb->m->running;
    while (at->prev != &sb->m->running &&
           is_before(sb, container_of(at->prev, struct sandbox, node)))
        at = at->prev;
    list_insert_before(at, &sb->node);
}

void registry_hide(struct sandbox *sb)
{
    list_remove(&sb->node);
}

unsigned registry_count_team(const struct sandbox_manager *m, const char *team)
{
    unsigned n = 0;
    for (unsigned i = 0; i < REGISTRY_BUCKETS; i++)
        for (const struct sandbox *sb = m->buckets[i]; sb != NULL; sb = sb->next_in_bucket)
            if (sb->state != SANDBOX_KILLING && sb->team != NULL && strcmp(sb->team, team) == 0)
                n++;
    return n;
}

void registry_each(struct sandbox_manager *m, void (*f)(struct sandbox *sb, void *user), void *user)
{
    for (unsigned i = 0; i < REGISTRY_BUCKETS; i++)
        for (struct sandbox *sb = m->buckets[i], *next; sb != NULL; sb = next) {
            next = sb->next_in_bucket;
            f(sb, user);
        }
}
