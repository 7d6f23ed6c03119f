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
