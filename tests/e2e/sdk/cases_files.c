/* Text, bytes, streams, 100 MB both ways with SHA-256, directories. */
#include "sdk_test.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE_BYTES = 100 * 1024 * 1024, PIECE = 65536 };

static bool same_as(const silica_buf *b, const void *data, size_t n)
{
    return b->len == n && memcmp(b->data, data, n) == 0 && b->data[n] == '\0';
}

static bool round_trip(struct test *t, const char *path, const void *data, size_t n)
{
    silica_buf got = {NULL, 0};
    bool ok = silica_write(t->sbx, path, data, n, NULL, &t->err) == SILICA_OK &&
              silica_read(t->sbx, path, NULL, &got, &t->err) == SILICA_OK && same_as(&got, data, n);
    silica_buf_free(&got);
    return ok;
}

static void text_and_bytes(struct test *t)
{
    unsigned char all[512];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)i;
    CHECK(t, round_trip(t, "hello.txt", "gr\xc3\xbc\xc3\x9f dich\n", 12));
    CHECK(t, round_trip(t, "bytes.bin", all, sizeof(all)));
    CHECK(t, round_trip(t, "empty", "", 0));
    CHECK(t, round_trip(t, "/tmp/absolute", "x", 1));
    CHECK(t, round_trip(t, "made/by/write/a b+c&d%20\xc3\xa4.txt", "deep", 4));
    CHECK(t, round_trip(t, "hello.txt", "short", 5));
}

static void missing_and_limits(struct test *t)
{
    silica_buf got = {NULL, 0};
    CHECK(t, silica_read(t->sbx, "no/such", NULL, &got, &t->err) == SILICA_E_NOT_FOUND);
    CHECK(t, silica_read(t->sbx, "/home/user", NULL, &got, &t->err) == SILICA_E_INVALID);
    OK(t, silica_write(t->sbx, "ten", "0123456789", 10, NULL, &t->err));
    CHECK(t, silica_read(t->sbx, "ten", SILICA_FILE_OPTS(.max_bytes = 9), &got, &t->err) ==
                 SILICA_E_TOO_LARGE);
    OK(t, silica_read(t->sbx, "ten", SILICA_FILE_OPTS(.max_bytes = 10), &got, &t->err));
    silica_buf_free(&got);
    CHECK(t, silica_write(t->sbx, "/tmp", "x", 1, NULL, &t->err) == SILICA_E_INVALID);
}

static void owners(struct test *t)
{
    silica_entry e;
    OK(t, silica_write(t->sbx, "mine", "x", 1, NULL, &t->err));
    OK(t, silica_stat(t->sbx, "mine", NULL, &e, &t->err));
    bool mine = strcmp(e.owner, "user") == 0 && e.size == 1 && e.type == SILICA_FILE_REGULAR &&
                strcmp(e.path, "/home/user/mine") == 0 && e.mode == 0644 && e.mtime_ns > 0;
    silica_entry_free(&e);
    OK(t, silica_write(t->sbx, "/root/theirs", "x", 1, SILICA_FILE_OPTS(.user = "root"), &t->err));
    OK(t, silica_stat(t->sbx, "~/theirs", SILICA_FILE_OPTS(.user = "root"), &e, &t->err));
    bool theirs = strcmp(e.owner, "root") == 0;
    silica_entry_free(&e);
    CHECK(t, mine && theirs);
}

static int count_entries(void *user, const silica_entry *e)
{
    unsigned *seen = user;
    if (strcmp(e->name, "a.txt") == 0 && e->type == SILICA_FILE_REGULAR)
        *seen |= 1;
    if (strcmp(e->name, "sub") == 0 && e->type == SILICA_FILE_DIRECTORY)
        *seen |= 2;
    if (strcmp(e->path, "/home/user/tree/sub/b.txt") == 0)
        *seen |= 4;
    return 0;
}

static void directories(struct test *t)
{
    unsigned one = 0, two = 0;
    int created = 0, there = 1;
    OK(t, silica_mkdir(t->sbx, "tree/sub", NULL, &created, &t->err));
    CHECK(t, created == 1);
    OK(t, silica_mkdir(t->sbx, "tree/sub", NULL, &created, &t->err));
    CHECK(t, created == 0);
    OK(t, silica_write(t->sbx, "tree/a.txt", "a", 1, NULL, &t->err));
    OK(t, silica_write(t->sbx, "tree/sub/b.txt", "b", 1, NULL, &t->err));
    OK(t, silica_list(t->sbx, "tree", 0, NULL, count_entries, &one, &t->err));
    OK(t, silica_list(t->sbx, "tree", 2, NULL, count_entries, &two, &t->err));
    CHECK(t, one == 3 && two == 7);
    OK(t, silica_rename(t->sbx, "tree/a.txt", "moved/to/here.txt", NULL, &t->err));
    OK(t, silica_exists(t->sbx, "tree/a.txt", NULL, &there, &t->err));
    CHECK(t, there == 0);
    OK(t, silica_exists(t->sbx, "moved/to/here.txt", NULL, &there, &t->err));
    CHECK(t, there == 1);
    OK(t, silica_remove(t->sbx, "tree", NULL, &t->err));
    OK(t, silica_remove(t->sbx, "tree", NULL, &t->err));
    OK(t, silica_exists(t->sbx, "tree", NULL, &there, &t->err));
    CHECK(t, there == 0);
    CHECK(t,
          silica_list(t->sbx, "tree", 0, NULL, count_entries, &one, &t->err) == SILICA_E_NOT_FOUND);
    CHECK(t, silica_rename(t->sbx, "tree", "x", NULL, &t->err) == SILICA_E_NOT_FOUND);
}

/* A file of bytes that no run repeats within a piece. Returns a descriptor at its beginning. */
static int make_large(EVP_MD_CTX *sha)
{
    char name[] = "/tmp/silica-sdk-XXXXXX";
    static unsigned char piece[PIECE];
    unsigned x = 12345;
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -1;
    (void)unlink(name);
    for (size_t done = 0; done < LARGE_BYTES; done += PIECE) {
        for (size_t i = 0; i < PIECE; i++) {
            x = x * 1664525 + 1013904223;
            piece[i] = (unsigned char)(x >> 24);
        }
        (void)EVP_DigestUpdate(sha, piece, PIECE);
        if (write(fd, piece, PIECE) != PIECE)
            return -1;
    }
    return lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

static void hex_of(EVP_MD_CTX *sha, char out[static 65])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    (void)EVP_DigestFinal_ex(sha, md, &n);
    for (unsigned i = 0; i < 32; i++)
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", md[i]);
}

static bool hash_fd(int fd, char out[static 65])
{
    static unsigned char piece[PIECE];
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    ssize_t n;
    bool ok = EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 && lseek(fd, 0, SEEK_SET) == 0;
    while (ok && (n = read(fd, piece, PIECE)) > 0)
        (void)EVP_DigestUpdate(sha, piece, (size_t)n);
    hex_of(sha, out);
    EVP_MD_CTX_free(sha);
    return ok;
}

static void large_both_ways(struct test *t)
{
    char up[65], inside[65] = "", down[65];
    char back[] = "/tmp/silica-sdk-XXXXXX";
    uint64_t n = 0;
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    CHECK(t, EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1);
    int fd = make_large(sha);
    hex_of(sha, up);
    EVP_MD_CTX_free(sha);
    CHECK(t, fd >= 0);
    silica_rc rc = silica_upload(t->sbx, "large.bin", fd, NULL, &t->err);
    (void)close(fd);
    OK(t, rc);
    silica_result res;
    rc = silica_exec(t->sbx, "sha256sum large.bin", NULL, &res, &t->err);
    if (rc == SILICA_OK && res.out.len >= 64)
        memcpy(inside, res.out.data, 64);
    silica_result_free(&res);
    CHECK(t, strcmp(inside, up) == 0);
    fd = mkostemp(back, O_CLOEXEC);
    CHECK(t, fd >= 0);
    (void)unlink(back);
    rc = silica_download(t->sbx, "large.bin", fd, NULL, &n, &t->err);
    bool hashed = hash_fd(fd, down);
    (void)close(fd);
    OK(t, rc);
    CHECK(t, n == LARGE_BYTES && hashed && strcmp(down, up) == 0);
    OK(t, silica_remove(t->sbx, "large.bin", NULL, &t->err));
}

static void *write_pieces(void *user)
{
    int fd = *(int *)user;
    for (int i = 0; i < 100; i++) {
        ssize_t n = write(fd, "0123456789", 10);
        (void)n;
    }
    (void)close(fd);
    return NULL;
}

static void stream_of_unknown_length(struct test *t)
{
    int fds[2];
    pthread_t thread;
    silica_entry e;
    CHECK(t, pipe(fds) == 0);
    CHECK(t, pthread_create(&thread, NULL, write_pieces, &fds[1]) == 0);
    silica_rc rc = silica_upload(t->sbx, "streamed", fds[0], NULL, &t->err);
    (void)pthread_join(thread, NULL);
    (void)close(fds[0]);
    OK(t, rc);
    OK(t, silica_stat(t->sbx, "streamed", NULL, &e, &t->err));
    uint64_t size = e.size;
    silica_entry_free(&e);
    CHECK(t, size == 1000);
}

static void local_failures(struct test *t)
{
    int fds[2];
    uint64_t n;
    CHECK(t, pipe(fds) == 0);
    silica_rc up = silica_upload(t->sbx, "never", fds[1], NULL, &t->err);
    CHECK(t, up == SILICA_E_IO && t->err.sys_errno != 0);
    OK(t, silica_write(t->sbx, "ten", "0123456789", 10, NULL, &t->err));
    silica_rc down = silica_download(t->sbx, "ten", fds[0], NULL, &n, &t->err);
    CHECK(t, down == SILICA_E_IO && t->err.sys_errno != 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

void cases_files(struct test *t)
{
    test_run(t, "text and bytes", text_and_bytes);
    test_run(t, "what is missing, and read's maximum", missing_and_limits);
    test_run(t, "owners, sizes, modes", owners);
    test_run(t, "directories: make, list, rename, remove", directories);
    test_run(t, "100 MB both ways with SHA-256", large_both_ways);
    test_run(t, "an upload of unknown length", stream_of_unknown_length);
    test_run(t, "local descriptors that do not work", local_failures);
}
