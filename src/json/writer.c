#include "json/writer.h"

#include "base/codec.h"

#include <assert.h>

void jw_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

static void before_value(struct json_writer *w)
{
    assert(w->depth == 0 || w->close[w->depth - 1] == ']' || w->after_key);
    if (w->comma && !w->after_key)
        (void)buf_put_char(w->out, ',');
    w->comma = true;
    w->after_key = false;
}

static void open_level(struct json_writer *w, char open, char close)
{
    before_value(w);
    assert(w->depth < JSON_WRITER_DEPTH);
    w->close[w->depth++] = close;
    w->comma = false;
    (void)buf_put_char(w->out, open);
}

void jw_obj(struct json_writer *w)
{
    open_level(w, '{', '}');
}

void jw_arr(struct json_writer *w)
{
    open_level(w, '[', ']');
}

void jw_end(struct json_writer *w)
{
    assert(w->depth > 0 && !w->after_key);
    (void)buf_put_char(w->out, w->close[--w->depth]);
    w->comma = true;
}

/* Length of a plain run: printable, no quote or backslash, well-formed UTF-8. */
static size_t plain_run(struct slice s)
{
    size_t i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
            return i;
        size_t len = slice_utf8_len(slice_from(s, i));
        if (len == 0)
            return i;
        i += len;
    }
    return i;
}

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *short_form = c == '"'    ? "\\\""
                             : c == '\\' ? "\\\\"
                             : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                                         : NULL;
    if (short_form != NULL)
        (void)buf_put_str(out, short_form);
    else if (c >= 0x80)
        (void)buf_put_str(out, "\xef\xbf\xbd"); /* U+FFFD */
    else
        (void)buf_put(out, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
}

static void put_string(struct buf *out, struct slice s)
{
    (void)buf_put_char(out, '"');
    while (s.n > 0) {
        size_t run = plain_run(s);
        (void)buf_put(out, s.p, run);
        if (run < s.n)
            put_escaped(out, (unsigned char)s.p[run++]);
        s = slice_from(s, run);
    }
    (void)buf_put_char(out, '"');
}

void jw_keyn(struct json_writer *w, struct slice key)
{
    assert(w->depth > 0 && w->close[w->depth - 1] == '}' && !w->after_key);
    if (w->comma)
        (void)buf_put_char(w->out, ',');
    put_string(w->out, key);
    (void)buf_put_char(w->out, ':');
    w->after_key = true;
}

void jw_key(struct json_writer *w, const char *key)
{
    jw_keyn(w, slice_str(key));
}

void jw_strn(struct json_writer *w, struct slice s)
{
    before_value(w);
    put_string(w->out, s);
}

void jw_str(struct json_writer *w, const char *s)
{
    jw_strn(w, slice_str(s));
}

void jw_u64(struct json_writer *w, uint64_t v)
{
    before_value(w);
    (void)buf_put_u64(w->out, v);
}

void jw_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    if (v < 0)
        (void)buf_put_char(w->out, '-');
    (void)buf_put_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void jw_double(struct json_writer *w, double v, unsigned decimals)
{
    before_value(w);
    (void)buf_printf(w->out, "%.*f", (int)decimals, v);
}

void jw_bool(struct json_writer *w, bool v)
{
    before_value(w);
    (void)buf_put_str(w->out, v ? "true" : "false");
}

void jw_null(struct json_writer *w)
{
    before_value(w);
    (void)buf_put_str(w->out, "null");
}

void jw_base64(struct json_writer *w, struct slice bytes)
{
    before_value(w);
    (void)buf_put_char(w->out, '"');
    (void)base64_put(w->out, bytes);
    (void)buf_put_char(w->out, '"');
}

void jw_raw(struct json_writer *w, struct slice json)
{
    before_value(w);
    (void)buf_put_slice(w->out, json);
}

void jw_kstr(struct json_writer *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_ku64(struct json_writer *w, const char *key, uint64_t v)
{
    jw_key(w, key);
    jw_u64(w, v);
}

void jw_ki64(struct json_writer *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_kbool(struct json_writer *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}
