/*
 * Durable state: SQLite in WAL mode with full synchronisation behind functions that a server
 * database could stand behind later. One handle, one thread at a time (or under the caller's lock).
 * What a function acknowledged survives kill -9 and power loss.
 */
#pragma once

#include "base/err.h"

struct store;

/* Opens or creates the database file and brings its schema up to date. mode 0600. */
int store_open(const char *path, struct store **ret, struct err *err);
void store_close(struct store *s);

/*
 * Several writes as one: what stands between begin and finish is kept as a whole or not at all. The
 * thread that began writes alone until it finishes. May be nested; the outermost decides.
 */
int store_begin(struct store *s, struct err *err);
/* Keeps all when result >= 0, else nothing. Returns result, or why it could not be kept. */
int store_finish(struct store *s, int result, struct err *err);
