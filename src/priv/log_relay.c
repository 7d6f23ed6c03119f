#include "priv/log_relay.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "priv/helper.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { LOG_PIPE_BYTES = 65536, NAME_BYTES = 32 };

static void pipe_name(char dst[static NAME_BYTES], const char *id)
{
    (void)snprintf(dst, NAME_BYTES, "%s.log", id);
}

int log_pipe_make(struct helper *h, const char *id, struct err *err)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    return mkfifoat(h->state_fd, name, 0600) < 0 ? err_sys(err, -errno, "make a log pipe") : 0;
}

static bool may_log(struct log_pipe *log)
{
    static struct log_rate all;
    if (log->lines >= LOG_LINES_PER_S || log->bytes > LOG_BYTES_PER_S ||
        !log_allow(&all, LOG_LINES_PER_S_OF_ALL))
        return false;
    log->lines++;
    return true;
}

static void put_line(struct log_pipe *log, struct slice line)
{
    char quoted[2 * LOG_PIECE_BYTES];
    if (slice_has_suffix(line, "\r")) /* a serial line's way */
        line = slice_sub(line, 0, line.n - 1);
    if (line.n == 0)
        return;
    if (may_log(log))
        log_info("%s of %s: %s", log->speaker, log->id, log_quote(line, quoted, sizeof(quoted)));
    else
        log->lost_bytes += line.n;
}

/* A serial line brings a character at a time: what has no end yet waits, up to a piece of it. */
static void put_lines(struct log_pipe *log, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        bool end = text.p[i] == '\n';
        if (!end)
            log->begun[log->n_begun++] = text.p[i];
        if (end || log->n_begun == sizeof(log->begun)) {
            put_line(log, slice_of(log->begun, log->n_begun));
            log->n_begun = 0;
        }
    }
}

/* One reading of what is in the pipe: never more than it can hold. */
static size_t throw_away(const struct log_pipe *log)
{
    static char nowhere[LOG_PIPE_BYTES];
    ssize_t n = read(log->fd, nowhere, sizeof(nowhere));
    return n > 0 ? (size_t)n : 0;
}

static void pause_pipe(struct helper *h, struct log_pipe *log)
{
    log->lost_bytes += throw_away(log);
    log->paused = true;
    helper_unwatch(h, log->fd);
}

static void on_text(struct watch *w, uint32_t events)
{
    struct log_pipe *log = container_of(w, struct log_pipe, watch);
    char piece[LOG_PIECE_BYTES];
    (void)events;
    ssize_t n = read(log->fd, piece, sizeof(piece));
    if (n <= 0)
        return;
    bool lost = log->lost_bytes > 0;
    log->bytes += (unsigned)n;
    put_lines(log, slice_of(piece, (size_t)n));
    if (log->bytes > LOG_BYTES_PER_S || log->lines >= LOG_LINES_PER_S)
        pause_pipe(log->helper, log);
    if (!lost && log->lost_bytes > 0)
        log_warning("%s of %s says too much: messages are dropped", log->speaker, log->id);
}

void log_pipe_turn(struct helper *h, struct log_pipe *log)
{
    if (log->fd < 0)
        return;
    log->lines = log->bytes = 0;
    size_t more = log->paused ? throw_away(log) : 0;
    if (log->paused && helper_watch(h, log->fd, &log->watch) < 0)
        return; /* no memory for it now: again in a second */
    log->paused = false;
    if (more == 0 && log->lost_bytes > 0) {
        log_warning("%s of %s: %llu bytes of its messages were dropped", log->speaker, log->id,
                    (unsigned long long)log->lost_bytes);
        log->lost_bytes = 0;
    }
    log->lost_bytes += more;
}

static int open_end(const struct helper *h, const char *id, int how)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    int fd = openat(h->state_fd, name, how | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int log_pipe_end(struct helper *h, const char *id, int how, int *ret_fd, struct err *err)
{
    int fd = open_end(h, id, how);
    if (fd < 0)
        return err_sys(err, fd, "open a log pipe");
    *ret_fd = fd;
    return 0;
}

int log_pipe_watch(struct helper *h, struct log_pipe *log, const char *id, const char *speaker,
                   struct err *err)
{
    *log = (struct log_pipe){.helper = h, .watch.on_event = on_text, .speaker = speaker};
    (void)snprintf(log->id, sizeof(log->id), "%s", id);
    log->fd = open_end(h, id, O_RDWR);
    if (log->fd < 0)
        return err_sys(err, log->fd, "open a log pipe");
    int r = helper_watch(h, log->fd, &log->watch);
    return r < 0 ? err_sys(err, r, "watch a log pipe") : 0;
}

void log_pipe_close(struct helper *h, struct log_pipe *log)
{
    if (log->fd >= 0 && !log->paused)
        helper_unwatch(h, log->fd);
    log->fd = fd_close(log->fd);
}

void log_pipe_remove(struct helper *h, const char *id)
{
    char name[NAME_BYTES];
    pipe_name(name, id);
    (void)unlinkat(h->state_fd, name, 0);
}
