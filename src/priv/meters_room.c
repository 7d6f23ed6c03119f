#include "priv/meters.h"

#include "base/num.h"

#define NEAR_BYTES (UINT64_C(2) << 20)
enum { NEAR_SHARE = 32, NEAR_FILES = 8, ROOM_AGAIN = 4 };

static bool gone(struct room r, uint64_t near, bool was)
{
    return r.total != 0 && (was ? r.left / ROOM_AGAIN < near : r.left < near);
}

bool room_bytes_gone(struct room bytes, bool were_gone)
{
    uint64_t near = bytes.total / NEAR_SHARE;
    if (near > NEAR_BYTES)
        near = NEAR_BYTES;
    return gone(bytes, near > 0 ? near : 1, were_gone);
}

bool room_files_gone(struct room files, bool were_gone)
{
    return gone(files, NEAR_FILES, were_gone);
}

int meters_file_parse(struct slice text, uint32_t *ret_disk, uint32_t *ret_inodes)
{
    uint32_t disk, inodes;
    size_t blank = slice_find(text, ' ');
    if (!slice_has_suffix(text, "\n") ||
        parse_u32(slice_sub(text, 0, blank), UINT32_MAX, &disk) < 0 ||
        parse_u32(slice_sub(text, blank + 1, text.n - blank - 2), UINT32_MAX, &inodes) < 0)
        return -EBADMSG;
    *ret_disk = disk;
    *ret_inodes = inodes;
    return 0;
}
