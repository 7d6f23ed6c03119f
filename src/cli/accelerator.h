/* Whether this host runs virtual machines by hardware: not whether it says so, but whether it does. */
#pragma once

#include <stdbool.h>

struct accelerator {
    bool kvm;
    char reason[128]; /* for people: what was found */
};

/*
 * Looks at the processor and at /dev/kvm, and runs a guest of one instruction. A /dev/kvm without a
 * processor's extension behind it is paravirtual: it answers, but ordinary guests hang in it.
 */
void accelerator_probe(struct accelerator *ret);
