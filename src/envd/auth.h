/*
 * Who may talk to the daemon (X-Access-Token) and on whose behalf (Authorization: Basic). The
 * second is no authentication: it picks the account, the password is ignored.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

struct request;

enum auth_rule {
    AUTH_TOKEN, /* the access token is needed when one is installed */
    AUTH_OWN,   /* the handler checks by itself (/health needs nothing) */
};

/* True when allowed; else answered 401. */
bool auth_check_token(struct request *r, enum auth_rule rule);

/* Fills r->user when Authorization names one. False when answered (unknown account). */
bool auth_pick_user(struct request *r);

/*
 * /files: the header, or a signature in the query. Signatures cannot be verified by this daemon
 * and are refused. True when allowed; else answered 401.
 */
bool auth_check_files(struct request *r);

/* The control plane's own secret, needed by /init and the freeze family. */
bool auth_control_ok(const struct request *r);
