/* Takes from silica-priv what it has no use for. A library of its own, so that tests can load it. */
#pragma once

#include "base/err.h"

/*
 * All stages of narrow.c, each read back. Call once, as root, before anything is opened but 0, 1, 2
 * and before there is a second thread. Fails as a whole: a helper that could not be narrowed must
 * not serve.
 */
int narrow(struct err *err);

/* The last stage, see filter.c: part of narrow(). */
int filter_load(struct err *err);
