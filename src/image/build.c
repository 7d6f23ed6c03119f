/*
 * One build from start to end: folder and lock, the table of steps, publication or removal.
 *
 * The folder .build-<id> is locked by flock for as long as its builder lives. A folder of that name
 * whose lock is free belongs to a builder that was killed, and is removed by the next build.
 */
#include "image/build_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/version.h"
#include "image/run.h"
#include "json/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const char BUILD_PREFIX[] = ".build-";

/* The base template takes about 1 GB, and as much again while packages are unpacked. */
static const uint64_t FREE_DISK_MIN_BYTES = 2ull << 30;

enum { TEMPLATE_JSON_BYTES = 4096 };

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / NS_PER_MS;
}

void build_tell(struct build *b, const char *detail)
{
    uint64_t now = now_ms();
    if (b->opts->progress == NULL || (detail != NULL && now < b->detail_ms))
        return;
    struct image_progress p = {
        .step = b->step,
        .n_steps = b->n_steps,
        .title = b->title,
        .detail = detail,
        .elapsed_ms = now - b->start_ms,
        .sparse = now >= b->sparse_ms,
    };
    b->detail_ms = now + BUILD_DETAIL_INTERVAL_MS;
    if (p.sparse || detail == NULL)
        b->sparse_ms = now + BUILD_SPARSE_INTERVAL_MS;
    b->opts->progress(b->opts->progress_user, &p);
}

static void tell_line(void *user, struct slice line)
{
    char text[IMAGE_RUN_LINE_MAX + 1];
    if (slice_copy(line, text, sizeof(text)) == 0)
        build_tell(user, text);
}

int build_run(struct build *b, bool inside, const char *const *argv, struct err *err)
{
    struct image_run run = {
        .argv = argv,
        .root = inside ? b->root_path : NULL,
        .cancel_fd = b->cancel_fd,
        .line = tell_line,
        .user = b,
    };
    return image_run(&run, err);
}

static int check_canceled(struct build *b, struct err *err)
{
    struct pollfd p = {.fd = b->cancel_fd, .events = POLLIN};
    if (poll(&p, 1, 0) > 0)
        return err_set(err, -ECANCELED, ERR_CONFLICT, "cancelled");
    return 0;
}

/* --- what is published ----------------------------------------------------------------------- */

static const char *alias_of(const struct build *b)
{
    return b->opts->alias != NULL ? b->opts->alias : "base";
}

static uint32_t or_default(uint32_t v, uint32_t otherwise)
{
    return v != 0 ? v : otherwise;
}

static int write_template_json(struct build *b, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(TEMPLATE_JSON_BYTES);
    struct json_writer w;
    char now[RFC3339_BYTES];
    rfc3339_format(clock_wall_ns(), now);
    jw_init(&w, &text);
    jw_obj(&w);
    jw_kstr(&w, "id", b->id);
    jw_kstr(&w, "alias", alias_of(b));
    jw_kstr(&w, "buildId", b->build_id);
    jw_ku64(&w, "cpuCount", or_default(b->opts->cpu_count, IMAGE_DEFAULT_CPU_COUNT));
    jw_ku64(&w, "memoryMB", or_default(b->opts->memory_mb, IMAGE_DEFAULT_MEMORY_MB));
    jw_ku64(&w, "diskMB", or_default(b->opts->disk_mb, IMAGE_DEFAULT_DISK_MB));
    jw_kstr(&w, "createdAt", now);
    jw_kstr(&w, "envdVersion", SILICA_ENVD_VERSION);
    jw_end(&w);
    (void)buf_put_char(&text, '\n');
    if (text.error < 0)
        return err_sys(err, text.error, "write template.json");
    return fs_replace_file(b->dir_fd, "template.json", buf_slice(&text), 0644, err);
}

static int write_identity(struct build *b, struct err *err)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "ENV_ID=%s\nTEMPLATE_ID=%s\nBUILD_ID=%s\n", b->id, b->id,
                     b->build_id);
    if (n < 0 || (size_t)n >= sizeof(text))
        return err_sys(err, -ENOBUFS, "write /.e2b");
    return root_write(b->root_fd, "/.e2b", text, 0644, err);
}

static int write_alias(struct build *b, struct err *err)
{
    char line[TEMPLATE_ID_LEN + 2];
    int n = snprintf(line, sizeof(line), "%s\n", b->id);
    _cleanup_close_ int fd = -EBADF;
    if (mkdirat(b->templates_fd, "aliases", 0755) < 0 && errno != EEXIST)
        return err_sys(err, -errno, "make the folder of aliases");
    fd = openat(b->templates_fd, "aliases", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "open the folder of aliases");
    return fs_replace_file(fd, alias_of(b), slice_of(line, (size_t)n), 0644, err);
}

/* All data first, then the name, then the alias: a power cut shows the old or the new template. */
static int publish(struct build *b, struct err *err)
{
    int r = write_template_json(b, err);
    if (r < 0)
        return r;
    if (fchmod(b->dir_fd, 0755) < 0 || syncfs(b->dir_fd) < 0)
        return err_sys(err, -errno, "sync the template");
    if (renameat(b->templates_fd, b->dir_name, b->templates_fd, b->id) < 0)
        return err_sys(err, -errno, "publish the template");
    (void)snprintf(b->dir_name, sizeof(b->dir_name), "%s", b->id); /* shorter: it fits */
    if (fsync(b->templates_fd) < 0)
        return err_sys(err, -errno, "sync the templates folder");
    return write_alias(b, err);
}

/* --- the table ------------------------------------------------------------------------------- */

static int do_step(struct build *b, const struct build_step *s, struct err *err)
{
    switch (s->kind) {
    case STEP_BOOTSTRAP:
        return build_bootstrap(b, err);
    case STEP_RUN:
        return build_run(b, true, s->argv, err);
    case STEP_WRITE:
        return root_write(b->root_fd, s->path, s->content, s->mode, err);
    case STEP_APPEND:
        return root_append(b->root_fd, s->path, s->content, err);
    case STEP_MAKE_DIR:
        return root_make_dir(b->root_fd, s->path, s->mode, err);
    case STEP_EMPTY_DIR:
        return root_remove(b->root_fd, s->path, true, err);
    case STEP_REMOVE:
        return root_remove(b->root_fd, s->path, false, err);
    case STEP_IDENTITY:
        return write_identity(b, err);
    case STEP_PUBLISH:
        return publish(b, err);
    case STEP_KIND_MAX_:
        break;
    }
    return err_set(err, -EINVAL, ERR_INTERNAL, "unknown step");
}

static int do_steps(struct build *b, struct err *err)
{
    for (size_t i = 0; i < n_base_steps; i++)
        b->n_steps += base_steps[i].title != NULL;
    for (size_t i = 0; i < n_base_steps; i++) {
        const struct build_step *s = &base_steps[i];
        if (s->title != NULL) {
            b->step++;
            b->title = s->title;
            build_tell(b, NULL);
        }
        int r = check_canceled(b, err);
        if (r == 0)
            r = do_step(b, s, err);
        if (r < 0)
            return err_wrap(err, "step '%s'", b->title);
    }
    return 0;
}

/* --- folder, lock, signals ------------------------------------------------------------------- */

static int is_build_dir(const struct dirent *e)
{
    struct slice name = slice_str(e->d_name);
    return slice_has_prefix(name, BUILD_PREFIX) && id_is_template(e->d_name + strlen(BUILD_PREFIX));
}

/* What killed builders left. One that still runs holds its lock. */
static int remove_stale(int templates_fd, struct err *err)
{
    struct dirent **names = NULL;
    int n = scandirat(templates_fd, ".", &names, is_build_dir, alphasort);
    int r = n < 0 ? err_sys(err, -errno, "read the templates folder") : 0;
    for (int i = 0; i < n; i++) {
        _cleanup_close_ int fd =
            openat(templates_fd, names[i]->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (r == 0 && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            r = fs_remove_tree(templates_fd, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    return r;
}

static int open_templates(struct build *b, struct err *err)
{
    struct statvfs vfs;
    int r = fs_mkdir_all(b->opts->templates_dir, 0755, err);
    if (r < 0)
        return r;
    b->templates_fd = open(b->opts->templates_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->templates_fd < 0 || fstatvfs(b->templates_fd, &vfs) < 0)
        return err_sys(err, -errno, "open '%s'", b->opts->templates_dir);
    r = remove_stale(b->templates_fd, err);
    if (r == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize < FREE_DISK_MIN_BYTES)
        return err_set(err, -ENOSPC, ERR_LIMIT, "'%s' has less than 2 GiB free",
                       b->opts->templates_dir);
    return r;
}

static int make_folder(struct build *b, struct err *err)
{
    _cleanup_free_ char *templates = realpath(b->opts->templates_dir, NULL);
    id_new_template(b->id);
    id_new_uuid(b->build_id);
    (void)snprintf(b->dir_name, sizeof(b->dir_name), "%s%s", BUILD_PREFIX, b->id); /* it fits */
    if (templates == NULL ||
        fs_join(b->dir_path, sizeof(b->dir_path), templates, b->dir_name) < 0 ||
        fs_join(b->root_path, sizeof(b->root_path), b->dir_path, "rootfs") < 0)
        return err_sys(err, -ENAMETOOLONG, "name the build's folder");
    if (mkdirat(b->templates_fd, b->dir_name, 0700) < 0)
        return err_sys(err, -errno, "make '%s'", b->dir_name);
    b->dir_fd = openat(b->templates_fd, b->dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->dir_fd < 0 || flock(b->dir_fd, LOCK_EX) < 0 || mkdirat(b->dir_fd, "rootfs", 0755) < 0 ||
        fchmodat(b->dir_fd, "rootfs", 0755, 0) < 0)
        return err_sys(err, -errno, "make '%s'", b->dir_name);
    b->root_fd = openat(b->dir_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return b->root_fd < 0 ? err_sys(err, -errno, "open '%s'", b->root_path) : 0;
}

static int check_opts(const struct image_build_opts *o, struct err *err)
{
    if (o->templates_dir == NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "templates_dir is missing");
    if (o->alias != NULL && !id_is_alias(o->alias))
        return err_set(err, -EINVAL, ERR_INVALID, "alias: 1 to %d of a-z, 0-9, '-' and '_'",
                       TEMPLATE_ALIAS_MAX);
    if (geteuid() != 0)
        return err_set(err, -EPERM, ERR_DENIED, "building a template needs root (use sudo)");
    return 0;
}

static int build_all(struct build *b, struct err *err)
{
    int r = open_templates(b, err);
    if (r < 0)
        return r;
    r = make_folder(b, err);
    if (r == 0)
        r = do_steps(b, err);
    if (r < 0 && b->dir_name[0] != '\0' && fs_remove_tree(b->templates_fd, b->dir_name, NULL) < 0)
        (void)err_wrap(err, "(the folder '%s' could not be removed)", b->dir_name);
    return r;
}

/* Blocks the signals and makes cancel_fd; *old is the mask to go back to. */
static int catch_signals(struct build *b, sigset_t *old, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    int r = pthread_sigmask(SIG_BLOCK, &set, old);
    if (r != 0)
        return err_sys(err, -r, "block signals");
    b->cancel_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (b->cancel_fd < 0) {
        r = err_sys(err, -errno, "make a signalfd");
        (void)pthread_sigmask(SIG_SETMASK, old, NULL);
        return r;
    }
    return 0;
}

/* The signals that cancelled us have done their work: they must not end the program afterwards. */
static void release_signals(struct build *b, const sigset_t *old)
{
    struct signalfd_siginfo si;
    while (read(b->cancel_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
        ;
    (void)pthread_sigmask(SIG_SETMASK, old, NULL);
}

int image_build_base(const struct image_build_opts *opts, struct err *err)
{
    struct build b = {.opts = opts,
                      .templates_fd = -EBADF,
                      .dir_fd = -EBADF,
                      .root_fd = -EBADF,
                      .cancel_fd = -EBADF,
                      .start_ms = now_ms()};
    sigset_t old;
    int r = check_opts(opts, err);
    if (r == 0 && opts->catch_signals)
        r = catch_signals(&b, &old, err);
    if (r < 0)
        return r;
    r = build_all(&b, err);
    if (opts->catch_signals)
        release_signals(&b, &old);
    if (r == 0 && opts->ret_id != NULL)
        memcpy(opts->ret_id, b.id, sizeof(b.id));
    b.root_fd = fd_close(b.root_fd);
    b.dir_fd = fd_close(b.dir_fd);
    b.templates_fd = fd_close(b.templates_fd);
    b.cancel_fd = fd_close(b.cancel_fd);
    return r;
}
