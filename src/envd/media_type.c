/* What kind of file it is, for the Content-Type of a download. */
#include "envd/files.h"

#include "base/cleanup.h"

static const struct {
    const char *extension, *type;
} types[] = {
    {".avif", "image/avif"},
    {".css", "text/css; charset=utf-8"},
    {".csv", "text/csv; charset=utf-8"},
    {".gif", "image/gif"},
    {".htm", "text/html; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".jpeg", "image/jpeg"},
    {".jpg", "image/jpeg"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".pdf", "application/pdf"},
    {".png", "image/png"},
    {".svg", "image/svg+xml"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".webp", "image/webp"},
    {".xml", "text/xml; charset=utf-8"},
};

const char *media_type_by_name(struct slice name)
{
    size_t dot = name.n;
    while (dot > 0 && name.p[dot - 1] != '.' && name.p[dot - 1] != '/')
        dot--;
    if (dot == 0 || name.p[dot - 1] != '.')
        return NULL;
    struct slice extension = slice_from(name, dot - 1);
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (slice_ieq_str(extension, types[i].extension))
            return types[i].type;
    return NULL;
}

static bool is_text_byte(unsigned char c)
{
    return c >= 0x20 || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0x1b;
}

const char *media_type_by_content(struct slice head)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *type;
    } magics[] = {
        {"\x89PNG\r\n\x1a\n", 8, "image/png"},
        {"\xff\xd8\xff", 3, "image/jpeg"},
        {"GIF87a", 6, "image/gif"},
        {"GIF89a", 6, "image/gif"},
        {"%PDF-", 5, "application/pdf"},
        {"\x1f\x8b\x08", 3, "application/x-gzip"},
        {"PK\x03\x04", 4, "application/zip"},
    };
    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (head.n >= magics[i].n && memcmp(head.p, magics[i].magic, magics[i].n) == 0)
            return magics[i].type;
    for (size_t i = 0; i < head.n; i++)
        if (!is_text_byte((unsigned char)head.p[i]))
            return "application/octet-stream";
    return "text/plain; charset=utf-8";
}
