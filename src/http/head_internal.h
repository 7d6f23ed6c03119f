/*
 * What the parts of the HTTP codec share among themselves: character classes, one field line, and
 * the writing of heads. Included by files of src/http only.
 */
#pragma once

#include "http/head.h"

enum {
    HTTP_METHOD_MAX_BYTES = 32, /* the longest registered method has 17 */
    HTTP_DATE_BYTES = 32,       /* "Sun, 06 Nov 1994 08:49:37 GMT" and a terminator */
};

/* RFC 9110 5.6.2: what a field name, a method and most list members are made of. */
bool http_is_token(struct slice s);
bool http_is_token_char(unsigned char c);
/* RFC 9110 5.5: HTAB, SP, visible ASCII and bytes from 0x80 on. */
bool http_is_field_byte(unsigned char c);

/*
 * One line without its CRLF. Returns 0, or -EBADMSG with err naming the fault (no colon, space
 * before it, a fold, a control character). The slices point into `line`.
 */
int http_parse_field_line(struct slice line, struct http_header *ret, struct err *err);

/* Set err with the status a server answers as its code; returns num. */
int http_bad(struct err *err, int num, const char *status, const char *msg);

/*
 * True for the fields that the framing code itself writes, so that nobody else may: Connection,
 * Content-Length, Transfer-Encoding.
 */
bool http_is_framing_field(struct slice name);

/* Append "Name: value\r\n". Returns 0, -EINVAL when either is invalid, or out's error. */
int http_put_header(struct buf *out, struct slice name, struct slice value);
/*
 * Append each header; -EINVAL for an invalid one, a framing field, or (server heads) Date.
 * On failure out may hold a part: the caller cuts it back.
 */
int http_put_headers(struct buf *out, const struct http_header *headers, size_t n, bool allow_date);
int http_put_status_line(struct buf *out, unsigned status);
/* "Content-Length: N\r\n". */
int http_put_length(struct buf *out, uint64_t length);

/* IMF-fixdate of RFC 9110 5.6.7 for now. */
void http_date(char dst[static HTTP_DATE_BYTES]);

/* The head's slices, which point into `from`, point into the copy at `to` afterwards. */
void http_head_rebase(struct http_head *h, const char *from, const char *to);
