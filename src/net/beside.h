/*
 * Other firewalls of the host, beside ours: ufw, Docker, firewalld, an administrator's own rules.
 *
 * In nftables every chain at a hook has a word: what ours lets pass, another that drops what it does
 * not know drops all the same. So each of those gets the narrowest rules that let our links work, as
 * late as they can stand (what it forbids by a rule stays forbidden), with a comment that names the
 * instance; our own chains come before and have dropped already what must not pass. They are looked
 * for again whenever the host's rules change, and removed with the instance. Rules of others are never
 * touched. All functions speak of the caller's network namespace.
 *
 * Chains of iptables-legacy are no part of nftables and stay as they are: `silica doctor` names them.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

/* Chains that were looked at. */
struct beside {
    bool
        forwards; /* somebody else's chain decides on forwarding, or translates what is forwarded */
    bool alone;   /* our table has the chain "others" (policy_host.c) */
    bool ours;    /* there is a table of another instance */
};

/* Names are borrowed for the call. */
typedef void beside_told(void *user, const char *family, const char *table, const char *chain);

/* Look at all chains. -EAGAIN: they changed meanwhile, ask again. */
int beside_look(unsigned instance, struct beside *ret, struct err *err);

/*
 * The same, and put our rules where they are missing; `told` hears of each chain that got
 * some. *ret is set even when rules could not be put.
 */
int beside_apply(unsigned instance, struct beside *ret, beside_told *told, void *user,
                 struct err *err);

/* Remove them all. */
int beside_remove(unsigned instance, struct err *err);

/* A socket that becomes readable when the namespace's rules change (caller closes). */
int beside_watch(int *ret_fd, struct err *err);
/* Reads what it holds. */
void beside_drain(int fd);
