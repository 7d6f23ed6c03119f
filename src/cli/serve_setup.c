/*
 * What must be there before the daemons start: folders with their owners, the database with a first
 * key, the listening socket.
 *
 * The database belongs to the daemon's user, who could put anything under its name; so root never
 * opens it. A child with the daemon's ids does, and hands the key back through a pipe.
 */
#include "cli/serve.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "store/keys.h"
#include "store/store.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { LISTEN_BACKLOG = 1024 };

/* Make DATA/name, or check what is there: a folder, then mode and owner are set on it. */
static int make_folder(const char *path, mode_t mode, uint32_t uid, struct err *err)
{
    if (mkdir(path, mode) != 0 && errno != EEXIST)
        return err_sys(err, -errno, "make %s", path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "open %s", path);
    if (fchown(fd, uid, uid) != 0 || fchmod(fd, mode) != 0)
        return err_sys(err, -errno, "set owner and mode of %s", path);
    return 0;
}

/* The instance number may change while nothing lives: then the database changes its owner too. */
static int own_state(const char *state, uint32_t uid, struct err *err)
{
    static const char *const names[] = {"silica.db", "silica.db-wal", "silica.db-shm"};
    _cleanup_close_ int dir = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, -errno, "open %s", state);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct stat st;
        _cleanup_close_ int fd =
            openat(dir, names[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0 || fstat(fd, &st) != 0)
            return err_sys(err, -errno, "open %s/%s", state, names[i]);
        if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
            return err_set(err, -EINVAL, ERR_DENIED, "%s/%s is not a plain file", state, names[i]);
        if (st.st_uid != uid && fchown(fd, uid, uid) != 0)
            return err_sys(err, -errno, "set the owner of %s/%s", state, names[i]);
    }
    return 0;
}

int serve_folders(const struct serve_settings *s, uint32_t uid, struct err *err)
{
    const struct {
        const char *name;
        mode_t mode;
        uint32_t uid;
    } folders[] = {
        {"state", 0700, uid},
        {"sandboxes", 0700, 0}, /* files of any id, set-uid ones too */
        {"run", 0755, 0},
    };
    char path[PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(folders); i++) {
        if (fs_join(path, sizeof(path), s->data, folders[i].name) != 0)
            return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
        r = make_folder(path, folders[i].mode, folders[i].uid, err);
        if (r == 0 && i == 0)
            r = own_state(path, uid, err);
    }
    if (r == 0)
        r = fs_mkdir_all(s->templates, 0755, err);
    if (r == 0 && fs_join(path, sizeof(path), s->templates, "aliases") == 0)
        r = fs_mkdir_all(path, 0755, err);
    return r;
}

/* What the child tells: 0 and perhaps a key, or the error. */
struct key_answer {
    struct err err;
    char key[API_KEY_BYTES];
};

static int become_user(uint32_t uid, struct err *err)
{
    uid_t r, e, v;
    if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
        return err_sys(err, -errno, "become user %u", uid);
    if (getresuid(&r, &e, &v) != 0 || r != uid || e != uid || v != uid)
        return err_set(err, -EPERM, ERR_INTERNAL, "the ids did not become %u", uid);
    (void)umask(077); /* cannot fail */
    return 0;
}

static void make_key(const char *data, uint32_t uid, bool need_key, struct key_answer *a)
{
    char path[PATH_MAX];
    struct store *store = NULL;
    struct key_info info;
    if (become_user(uid, &a->err) != 0)
        return;
    if (fs_join(path, sizeof(path), data, "state/silica.db") != 0) {
        (void)err_set(&a->err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
        return;
    }
    if (store_open(path, &store, &a->err) != 0)
        return;
    if (need_key)
        (void)store_key_create(store, "default", a->key, &info, &a->err);
    store_close(store);
}

static int key_in_child(const char *data, uint32_t uid, bool need_key, struct key_answer *ret,
                        struct err *err)
{
    int fds[2];
    _cleanup_(buf_wipe_done)
    struct buf got = BUF_INIT(sizeof(*ret));
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_sys(err, -errno, "open the database");
    _cleanup_close_ int out = fds[0], in = fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, -errno, "open the database");
    if (pid == 0) {
        struct key_answer a = {.key = ""};
        make_key(data, uid, need_key, &a);
        _exit(fs_write_all(in, &a, sizeof(a)) == 0 ? 0 : 1); /* fits a pipe's buffer */
    }
    in = fd_close(in);
    int r = fs_read_fd(out, &got);
    (void)waitpid(pid, NULL, 0);
    if (r < 0 || got.n != sizeof(*ret))
        return err_set(err, -EIO, ERR_INTERNAL, "the helper that opens the database failed");
    memcpy(ret, got.p, sizeof(*ret));
    if (ret->err.num != 0 && err != NULL)
        *err = ret->err;
    return ret->err.num;
}

int serve_first_key(const struct serve_settings *s, uint32_t uid, struct credentials *ret,
                    bool *ret_new, struct err *err)
{
    struct credentials c = {{0}};
    struct key_answer a = {.key = ""};
    struct err e = {0};
    int r = credentials_read(s->data, &c, &e);
    if (r != 0 && r != -ENOENT) {
        if (err != NULL)
            *err = e;
        return r;
    }
    *ret_new = c.api_key[0] == '\0';
    r = key_in_child(s->data, uid, *ret_new, &a, err);
    if (r != 0)
        return r;
    if (*ret_new)
        memcpy(c.api_key, a.key, sizeof(a.key));
    explicit_bzero(&a, sizeof(a));
    (void)snprintf(c.api_url, sizeof(c.api_url), "http://%s:%u", s->host, (unsigned)s->port);
    memcpy(c.sandbox_url, c.api_url, sizeof(c.sandbox_url));
    (void)snprintf(c.domain, sizeof(c.domain), "%s", s->domain);
    r = credentials_write(s->data, &c, err);
    if (r == 0)
        *ret = c;
    explicit_bzero(&c, sizeof(c));
    return r;
}

int serve_listen(struct serve_settings *s, int *ret_fd, struct err *err)
{
    int on = 1;
    _cleanup_close_ int fd =
        socket(s->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, -errno, "make a socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&s->addr, s->addr_len) != 0 || listen(fd, LISTEN_BACKLOG) != 0)
        return errno == EADDRINUSE
                   ? err_set(err, -EADDRINUSE, ERR_CONFLICT,
                             "%s is in use by another program; choose another with --listen",
                             s->listen)
                   : err_sys(err, -errno, "listen on %s", s->listen);
    socklen_t len = sizeof(s->addr);
    if (getsockname(fd, (struct sockaddr *)&s->addr, &len) != 0)
        return err_sys(err, -errno, "listen on %s", s->listen);
    s->port = ntohs(s->addr.ss_family == AF_INET ? ((struct sockaddr_in *)&s->addr)->sin_port
                                                 : ((struct sockaddr_in6 *)&s->addr)->sin6_port);
    *ret_fd = take_fd(&fd);
    return 0;
}
