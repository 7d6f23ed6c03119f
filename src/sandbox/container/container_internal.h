/*
 * What the files of the container driver share: container.c holds the connection and the driver's
 * face, requests.c what was asked and not answered yet, told.c what the helper says by itself.
 */
#pragma once

#include "base/list.h"
#include "priv/client.h"
#include "sandbox/driver.h"

#include <uv.h>

enum request_kind { REQUEST_START, REQUEST_STOP, REQUEST_LIST, REQUEST_CHECK, REQUEST_SNAPSHOT };

struct request {
    struct list node; /* in container.pending */
    enum request_kind kind;
    bool sent;
    bool undo; /* a start in doubt: what is sent now is a stop for its id */
    uint32_t seq;
    uint64_t since_ns; /* when it began to wait for a connection */
    char id[SANDBOX_ID_BYTES];
    struct priv_start start;
    union {
        void (*started)(void *user, const struct driver_instance *inst, const struct err *err);
        void (*done)(void *user, const struct err *err);
    };
    void (*each)(void *user, const char *id, const struct driver_instance *inst);
    void *user;
};

struct container {
    struct driver base;
    uv_loop_t *loop;
    char *path; /* owned */
    struct priv_client client;
    uint32_t hello_seq;
    bool greeted;
    uv_poll_t poll;
    bool polling;
    uv_timer_t timer;
    unsigned handles;    /* open; the last one to close frees */
    struct list pending; /* of struct request */
    struct list known;   /* see known.h */
    bool closing;
};

/* container.c: look for the helper, and for what waits to be sent, by timer. */
void container_connect_later(struct container *c);

/* requests.c */
struct request *request_new(struct container *c, enum request_kind kind, const char *id,
                            void *user);
/* NULL when nobody waits for that number. */
struct request *request_find(struct container *c, uint32_t seq);
int request_send(struct container *c, struct request *q, struct err *err);
/* Calls back and frees. inst: of a start that went well. err: NULL on success. */
void request_finish(struct request *q, const struct priv_instance *inst, const struct err *err);
void request_instance(const struct priv_instance *p, struct driver_instance *ret);
/* Sends what waits. What does not fit now is tried again by the timer. */
void requests_flush(struct container *c);
/* Requests that waited too long for the helper are answered; a stop in doubt included. */
void requests_give_up(struct container *c);

/* told.c */
void told_exit(struct container *c, const struct priv_exit *e);
void told_event(struct container *c, const struct priv_event *e);
/* After a list was answered: sandboxes that it did not name have ended while nobody could tell. */
void told_nothing(struct container *c);
