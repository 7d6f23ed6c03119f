#include "envd/fs_mode.h"

#include <stddef.h>
#include <sys/stat.h>

/* The letters before the permissions, in the order d a l T L D p S u g c t of the notation. */
static size_t put_prefix(mode_t mode, char *dst)
{
    size_t n = 0;
    if (S_ISDIR(mode))
        dst[n++] = 'd';
    if (S_ISLNK(mode))
        dst[n++] = 'L';
    if (S_ISBLK(mode) || S_ISCHR(mode))
        dst[n++] = 'D';
    if (S_ISFIFO(mode))
        dst[n++] = 'p';
    if (S_ISSOCK(mode))
        dst[n++] = 'S';
    if ((mode & S_ISUID) != 0)
        dst[n++] = 'u';
    if ((mode & S_ISGID) != 0)
        dst[n++] = 'g';
    if (S_ISCHR(mode))
        dst[n++] = 'c';
    if ((mode & S_ISVTX) != 0)
        dst[n++] = 't';
    if (n == 0)
        dst[n++] = '-';
    return n;
}

void fs_mode_text(mode_t mode, char dst[static FS_MODE_TEXT_BYTES])
{
    static const char letters[] = "rwxrwxrwx";
    size_t n = put_prefix(mode, dst);
    for (unsigned i = 0; i < 9; i++)
        dst[n++] = (mode & (0400u >> i)) != 0 ? letters[i] : '-';
    dst[n] = '\0';
}
