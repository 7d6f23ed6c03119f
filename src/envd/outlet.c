#include "envd/outlet.h"

#include "base/cleanup.h"

#include <errno.h>

/* Pieces read in one turn of the loop: bounds what one chatty process takes from the others. */
enum { PIECES_PER_TURN = 4 };

static void free_outlet(uv_handle_t *h)
{
    free(container_of(h, struct outlet, poll));
}

int outlet_new(struct process *p, struct process_table *t, const char *name, int fd,
               struct outlet **ret)
{
    struct outlet *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        (void)fd_close(fd);
        return -ENOMEM;
    }
    o->p = p;
    o->t = t;
    o->name = name;
    o->fd = fd;
    list_init(&o->link);
    int r = uv_poll_init(t->loop, &o->poll, fd);
    if (r < 0) {
        (void)fd_close(fd);
        free(o);
        return r;
    }
    *ret = o;
    return 0;
}

void outlet_close(struct outlet *o)
{
    if (o == NULL)
        return;
    if (!list_empty(&o->link)) {
        list_remove(&o->link);
        o->t->n_orphans--;
    }
    uv_close((uv_handle_t *)&o->poll, free_outlet);
    o->fd = fd_close(o->fd);
}

int outlet_read(struct outlet *o)
{
    static char piece[PROCESS_READ_BYTES]; /* loop thread only */
    ssize_t n;
    do
        n = read(o->fd, piece, sizeof(piece));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return OUTLET_EMPTY;
    if (n <= 0)
        return OUTLET_END;
    if (o->p != NULL)
        process_on_output(o->p, o, slice_of(piece, (size_t)n));
    return OUTLET_MORE;
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct outlet *o = container_of(h, struct outlet, poll);
    struct process *p = o->p;
    int r = status < 0 ? OUTLET_END : OUTLET_MORE;
    (void)events;
    for (int i = 0; i < PIECES_PER_TURN && r == OUTLET_MORE; i++) {
        if (p != NULL && !process_wants_output(p))
            break;
        r = outlet_read(o);
    }
    if (r == OUTLET_END && p != NULL)
        process_on_outlet_end(p, o);
    else if (r == OUTLET_END)
        outlet_close(o);
    if (p != NULL)
        process_after_read(p);
}

void outlet_watch(struct outlet *o, bool want)
{
    if (o == NULL || o->polling == want)
        return;
    o->polling = want;
    if (want)
        (void)uv_poll_start(&o->poll, UV_READABLE, on_readable);
    else
        (void)uv_poll_stop(&o->poll);
}

void outlet_orphan(struct outlet *o)
{
    struct process_table *t = o->t;
    o->p = NULL;
    list_append(&t->orphans, &o->link);
    if (++t->n_orphans > PROCESS_ORPHAN_PIPES_MAX)
        outlet_close(container_of(t->orphans.next, struct outlet, link));
    else
        outlet_watch(o, true);
}
