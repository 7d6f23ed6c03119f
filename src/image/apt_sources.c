#include "image/apt_sources.h"

#include "base/cleanup.h"
#include "image/apt_internal.h"

#include <errno.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct slice *s)
{
    while (s->n > 0 && is_blank(s->p[0]))
        *s = slice_from(*s, 1);
}

/* The next run without blanks; empty at the end. */
static struct slice next_word(struct slice *s)
{
    skip_blanks(s);
    size_t n = 0;
    while (n < s->n && !is_blank(s->p[n]))
        n++;
    struct slice word = slice_sub(*s, 0, n);
    *s = slice_from(*s, n);
    return word;
}

/* What may stand in a rendered line without changing its meaning. */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '[' || c == ']' || c == '#' || c == '"' || c == '\'' ||
            c == '\\')
            return false;
    }
    return s.n > 0;
}

bool apt_uri_is_http(struct slice uri)
{
    size_t scheme = slice_has_prefix(uri, "http://")    ? 7
                    : slice_has_prefix(uri, "https://") ? 8
                                                        : 0;
    return scheme != 0 && uri.n > scheme && uri.n <= APT_URI_MAX && is_plain(uri);
}

int apt_sources_add(struct apt_sources *out, struct slice uri, struct slice suite,
                    const struct apt_stanza *st, struct err *err)
{
    struct apt_source *s = &out->v[out->n];
    if (out->n == APT_SOURCES_MAX)
        return err_set(err, -E2BIG, ERR_LIMIT, "more than %d package sources", APT_SOURCES_MAX);
    *s = (struct apt_source){.main = st->main, .key_inline = st->key_inline};
    if (!is_plain(uri) || !is_plain(suite) || slice_copy(uri, s->uri, sizeof(s->uri)) < 0 ||
        slice_copy(suite, s->suite, sizeof(s->suite)) < 0)
        return 0; /* well-formed for apt perhaps, but nothing that we could use */
    (void)slice_copy(slice_str(st->signed_by), s->signed_by, sizeof(s->signed_by)); /* same size */
    out->n++;
    return 0;
}

void apt_stanza_signed_by(struct apt_stanza *st, struct slice value)
{
    value = slice_trim(value);
    if (value.n == 0)
        return;
    if (value.p[0] != '/' || !is_plain(value) ||
        slice_copy(value, st->signed_by, sizeof(st->signed_by)) < 0)
        st->key_inline = true;
}

/* The inside of "[arch=amd64 signed-by=/path]". */
static void parse_options(struct slice options, struct apt_stanza *st)
{
    for (struct slice w = next_word(&options); w.n > 0; w = next_word(&options))
        if (slice_has_prefix(w, "signed-by="))
            apt_stanza_signed_by(st, slice_from(w, strlen("signed-by=")));
}

/* A URI may hold blanks in brackets: "cdrom:[Debian 12]/". */
static struct slice next_uri(struct slice *s)
{
    skip_blanks(s);
    size_t n = 0;
    bool bracket = false;
    while (n < s->n && (bracket || !is_blank(s->p[n]))) {
        bracket = s->p[n] == '[' || (bracket && s->p[n] != ']');
        n++;
    }
    struct slice uri = slice_sub(*s, 0, n);
    *s = slice_from(*s, n);
    return uri;
}

static int parse_line(struct slice line, unsigned number, struct apt_sources *out, struct err *err)
{
    line = slice_sub(line, 0, slice_find(line, '#'));
    struct slice type = next_word(&line);
    if (type.n == 0 || slice_eq_str(type, "deb-src"))
        return 0;
    if (!slice_eq_str(type, "deb"))
        return err_set(err, -EINVAL, ERR_INVALID, "line %u: a source begins with deb or deb-src",
                       number);
    struct apt_stanza st = {0};
    skip_blanks(&line);
    if (slice_has_prefix(line, "[")) {
        size_t end = slice_find(line, ']');
        if (end == line.n)
            return err_set(err, -EINVAL, ERR_INVALID, "line %u: '[' without ']'", number);
        parse_options(slice_sub(line, 1, end - 1), &st);
        line = slice_from(line, end + 1);
    }
    struct slice uri = next_uri(&line);
    struct slice suite = next_word(&line);
    if (suite.n == 0)
        return err_set(err, -EINVAL, ERR_INVALID, "line %u: URI or suite is missing", number);
    for (struct slice w = next_word(&line); w.n > 0; w = next_word(&line))
        st.main |= slice_eq_str(w, "main");
    return apt_sources_add(out, uri, suite, &st, err);
}

int apt_sources_parse_list(struct slice text, struct apt_sources *out, struct err *err)
{
    struct slice line;
    for (unsigned number = 1; slice_next(&text, '\n', &line); number++) {
        if (slice_has_suffix(line, "\r"))
            line = slice_sub(line, 0, line.n - 1);
        int r = parse_line(line, number, out, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Whoever else publishes under a Debian codename signs with a keyring of another name. */
static bool is_debian_key(const struct apt_source *s)
{
    if (s->key_inline)
        return false;
    const char *base = strrchr(s->signed_by, '/');
    return base == NULL || slice_has_prefix(slice_str(base + 1), "debian-archive-");
}

static bool is_suite_of(const char *suite, const char *codename)
{
    struct slice s = slice_str(suite);
    if (!slice_has_prefix(s, codename))
        return false;
    struct slice rest = slice_from(s, strlen(codename));
    return rest.n == 0 || slice_eq_str(rest, "-updates") || slice_eq_str(rest, "-security");
}

static bool is_known(const struct apt_sources *s, size_t n, const struct apt_source *x)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s->v[i].uri, x->uri) == 0 && strcmp(s->v[i].suite, x->suite) == 0)
            return true;
    return false;
}

size_t apt_sources_keep_debian(struct apt_sources *s, const char *codename)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct apt_source *x = &s->v[i];
        if (!x->main || !is_debian_key(x) || !is_suite_of(x->suite, codename) ||
            !apt_uri_is_http(slice_str(x->uri)) || is_known(s, kept, x))
            continue;
        if (kept != i)
            s->v[kept] = *x;
        kept++;
    }
    return s->n = kept;
}

int apt_sources_render(const struct apt_sources *s, const char *keyring, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct apt_source *x = &s->v[i];
        (void)buf_printf(out, "deb [signed-by=%s] %s %s main\n",
                         x->signed_by[0] != '\0' ? x->signed_by : keyring, x->uri, x->suite);
    }
    return out->error;
}
