/*
 * The writing side of POST /files, without HTTP: bytes of a body go in, files come out. One file at
 * a time is open. Blocking: pool threads only.
 */
#pragma once

#include "envd/files.h"
#include "envd/multipart.h"

struct upload {
    const struct user *user;        /* borrowed */
    const char *workdir;            /* borrowed */
    int own_memory_fd;              /* borrowed; see config.h */
    char target[ENVD_PATH_MAX + 1]; /* query parameter, resolved; "" when not given */
    bool multipart;
    struct multipart parser;
    bool skipping;  /* the present part is no file of ours */
    int fd;         /* owned; the file being written */
    bool in_memory; /* that file lies in a tmpfs */
    char **written; /* owned strings: resolved paths, in order */
    size_t n_written;
    unsigned status; /* HTTP status of a failure, 0 while all is well */
};

/*
 * What we write into a tmpfs counts as our own memory, and without any the sandbox would end: above this it
 * is refused.
 */
enum { UPLOAD_IN_MEMORY_MAX_BYTES = 160 << 20 };

/* For a raw body `target` is the file; for multipart the parser must be ready. */
void upload_init(struct upload *u, const struct user *user, const char *workdir, int own_memory_fd);
void upload_done(struct upload *u);

/* Both return 0, or a negative errno with err and u->status set. */
int upload_feed(struct upload *u, struct slice data, struct err *err);
int upload_end(struct upload *u, struct err *err);

extern const struct multipart_ops upload_multipart_ops; /* user: the upload */
