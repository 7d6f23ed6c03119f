/*
 * Ownership made visible: a resource dies with its scope, unless take_ptr() or take_fd() moves it
 * out. Declare guarded variables at the top of the scope and with an initialiser.
 */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define take_ptr(pp)                                                                               \
    ({                                                                                             \
        __typeof__(pp) take_pp_ = (pp);                                                            \
        __typeof__(*take_pp_) take_p_ = *take_pp_;                                                 \
        *take_pp_ = NULL;                                                                          \
        take_p_;                                                                                   \
    })

/* Closed and moved descriptors become -EBADF, so that a use after close fails loudly. */
static inline int take_fd(int *fd)
{
    int n = *fd;
    *fd = -EBADF;
    return n;
}

/* Closes unless negative, keeps errno. Returns -EBADF, to be assigned to the variable. */
static inline int fd_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;
        (void)close(fd); /* nothing can be done about a failing close of what we give up */
        errno = saved;
    }
    return -EBADF;
}

static inline void cleanup_freep(void *p)
{
    free(*(void **)p);
    *(void **)p = NULL;
}

static inline void cleanup_closep(int *fd)
{
    *fd = fd_close(*fd);
}

static inline void cleanup_filep(FILE **f)
{
    if (*f != NULL)
        (void)fclose(*f); /* writers check fflush themselves */
    *f = NULL;
}

#define _cleanup_free_  _cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_closep)
#define _cleanup_file_  _cleanup_(cleanup_filep)

/* Zeroed memory for small objects of fixed size, in programs only; aborts when memory is gone. */
#define xnew(type) ((type *)xnew_(sizeof(type)))
static inline void *xnew_(size_t n)
{
    void *p = calloc(1, n);
    if (p == NULL)
        abort();
    return p;
}
