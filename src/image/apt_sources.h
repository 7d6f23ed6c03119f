/*
 * Where Debian packages come from, as the host's apt knows it: the one-line format of
 * sources.list(5), the deb822 format, and the `mirror+file:` lists of cloud images.
 *
 * This is a reader for one purpose: to find Debian's own archive, and to say it again in the
 * one-line format. Sources that are disabled, that are not http(s), or that another keyring signs
 * are none of our business and are left out. Nothing here is trusted to be well-formed.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

enum {
    APT_SOURCES_MAX = 128,        /* (URI, suite) pairs in one set */
    APT_FILE_MAX_BYTES = 1 << 20, /* one file of sources */
    APT_URI_MAX = 511,
    APT_WORD_MAX = 63,
    APT_PATH_MAX = 255,
};

/* One archive: a URI and a suite. Values hold no space, bracket or control character. */
struct apt_source {
    char uri[APT_URI_MAX + 1];
    char suite[APT_WORD_MAX + 1];
    char signed_by[APT_PATH_MAX + 1]; /* absolute path, "" for apt's own trusted keys */
    bool main;                        /* component "main" is among those named */
    bool key_inline;                  /* Signed-By holds a key or a fingerprint, not a path */
};

struct apt_sources {
    struct apt_source v[APT_SOURCES_MAX];
    size_t n;
};

/*
 * Add what `text` names (binary packages only). Returns 0; -EINVAL with the line number in the
 * message for what apt would refuse; -E2BIG past APT_SOURCES_MAX. On failure `out` holds what came
 * before the bad line.
 */
int apt_sources_parse_list(struct slice text, struct apt_sources *out, struct err *err);
int apt_sources_parse_deb822(struct slice text, struct apt_sources *out, struct err *err);

/*
 * Read <apt_dir>/sources.list and sources.list.d/{*.list,*.sources}, in apt's order. Missing files
 * are fine. `mirror+file:` URIs are replaced by the first URI of the list that they name.
 */
int apt_sources_read(const char *apt_dir, struct apt_sources *out, struct err *err);

/*
 * Keep Debian's own archives of `codename` (also -updates and -security): http or https, component
 * main, signed by debian-archive-* or by apt's own trusted keys. Returns how many are left.
 */
size_t apt_sources_keep_debian(struct apt_sources *s, const char *codename);

/* One "deb [signed-by=…] URI suite main" line each; `keyring` where a source names none. */
int apt_sources_render(const struct apt_sources *s, const char *keyring, struct buf *out);

/* True for an http or https URI that fits APT_URI_MAX and holds no odd character. */
bool apt_uri_is_http(struct slice uri);
