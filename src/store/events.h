/*
 * What happened to sandboxes, kept for clients that ask later: one row an event, in the order in which
 * they were written. A row outlives its sandbox; rows go when they are old or too many (struct
 * event_keep), the oldest first. The last event of a sandbox that is gone is always its `killed`.
 *
 * Writes belong into the transaction of the change that they tell of (store_begin()). Reads are for
 * the loop's thread: they walk an index, and take some twenty milliseconds at the worst, for the last
 * page of EVENTS_ALL_MAX.
 */
#pragma once

#include "base/err.h"
#include "base/ids.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

enum {
    EVENTS_ALL_MAX = 100000,
    EVENTS_EACH_MAX = 500, /* of one sandbox */
    EVENTS_KEEP_DAYS = 7,
    EVENT_DATA_BYTES = 1024,
    EVENT_ID_BYTES = 37,
    EVENT_PAGE_MAX = 100,
};

/* The numbers are in the database. */
enum event_type {
    EVENT_CREATED = 1, /* it runs */
    EVENT_UPDATED = 2, /* its end was moved */
    EVENT_KILLED = 3,  /* nothing of it is left */
    EVENT_OUT_OF_MEMORY = 4,
    EVENT_PROCESS_LIMIT = 5,
    EVENT_DISK_FULL = 6,
    EVENT_INODES_FULL = 7,
    EVENT_TYPE_MAX_
};

/* "sandbox.lifecycle.created", ..., "silica.sandbox.out_of_memory", ... */
const char *event_type_name(enum event_type type);
/* 0 for what is no name. */
enum event_type event_type_parse(const char *name);

struct event {
    char id[EVENT_ID_BYTES]; /* a UUID, set by store_event_add() */
    char sandbox[SANDBOX_ID_LEN + 1];
    char team[EVENT_ID_BYTES], build_id[EVENT_ID_BYTES];
    char template_id[TEMPLATE_ID_LEN + 1];
    uint64_t lifecycle;
    enum event_type type;
    int64_t time_ns;             /* wall clock */
    char data[EVENT_DATA_BYTES]; /* a JSON object */
};

/* Adds the events, each under a fresh id, and removes what is too old or too many. */
int store_event_add(struct store *s, const struct event *events, size_t n, struct err *err);

struct event_query {
    const char *team;
    const char *sandbox; /* NULL: all of the team */
    uint32_t types;      /* bit n: type n; 0: all */
    bool ascending;
    uint32_t offset, limit;
};
/* A negative return of each() stops and is passed on; the event is borrowed. */
int store_event_each(struct store *s, const struct event_query *q,
                     int (*each)(const struct event *event, void *user), void *user,
                     struct err *err);
/* The newest event of that type; 1: *ret is set, 0: there is none. */
int store_event_last(struct store *s, const char *team, const char *sandbox, enum event_type type,
                     struct event *ret, struct err *err);

/* How much is kept; the defaults are the constants above. */
struct event_keep {
    uint32_t all, each;
    int64_t ns;
};
void store_event_keep(struct store *s, const struct event_keep *keep);
