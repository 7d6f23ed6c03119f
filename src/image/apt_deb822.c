/*
 * The deb822 format: stanzas of "Field: value" separated by empty lines; a line that begins with a
 * blank goes on with the field before it; '#' in the first column is a comment, also in a value.
 */
#include "image/apt_internal.h"

#include "base/cleanup.h"

#include <errno.h>

enum { FIELD_MAX_BYTES = 64 * 1024 }; /* an inline key is about 6 KiB */

enum field { F_TYPES, F_URIS, F_SUITES, F_COMPONENTS, F_SIGNED_BY, F_ENABLED, F_OTHER, F_MAX_ };

static const char *const field_names[F_OTHER] = {
    [F_TYPES] = "Types",           [F_URIS] = "URIs",           [F_SUITES] = "Suites",
    [F_COMPONENTS] = "Components", [F_SIGNED_BY] = "Signed-By", [F_ENABLED] = "Enabled",
};

struct stanza {
    struct buf values[F_MAX_];
    enum field current;
    bool any; /* a field was seen */
};

static void stanza_init(struct stanza *st)
{
    for (int i = 0; i < F_MAX_; i++)
        buf_init(&st->values[i], FIELD_MAX_BYTES);
    st->current = F_MAX_;
    st->any = false;
}

static void stanza_done(struct stanza *st)
{
    for (int i = 0; i < F_MAX_; i++)
        buf_done(&st->values[i]);
}

static void stanza_clear(struct stanza *st)
{
    for (int i = 0; i < F_MAX_; i++)
        buf_clear(&st->values[i]);
    st->current = F_MAX_;
    st->any = false;
}

/* Words are separated by any white space; folded lines are joined with '\n'. */
static bool next_word(struct slice *s, struct slice *ret)
{
    size_t at = 0;
    while (at < s->n && strchr(" \t\r\n", s->p[at]) != NULL)
        at++;
    size_t end = at;
    while (end < s->n && strchr(" \t\r\n", s->p[end]) == NULL)
        end++;
    *ret = slice_sub(*s, at, end - at);
    *s = slice_from(*s, end);
    return ret->n > 0;
}

static bool has_word(const struct buf *value, const char *word)
{
    struct slice s = buf_slice(value), w;
    while (next_word(&s, &w))
        if (slice_eq_str(w, word))
            return true;
    return false;
}

static bool is_disabled(const struct stanza *st)
{
    static const char *const no[] = {"no", "false", "without", "off", "disable", "0"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (has_word(&st->values[F_ENABLED], no[i]))
            return true;
    return false;
}

/* One word may be a path; several are the lines of a key. */
static void take_signed_by(const struct buf *value, struct apt_stanza *common)
{
    struct slice rest = buf_slice(value), word, more;
    if (!next_word(&rest, &word))
        return;
    if (next_word(&rest, &more))
        common->key_inline = true;
    else
        apt_stanza_signed_by(common, word);
}

static int stanza_multiply(const struct stanza *st, const struct apt_stanza *common,
                           struct apt_sources *out, struct err *err)
{
    struct slice uris = buf_slice(&st->values[F_URIS]), uri, suite;
    while (next_word(&uris, &uri)) {
        struct slice suites = buf_slice(&st->values[F_SUITES]);
        while (next_word(&suites, &suite)) {
            int r = apt_sources_add(out, uri, suite, common, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int stanza_end(struct stanza *st, unsigned line, struct apt_sources *out, struct err *err)
{
    if (!st->any)
        return 0;
    for (int i = 0; i < F_MAX_; i++)
        if (st->values[i].error < 0)
            return err_set(err, -EINVAL, ERR_INVALID, "line %u: a field is too long", line);
    if (st->values[F_TYPES].n == 0 || st->values[F_URIS].n == 0 || st->values[F_SUITES].n == 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "line %u: the stanza before it has no Types, URIs or Suites", line);
    int r = 0;
    if (has_word(&st->values[F_TYPES], "deb") && !is_disabled(st)) {
        struct apt_stanza common = {.main = has_word(&st->values[F_COMPONENTS], "main")};
        take_signed_by(&st->values[F_SIGNED_BY], &common);
        r = stanza_multiply(st, &common, out, err);
    }
    stanza_clear(st);
    return r;
}

static enum field field_by_name(struct slice name)
{
    for (int i = 0; i < F_OTHER; i++)
        if (slice_ieq_str(name, field_names[i]))
            return (enum field)i;
    return F_OTHER;
}

static int stanza_line(struct stanza *st, struct slice line, unsigned number, struct err *err)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        if (st->current == F_MAX_)
            return err_set(err, -EINVAL, ERR_INVALID, "line %u: nothing to continue", number);
    } else {
        size_t colon = slice_find(line, ':');
        if (colon == line.n || colon == 0)
            return err_set(err, -EINVAL, ERR_INVALID, "line %u: no 'Field:' here", number);
        st->current = field_by_name(slice_sub(line, 0, colon));
        st->any = true;
        line = slice_from(line, colon + 1);
        buf_clear(&st->values[st->current]); /* the last one counts */
    }
    (void)buf_put_slice(&st->values[st->current], line); /* sticky, checked at the end */
    (void)buf_put_char(&st->values[st->current], '\n');
    return 0;
}

static int parse_lines(struct slice text, struct stanza *st, struct apt_sources *out,
                       struct err *err)
{
    struct slice line;
    unsigned number = 0;
    while (slice_next(&text, '\n', &line)) {
        number++;
        int r = 0;
        if (slice_trim(line).n == 0 || slice_eq_str(line, "\r"))
            r = stanza_end(st, number, out, err);
        else if (line.p[0] != '#')
            r = stanza_line(st, line, number, err);
        if (r < 0)
            return r;
    }
    return stanza_end(st, number + 1, out, err);
}

int apt_sources_parse_deb822(struct slice text, struct apt_sources *out, struct err *err)
{
    struct stanza st;
    stanza_init(&st);
    int r = parse_lines(text, &st, out, err);
    stanza_done(&st);
    return r;
}
