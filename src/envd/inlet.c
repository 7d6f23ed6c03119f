/*
 * The poll handle is closed just before its descriptor, never later: libuv takes the number out of
 * epoll when it closes a handle, and by then the number could be another's. A client that goes away
 * does not take back what it sent.
 */
#include "envd/inlet.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

struct inlet_item {
    struct list link;
    void (*done)(void *user, int result);
    void *user;
    size_t at, n;
    char data[];
};

void inlet_init(struct inlet *in, size_t *queued_bytes)
{
    memset(in, 0, sizeof(*in));
    in->queued_bytes = queued_bytes;
    in->fd = -EBADF;
    list_init(&in->queue);
}

int inlet_open(struct inlet *in, uv_loop_t *loop, int fd)
{
    in->poll = xnew(uv_poll_t);
    int r = uv_poll_init(loop, in->poll, fd);
    if (r < 0) {
        (void)fd_close(fd);
        cleanup_freep(&in->poll);
        return r;
    }
    in->poll->data = in;
    in->fd = fd;
    return 0;
}

static void finish_item(struct inlet *in, struct inlet_item *it, int result)
{
    list_remove(&it->link);
    *in->queued_bytes -= it->n;
    it->done(it->user, result);
    free(it);
}

static void free_poll(uv_handle_t *h)
{
    free(h);
}

static void close_fd(struct inlet *in)
{
    if (in->fd < 0)
        return;
    uv_close((uv_handle_t *)take_ptr(&in->poll), free_poll);
    in->polling = false;
    in->fd = fd_close(in->fd);
}

void inlet_fail(struct inlet *in)
{
    close_fd(in);
    while (!list_empty(&in->queue))
        finish_item(in, container_of(in->queue.next, struct inlet_item, link), -EPIPE);
}

/* 1: written; 0: the pipe is full; <0: broken. */
static int write_item(struct inlet *in, struct inlet_item *it)
{
    while (it->at < it->n) {
        ssize_t n = write(in->fd, it->data + it->at, it->n - it->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return -errno;
        it->at += (size_t)n;
    }
    return 1;
}

static void flush(struct inlet *in);

static void on_writable(uv_poll_t *h, int status, int events)
{
    struct inlet *in = h->data;
    (void)events;
    if (status < 0) /* the reader closed its end */
        inlet_fail(in);
    else
        flush(in);
}

static void flush(struct inlet *in)
{
    while (in->fd >= 0 && !list_empty(&in->queue)) {
        struct inlet_item *it = container_of(in->queue.next, struct inlet_item, link);
        int r = write_item(in, it);
        if (r < 0) {
            inlet_fail(in);
            return;
        }
        if (r == 0) {
            if (!in->polling)
                (void)uv_poll_start(in->poll, UV_WRITABLE, on_writable);
            in->polling = true;
            return;
        }
        finish_item(in, it, 0);
    }
    if (in->fd >= 0 && in->polling)
        (void)uv_poll_stop(in->poll);
    in->polling = false;
    if (in->closing)
        close_fd(in);
}

int inlet_write(struct inlet *in, struct slice data, void (*done)(void *user, int result),
                void *user)
{
    if (in->fd < 0 || in->closing)
        return -EPIPE;
    if (data.n > PROCESS_STDIN_QUEUE_MAX_BYTES - *in->queued_bytes)
        return -ENOBUFS;
    struct inlet_item *it = malloc(sizeof(*it) + data.n);
    if (it == NULL)
        return -ENOMEM;
    *it = (struct inlet_item){.done = done, .user = user, .n = data.n};
    if (data.n != 0)
        memcpy(it->data, data.p, data.n);
    *in->queued_bytes += data.n;
    list_append(&in->queue, &it->link);
    if (!in->polling)
        flush(in);
    return 0;
}

void inlet_finish(struct inlet *in)
{
    in->closing = true;
    if (!in->polling)
        flush(in);
}
