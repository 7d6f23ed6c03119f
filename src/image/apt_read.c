/* The files behind the host's package sources, in apt's order. */
#include "image/apt_internal.h"

#include "base/cleanup.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

static const char MIRROR_FILE[] = "mirror+file:";

/* apt's rule for names in sources.list.d: [A-Za-z0-9_.-]+ and the right ending. */
static bool is_name(const char *name, const char *suffix)
{
    if (name[0] == '.' || !slice_has_suffix(slice_str(name), suffix))
        return false;
    for (const char *p = name; *p != '\0'; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                  (*p >= '0' && *p <= '9') || *p == '_' || *p == '-' || *p == '.';
        if (!ok)
            return false;
    }
    return true;
}

static int is_source_name(const struct dirent *e)
{
    return is_name(e->d_name, ".list") || is_name(e->d_name, ".sources");
}

static int read_one(int dir_fd, const char *path, struct apt_sources *out, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(APT_FILE_MAX_BYTES);
    int r = fs_read_file(dir_fd, path, &text, err);
    if (r < 0)
        return r;
    r = slice_has_suffix(slice_str(path), ".sources")
            ? apt_sources_parse_deb822(buf_slice(&text), out, err)
            : apt_sources_parse_list(buf_slice(&text), out, err);
    return r < 0 ? err_wrap(err, "package sources '%s'", path) : 0;
}

static int read_parts(int dir_fd, struct apt_sources *out, struct err *err)
{
    struct dirent **names = NULL;
    int n = scandirat(dir_fd, "sources.list.d", &names, is_source_name, alphasort);
    int r = n < 0 && errno != ENOENT ? err_sys(err, -errno, "read sources.list.d") : 0;
    for (int i = 0; i < n; i++) {
        char path[NAME_MAX + sizeof("sources.list.d/")];
        if (r == 0 && (r = fs_join(path, sizeof(path), "sources.list.d", names[i]->d_name)) == 0)
            r = read_one(dir_fd, path, out, err);
        free(names[i]);
    }
    free(names);
    return r;
}

/* The first line of a mirror list: a URI, perhaps a tab and hints. Comments begin with '#'. */
static bool first_mirror(struct slice text, struct slice *ret)
{
    struct slice line;
    while (slice_next(&text, '\n', &line)) {
        line = slice_trim(slice_sub(line, 0, slice_find(line, '#')));
        line = slice_trim(slice_sub(line, 0, slice_find(line, '\t')));
        if (line.n > 0) {
            *ret = slice_sub(line, 0, slice_find(line, ' '));
            return true;
        }
    }
    return false;
}

/* A list that cannot be read leaves the URI as it is; it is no http URI and falls out later. */
static void resolve_mirror(struct apt_source *s)
{
    struct slice uri = slice_str(s->uri);
    if (!slice_has_prefix(uri, MIRROR_FILE))
        return;
    char path[APT_URI_MAX + 1];
    struct slice rest = slice_from(uri, strlen(MIRROR_FILE));
    while (slice_has_prefix(rest, "//"))
        rest = slice_from(rest, 1);
    _cleanup_buf_ struct buf text = BUF_INIT(APT_FILE_MAX_BYTES);
    struct slice mirror;
    if (slice_copy(rest, path, sizeof(path)) == 0 &&
        fs_read_file(AT_FDCWD, path, &text, NULL) == 0 && first_mirror(buf_slice(&text), &mirror) &&
        apt_uri_is_http(mirror))
        (void)slice_copy(mirror, s->uri, sizeof(s->uri)); /* apt_uri_is_http checked the size */
}

int apt_sources_read(const char *apt_dir, struct apt_sources *out, struct err *err)
{
    _cleanup_close_ int fd = open(apt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "open '%s'", apt_dir);
    int r = 0;
    if (faccessat(fd, "sources.list", F_OK, 0) == 0)
        r = read_one(fd, "sources.list", out, err);
    if (r == 0)
        r = read_parts(fd, out, err);
    for (size_t i = 0; r == 0 && i < out->n; i++)
        resolve_mirror(&out->v[i]);
    return r;
}
