/*
 * A machine of the sandbox's own, that may be a clone.
 *
 * A template's machine is booted once, with this daemon running, and a snapshot of it is woken for each
 * sandbox. So the daemon finds itself, between two turns of its loop, in another machine: with the
 * snapshot's memory, names, clock and random numbers. Nothing tells it; it looks when the control plane
 * says /init, which it does after every start and before anybody else can reach the sandbox.
 *
 *   SETTLED   what the launch file said when it was last looked at is what the system is
 *   CHANGED   machine_look() found another sandbox or secret: secret, ids and limits are taken over,
 *             the old secret opens nothing any more; the system still is the snapshot's
 *
 * machine_become() leads from CHANGED to SETTLED, in an /init that has shown the new secret, and before
 * it is answered. When it fails half-way the state stays, and the next /init does all of it again.
 *
 * What becomes new: the kernel's random numbers first, as names are made of them; then hostname,
 * /etc/hostname, /etc/hosts, an /etc/machine-id that was empty or ours, the marks, the settings but for
 * the token, which /init itself replaces, and the record of exits. When only the secret is new the
 * sandbox was not cloned but came back: then it is the random numbers and the age of the last /init.
 * Processes of the snapshot go on: whether a template has any is up to who made it. What the C library,
 * jansson (the seed of its tables) and the layout of memory keep of the snapshot stays; random numbers
 * of the daemon itself come from the kernel each time.
 *
 * Without config.machine both calls do nothing and no file is looked at.
 */
#pragma once

#include "base/err.h"
#include "envd/config.h"
#include "envd/identity.h"
#include "json/json.h"

#include <stdint.h>

struct envd;

/* What is the kernel's. Each returns 0 or a negative errno. */
struct machine_effects {
    int (*add_entropy)(const unsigned char bytes[static CONFIG_ENTROPY_BYTES]);
    int (*set_hostname)(const char *name);
    int64_t (*clock_ns)(void);
    int (*set_clock_ns)(int64_t wall_ns);
};
extern const struct machine_effects machine_system;

struct machine {
    const struct machine_effects *effects;       /* borrowed */
    const char *root;                            /* borrowed; the root folder */
    bool changed;                                /* CHANGED */
    bool renamed;                                /* CHANGED, and to another sandbox */
    unsigned char entropy[CONFIG_ENTROPY_BYTES]; /* while CHANGED */
    char machine_id[MACHINE_ID_DIGITS + 1];      /* the one that we wrote; "" : none */
};

/* At the start. The entropy of the boot is used up: it is gone from `c` afterwards. */
void machine_init(struct machine *m, struct envd_config *c, const struct machine_effects *effects,
                  const char *root);

/*
 * Read the launch file anew, before the secret of a request is compared. A negative errno: it cannot
 * be read or is malformed, nothing was taken over and no secret may be accepted.
 */
int machine_look(struct envd *e, struct err *err);

/*
 * For an authorised /init, before its body is applied: set the clock to its timestamp, unless it is
 * older than the last, and become the sandbox that machine_look() found. A negative errno: try again.
 */
int machine_become(struct envd *e, const struct json_ref *init, struct err *err);
