/*
 * Runs a fuzz target over committed inputs, without libFuzzer: an ordinary test, with any compiler.
 *
 * Usage: fuzz_<name> FOLDER. Every regular file of the folder, and the empty input, goes through
 * LLVMFuzzerTestOneInput once. One TAP case for the target; the name of the input is printed before
 * it runs, so that a crash shows which one it was. A folder that is missing or empty fails.
 */
#include "base/cleanup.h"
#include "base/fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX_BYTES = 4 << 20 };

/* The input is copied to memory of its exact size, so that a sanitizer sees a read past its end. */
static int run_one(const char *p, size_t n)
{
    _cleanup_free_ uint8_t *exact = calloc(1, n != 0 ? n : 1);
    if (exact == NULL)
        return -ENOMEM;
    if (n != 0)
        memcpy(exact, p, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    return 0;
}

/* Returns 1 when the file was run, 0 when it is no regular file, negative when it cannot be read. */
static int run_file(int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    _cleanup_buf_ struct buf input = BUF_INIT(INPUT_MAX_BYTES);
    struct err err;
    printf("# input %s\n", name);
    (void)fflush(stdout);
    if (fs_read_file(dir_fd, name, &input, &err) < 0) {
        printf("# %s\n", err.msg);
        return -EIO;
    }
    int r = run_one(input.p, input.n);
    return r < 0 ? r : 1;
}

static int run_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        printf("# cannot open the folder of inputs\n");
        return -ENOENT;
    }
    int count = 0, r = 0;
    struct dirent *e;
    while (r >= 0 && (e = readdir(dir)) != NULL) {
        r = run_file(dirfd(dir), e->d_name);
        count += r > 0;
    }
    (void)closedir(dir);
    return r < 0 ? r : count;
}

int main(int argc, char **argv)
{
    printf("1..1\n");
    if (argc != 2 || run_one(NULL, 0) < 0) {
        printf("not ok 1 - usage: one folder of inputs\n");
        return 1;
    }
    int count = run_folder(argv[1]);
    printf("%s 1 - %d inputs replayed\n", count > 0 ? "ok" : "not ok", count > 0 ? count : 0);
    return count > 0 ? 0 : 1;
}
