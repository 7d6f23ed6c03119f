/*
 * One request on its way through the daemon: the exchange, the account it speaks for, and the
 * reply headers that every answer carries. Lives until the exchange is closed and every piece of
 * work started for it has come back (it is counted).
 */
#pragma once

#include "envd/envd.h"
#include "envd/users.h"
#include "http/server.h"
#include "http/url.h"

enum { REQUEST_HEADERS_MAX = 16 };

struct request {
    struct envd *envd;        /* borrowed */
    struct http_exchange *x;  /* NULL once closed */
    struct url_target target; /* borrowed from the exchange */
    bool has_user;            /* an Authorization header named `user` */
    struct user user;
    unsigned refs;
    bool responded;
    /* Installed by the handler; all may be NULL. on_gone is the last, x is NULL in it. */
    void (*on_body)(struct request *r, struct slice data);
    void (*on_writable)(struct request *r);
    void (*on_gone)(struct request *r, int reason);
    void *state; /* the handler's */
};

/* Make one in the http handler; it installs the exchange's callbacks. Never NULL. */
struct request *request_new(struct envd *e, struct http_exchange *x);
void request_ref(struct request *r);
void request_unref(struct request *r);

/* Value of a request header, empty with p == NULL when missing or the exchange is closed. */
struct slice request_header(const struct request *r, const char *name);

/* Replies, with the CORS headers added. Nothing happens when the exchange is closed. */
int request_respond(struct request *r, unsigned status, const struct http_header *h, size_t n,
                    int64_t length);
void request_reply(struct request *r, unsigned status, const char *content_type, struct slice body);
void request_reply_with(struct request *r, unsigned status, const struct http_header *h, size_t n,
                        struct slice body);
/* The REST error body: {"code":<status>,"message":"..."} and a newline. */
void request_fail(struct request *r, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The account that a handler works for: the one named by Authorization, else the default user.
 * Returns 0, or -EACCES with the protocol's sentence in err.
 */
int request_user(struct request *r, struct user *ret, struct err *err);
