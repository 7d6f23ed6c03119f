/*
 * The first content of a root file system: mmdebstrap, told by the host's apt where packages come
 * from. Neither an archive's name nor a proxy is known to us; both are the host's or the caller's.
 */
#include "image/build_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"
#include "image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char CODENAME[] = "bookworm";
static const char DEBIAN_KEYRING[] = "/usr/share/keyrings/debian-archive-keyring.gpg";

enum { SOURCES_MAX_BYTES = 128 * 1024, APT_CONF_MAX_BYTES = 16 * 1024, COUNT_MAX = 100000 };

static int from_mirror(const struct image_build_opts *o, struct apt_sources *s, struct err *err)
{
    const char *keyring = o->keyring != NULL ? o->keyring : DEBIAN_KEYRING;
    if (!apt_uri_is_http(slice_str(o->mirror)))
        return err_set(err, -EINVAL, ERR_INVALID, "the mirror must be an http or https URL");
    char line[APT_URI_MAX + APT_PATH_MAX + 64];
    int n =
        snprintf(line, sizeof(line), "deb [signed-by=%s] %s %s main", keyring, o->mirror, CODENAME);
    if (n < 0 || (size_t)n >= sizeof(line))
        return err_set(err, -EINVAL, ERR_INVALID, "the keyring's path is too long");
    int r = apt_sources_parse_list(slice_of(line, (size_t)n), s, err);
    if (r == 0 && (s->n != 1 || s->v[0].key_inline))
        r = err_set(err, -EINVAL, ERR_INVALID, "the keyring must be an absolute path");
    return r;
}

static int from_host(const struct image_build_opts *o, struct apt_sources *s, struct err *err)
{
    const char *dir = o->apt_dir != NULL ? o->apt_dir : "/etc/apt";
    int r = apt_sources_read(dir, s, err);
    if (r < 0)
        return r;
    if (apt_sources_keep_debian(s, CODENAME) == 0)
        return err_set(err, -ENOENT, ERR_NOT_FOUND,
                       "%s names no Debian archive with suite %s and component main; give one "
                       "with --mirror URL",
                       dir, CODENAME);
    return 0;
}

static int write_sources(struct build *b, struct err *err)
{
    _cleanup_free_ struct apt_sources *s = calloc(1, sizeof(*s));
    _cleanup_buf_ struct buf text = BUF_INIT(SOURCES_MAX_BYTES);
    if (s == NULL)
        return err_sys(err, -ENOMEM, "read package sources");
    int r = b->opts->mirror != NULL ? from_mirror(b->opts, s, err) : from_host(b->opts, s, err);
    if (r == 0)
        r = apt_sources_render(s, DEBIAN_KEYRING, &text);
    return r < 0 ? r : fs_replace_file(b->dir_fd, "sources.list", buf_slice(&text), 0644, err);
}

/* "Key "value";" of apt-config's dump: what a download needs to work as the host's own does. */
static bool is_passed_option(struct slice line)
{
    static const char *const keys[] = {
        "Acquire::http::Proxy",   "Acquire::https::Proxy",      "Acquire::https::CaInfo",
        "Acquire::http::Timeout", "Acquire::Check-Valid-Until", "Acquire::Retries",
        "Acquire::Check-Date",
    };
    struct slice key = slice_sub(line, 0, slice_find(line, ' '));
    if (!slice_has_suffix(line, "\";") || slice_has_suffix(line, " \"\";"))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        size_t n = strlen(keys[i]);
        bool per_host = slice_has_suffix(slice_str(keys[i]), "Proxy");
        if (slice_has_prefix(key, keys[i]) &&
            (key.n == n || (per_host && slice_has_prefix(slice_from(key, n), "::"))))
            return true;
    }
    return false;
}

static void apt_option_line(void *user, struct slice line)
{
    struct buf *conf = user;
    if (is_passed_option(line) && buf_put_slice(conf, line) == 0)
        (void)buf_put_char(conf, '\n'); /* sticky */
}

/* A file rather than arguments: a proxy's URL may hold a password. */
static int write_apt_conf(struct build *b, struct err *err)
{
    static const char *const argv[] = {"apt-config", "dump", NULL};
    _cleanup_buf_ struct buf conf = BUF_INIT(APT_CONF_MAX_BYTES);
    struct image_run run = {
        .argv = argv, .cancel_fd = b->cancel_fd, .line = apt_option_line, .user = &conf};
    /* Sticky. A mirror that is away for a minute must not cost the whole build; what the host
     * says about retries comes later and counts. */
    (void)buf_put_str(&conf, "Apt::Install-Recommends \"false\";\nAcquire::Retries \"8\";\n");
    int r = image_run(&run, err);
    if (r == -ENOENT && b->opts->mirror != NULL)
        r = 0; /* not a Debian host: nothing to pass on */
    if (r == 0 && conf.error < 0)
        r = err_sys(err, conf.error, "collect apt's options");
    return r < 0 ? r : fs_replace_file(b->dir_fd, "apt.conf", buf_slice(&conf), 0600, err);
}

/* "…, 480 newly installed, …" */
static void count_total(struct build *b, struct slice line)
{
    struct slice part;
    while (slice_next(&line, ',', &part)) {
        struct slice words = slice_trim(part), number;
        uint64_t n;
        if (slice_has_suffix(words, " newly installed") && slice_next(&words, ' ', &number) &&
            parse_u64(number, COUNT_MAX, &n) == 0)
            b->packages += n;
    }
}

/* Lines that say nothing which the counted ones do not. */
static bool is_noise(struct slice line)
{
    static const char *const noise[] = {"Selecting previously", "Preparing to unpack", "(Reading"};
    for (size_t i = 0; i < ARRAY_LEN(noise); i++)
        if (slice_has_prefix(line, noise[i]))
            return true;
    return false;
}

/* "Setting up git (1:2.39.5-0+deb12u3) ..." after `what` as "<verb> 17 of 545: git". */
static bool tell_counted(struct build *b, struct slice line, const char *what, const char *verb,
                         uint64_t *count)
{
    char text[IMAGE_RUN_LINE_MAX + 64];
    struct slice rest, name;
    if (!slice_has_prefix(line, what))
        return false;
    rest = slice_from(line, strlen(what));
    if (!slice_next(&rest, ' ', &name))
        return false;
    (*count)++;
    (void)snprintf(text, sizeof(text), "%s %u of %u: %.*s", verb, (unsigned)*count,
                   (unsigned)b->packages, (int)name.n, name.p); /* a name is part of a line */
    build_tell(b, text);
    return true;
}

static void bootstrap_line(void *user, struct slice line)
{
    struct build *b = user;
    char text[IMAGE_RUN_LINE_MAX + 1];
    count_total(b, line);
    if (is_noise(line) || tell_counted(b, line, "Unpacking ", "unpacked", &b->unpacked) ||
        tell_counted(b, line, "Setting up ", "configured", &b->configured))
        return;
    if (slice_copy(line, text, sizeof(text)) == 0)
        build_tell(b, text);
}

static int run_mmdebstrap(struct build *b, struct err *err)
{
    char include[4096], conf[PATH_MAX + 32], sources[PATH_MAX];
    if (snprintf(include, sizeof(include), "--include=%s", base_packages) >= (int)sizeof(include) ||
        snprintf(conf, sizeof(conf), "--aptopt=%s/apt.conf", b->dir_path) >= (int)sizeof(conf) ||
        fs_join(sources, sizeof(sources), b->dir_path, "sources.list") < 0)
        return err_sys(err, -ENAMETOOLONG, "name the build's files");
    const char *const argv[] = {"mmdebstrap",
                                "--mode=root",
                                "--variant=minbase",
                                "--format=directory",
                                "--verbose",
                                include,
                                conf,
                                CODENAME,
                                b->root_path,
                                sources,
                                NULL};
    struct image_run run = {
        .argv = argv, .cancel_fd = b->cancel_fd, .line = bootstrap_line, .user = b};
    int r = image_run(&run, err);
    if (r == -ENOENT)
        return err_set(err, r, ERR_NOT_FOUND,
                       "mmdebstrap is not installed (apt-get install mmdebstrap)");
    return r;
}

int build_bootstrap(struct build *b, struct err *err)
{
    int r = write_sources(b, err);
    if (r == 0)
        r = write_apt_conf(b, err);
    if (r == 0)
        r = run_mmdebstrap(b, err);
    if (r < 0)
        return r;
    if (unlinkat(b->dir_fd, "sources.list", 0) < 0 || unlinkat(b->dir_fd, "apt.conf", 0) < 0)
        return err_sys(err, -errno, "remove the build's settings");
    return 0;
}
