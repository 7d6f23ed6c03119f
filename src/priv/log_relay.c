/*
 * What silica-envd writes to its standard error, as lines of our own log.
 *
 * It goes through a named pipe, so that it survives a restart of this program: envd's end is opened
 * for reading too (no SIGPIPE when nobody reads) and non-blocking (a full pipe drops lines and
 * stops nobody). The text comes from inside a sandbox: read in small bounded pieces, quoted,
 * rate-limited.
 */
#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { LOG_PIECE_BYTES = 400, LOG_FLOOD_BYTES = 65536, LOG_LINES_PER_S = 20, NAME_BYTES = 32 };

static void pipe_name(char dst[static NAME_BYTES], const char *id)
{
    (void)snprintf(dst, NAME_BYTES, "%s.log", id);
}

/* The end that envd gets is opened here too; see sandbox start. */
int log_pipe_make(struct helper *h, const char *id, struct err *err)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    return mkfifoat(h->state_fd, name, 0600) < 0 ? err_sys(err, -errno, "make a log pipe") : 0;
}

static void on_text(struct watch *w, uint32_t events)
{
    static struct log_rate rate;
    struct log_pipe *log = container_of(w, struct log_pipe, watch);
    static char flood[LOG_FLOOD_BYTES];
    char piece[LOG_PIECE_BYTES], quoted[2 * LOG_PIECE_BYTES];
    (void)events;
    ssize_t n = read(log->fd, piece, sizeof(piece));
    if (n > 0 && !log_allow(&rate, LOG_LINES_PER_S)) {
        (void)!read(log->fd, flood, sizeof(flood)); /* the whole pipe: what is too much is lost */
        return;
    }
    if (n <= 0)
        return;
    struct slice rest = slice_of(piece, (size_t)n), line;
    while (slice_next(&rest, '\n', &line))
        if (line.n > 0)
            log_info("envd of %s: %s", log->id, log_quote(line, quoted, sizeof(quoted)));
}

int log_pipe_watch(struct helper *h, struct log_pipe *log, const char *id, struct err *err)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    log->fd = openat(h->state_fd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (log->fd < 0)
        return err_sys(err, -errno, "open a log pipe");
    log->watch.on_event = on_text;
    (void)snprintf(log->id, sizeof(log->id), "%s", id);
    int r = helper_watch(h, log->fd, &log->watch);
    return r < 0 ? err_sys(err, r, "watch a log pipe") : 0;
}

void log_pipe_close(struct helper *h, struct log_pipe *log)
{
    if (log->fd >= 0)
        helper_unwatch(h, log->fd);
    log->fd = fd_close(log->fd);
}

void log_pipe_remove(struct helper *h, const char *id)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    (void)unlinkat(h->state_fd, name, 0);
}
