#include "envd/files.h"

#include "base/cleanup.h"
#include "envd/auth.h"
#include "envd/request.h"

#include <errno.h>

int files_query(struct request *r, const char *name, char *dst, size_t cap)
{
    _cleanup_buf_ struct buf value = BUF_INIT(cap);
    int found = url_query_get(r->target.query, name, &value);
    dst[0] = '\0';
    if (found > 0 && slice_copy(buf_slice(&value), dst, cap) < 0)
        found = -EINVAL;
    if (found >= 0)
        return found;
    struct http_header h = {SLICE_LIT("Content-Type"), SLICE_LIT("text/plain; charset=utf-8")};
    _cleanup_buf_ struct buf text = BUF_INIT(256);
    buf_printf(&text, "Invalid format for parameter %s\n", name);
    request_reply_with(r, 400, &h, 1, buf_slice(&text));
    return -1;
}

bool files_check(struct request *r, struct user *ret_user)
{
    char name[USER_NAME_MAX + 1];
    int found;
    if (!auth_check_files(r) || (found = files_query(r, "username", name, sizeof(name))) < 0)
        return false;
    if (found == 0)
        (void)slice_copy(slice_str(r->envd->settings.default_user), name, sizeof(name));
    if (name[0] == '\0') {
        request_fail(r, 400, "username not provided");
        return false;
    }
    if (users_find(name, ret_user) < 0) {
        request_fail(r, 401, "error looking up user '%s': user: unknown user %s", name, name);
        return false;
    }
    return true;
}
