#include "priv/helper.h"

#include <errno.h>

static bool in_use(const struct helper *h, unsigned slot)
{
    return (h->slots[slot / 8] & 1u << slot % 8) != 0;
}

bool slot_claim_this(struct helper *h, unsigned slot)
{
    if (slot >= SLOTS_PER_INSTANCE || in_use(h, slot))
        return false;
    h->slots[slot / 8] |= (unsigned char)(1u << slot % 8);
    return true;
}

/* Round and round, so that an address is not given again at once: late packets find nobody. */
int slot_claim(struct helper *h, struct net_slot *ret, struct err *err)
{
    for (unsigned i = 0; i < SLOTS_PER_INSTANCE; i++) {
        unsigned slot = (h->next_slot + i) % SLOTS_PER_INSTANCE;
        if (!slot_claim_this(h, slot))
            continue;
        h->next_slot = slot + 1;
        (void)net_slot_get(h->options.instance, slot, ret); /* both are in range */
        return 0;
    }
    return err_set(err, -ENOSPC, ERR_LIMIT, "all %d network slots of this host are in use",
                   (int)SLOTS_PER_INSTANCE);
}

void slot_release(struct helper *h, unsigned slot)
{
    h->slots[slot / 8] &= (unsigned char)~(1u << slot % 8);
}
