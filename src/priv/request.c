#include "priv/request.h"

#include "base/ids.h"

#include <string.h>

static bool is_hello(const void *packet)
{
    const struct priv_hello *q = packet;
    return q->magic == PRIV_MAGIC;
}

static bool is_terminated(const char *s, size_t n)
{
    return memchr(s, '\0', n) != NULL;
}

static bool is_secret(const char s[static PRIV_SECRET_BYTES])
{
    for (unsigned i = 0; i < PRIV_SECRET_LEN; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return s[PRIV_SECRET_LEN] == '\0';
}

static bool is_start(const void *packet)
{
    const struct priv_start *q = packet;
    return is_terminated(q->id, sizeof(q->id)) && id_is_sandbox(q->id) &&
           is_terminated(q->template_id, sizeof(q->template_id)) &&
           id_is_template(q->template_id) && is_secret(q->control_secret) && q->internet <= 1 &&
           q->kind < PRIV_KIND_MAX_;
}

static bool is_stop(const void *packet)
{
    const struct priv_stop *q = packet;
    return is_terminated(q->id, sizeof(q->id)) && id_is_sandbox(q->id);
}

static bool is_snapshot(const void *packet)
{
    const struct priv_snapshot *q = packet;
    return is_terminated(q->id, sizeof(q->id)) && id_is_sandbox(q->id);
}

bool priv_request_check(const void *packet, size_t n)
{
    struct priv_head head;
    if (n < sizeof(head))
        return false;
    memcpy(&head, packet, sizeof(head));
    switch (head.op) {
    case PRIV_HELLO:
        return n == sizeof(struct priv_hello) && is_hello(packet);
    case PRIV_START:
        return n == sizeof(struct priv_start) && is_start(packet);
    case PRIV_STOP:
        return n == sizeof(struct priv_stop) && is_stop(packet);
    case PRIV_SNAPSHOT:
        return n == sizeof(struct priv_snapshot) && is_snapshot(packet);
    case PRIV_LIST:
        return n == sizeof(struct priv_list);
    default:
        return false;
    }
}
