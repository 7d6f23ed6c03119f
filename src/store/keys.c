#include "store/keys.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/ids.h"
#include "base/random.h"
#include "store/store_internal.h"

#include <openssl/evp.h>
#include <string.h>

enum { KEY_HASH_BYTES = 32, KEY_RANDOM_BYTES = 20 };

static int key_hash(struct slice key, unsigned char ret[static KEY_HASH_BYTES], struct err *err)
{
    unsigned n = 0;
    if (EVP_Digest(key.p, key.n, ret, &n, EVP_sha256(), NULL) != 1 || n != KEY_HASH_BYTES)
        return err_set(err, -EIO, ERR_INTERNAL, "SHA-256 failed");
    return 0;
}

/* "e2b_1234…cdef" */
static void key_mask(const char *key, char dst[static 16])
{
    (void)snprintf(dst, 16, "%.8s\xe2\x80\xa6%s", key, key + API_KEY_BYTES - 5);
}

static void key_read(struct query *q, struct key_info *ret)
{
    *ret = (struct key_info){.created_wall_ns = query_col_i64(q, 4)};
    (void)snprintf(ret->id, sizeof(ret->id), "%s", query_col_text(q, 0));
    (void)snprintf(ret->team, sizeof(ret->team), "%s", query_col_text(q, 1));
    (void)snprintf(ret->name, sizeof(ret->name), "%s", query_col_text(q, 2));
    (void)snprintf(ret->mask, sizeof(ret->mask), "%s", query_col_text(q, 3));
}

static int default_team(struct store *s, char ret[static UUID_BYTES], struct err *err)
{
    static const char sql[] = "SELECT id FROM teams ORDER BY created_ns LIMIT 1";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->rd, sql, &q, err);
    if (r == 0)
        r = query_step(&q, err);
    if (r == 0)
        return err_set(err, -ENOENT, ERR_INTERNAL, "the database '%s' has no team", s->path);
    if (r > 0)
        (void)snprintf(ret, UUID_BYTES, "%s", query_col_text(&q, 0));
    return r < 0 ? r : 0;
}

static int name_check(const char *name, struct err *err)
{
    struct slice s = slice_str(name);
    if (s.n == 0 || s.n >= KEY_NAME_BYTES || !slice_is_utf8(s))
        return err_set(err, -EINVAL, ERR_INVALID, "a key's name has 1 to %d bytes of UTF-8",
                       KEY_NAME_BYTES - 1);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return err_set(err, -EINVAL, ERR_INVALID, "a key's name has no control characters");
    return 0;
}

static int key_insert(struct store *s, const struct key_info *k, struct slice key, struct err *err)
{
    static const char sql[] = "INSERT INTO api_keys (id, team, name, mask, created_ns, hash)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    unsigned char hash[KEY_HASH_BYTES];
    int r = key_hash(key, hash, err);
    if (r < 0)
        return r;
    _cleanup_query_ struct query q = {0};
    r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, k->id);
    query_text(&q, 2, k->team);
    query_text(&q, 3, k->name);
    query_text(&q, 4, k->mask);
    query_i64(&q, 5, k->created_wall_ns);
    query_blob(&q, 6, hash, sizeof(hash));
    r = query_run(&q, err);
    return r < 0 ? r : 0;
}

int store_key_create(struct store *s, const char *name, char ret_key[static API_KEY_BYTES],
                     struct key_info *ret, struct err *err)
{
    struct key_info k = {.created_wall_ns = clock_wall_ns()};
    int r = name_check(name, err);
    if (r == 0)
        r = default_team(s, k.team, err);
    if (r < 0)
        return r;
    char key[API_KEY_BYTES] = "e2b_";
    random_hex(key + 4, KEY_RANDOM_BYTES);
    id_new_uuid(k.id);
    (void)snprintf(k.name, sizeof(k.name), "%s", name);
    key_mask(key, k.mask);
    r = key_insert(s, &k, slice_str(key), err);
    if (r == 0) {
        memcpy(ret_key, key, sizeof(key));
        *ret = k;
    }
    explicit_bzero(key, sizeof(key));
    return r;
}

int store_key_find(struct store *s, struct slice key, struct key_info *ret, struct err *err)
{
    static const char sql[] =
        "SELECT id, team, name, mask, created_ns FROM api_keys WHERE hash = ?1";
    unsigned char hash[KEY_HASH_BYTES];
    int r = key_hash(key, hash, err);
    if (r < 0)
        return r;
    _cleanup_query_ struct query q = {0};
    r = query_open(&s->rd, sql, &q, err);
    if (r < 0)
        return r;
    query_blob(&q, 1, hash, sizeof(hash));
    r = query_step(&q, err);
    if (r == 0)
        return err_set(err, -ENOENT, ERR_DENIED, "the API key is unknown or was revoked");
    if (r > 0)
        key_read(&q, ret);
    return r < 0 ? r : 0;
}

int store_key_list(struct store *s, int (*each)(const struct key_info *key, void *user), void *user,
                   struct err *err)
{
    static const char sql[] =
        "SELECT id, team, name, mask, created_ns FROM api_keys ORDER BY created_ns, id";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->rd, sql, &q, err);
    while (r == 0 && (r = query_step(&q, err)) > 0) {
        struct key_info k;
        key_read(&q, &k);
        r = each(&k, user);
    }
    return r;
}

/* The id that `id_or_name` stands for. */
static int key_resolve(struct store *s, const char *id_or_name, char ret[static UUID_BYTES],
                       struct err *err)
{
    static const char sql[] =
        "SELECT id FROM api_keys WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 2";
    _cleanup_query_ struct query q = {0};
    int r = query_open(&s->rd, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id_or_name);
    r = query_step(&q, err);
    if (r == 0)
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "no API key '%s'", id_or_name);
    if (r < 0)
        return r;
    char id[UUID_BYTES];
    (void)snprintf(id, sizeof(id), "%s", query_col_text(&q, 0));
    r = strcmp(id, id_or_name) != 0 ? query_step(&q, err) : 0;
    if (r > 0)
        return err_set(err, -EEXIST, ERR_CONFLICT,
                       "more than one API key is named '%s'; give the id", id_or_name);
    if (r == 0)
        memcpy(ret, id, sizeof(id));
    return r;
}

int store_key_revoke(struct store *s, const char *id_or_name, struct err *err)
{
    static const char sql[] = "DELETE FROM api_keys WHERE id = ?1";
    char id[UUID_BYTES];
    int r = key_resolve(s, id_or_name, id, err);
    if (r < 0)
        return r;
    _cleanup_query_ struct query q = {0};
    r = query_open(&s->wr, sql, &q, err);
    if (r < 0)
        return r;
    query_text(&q, 1, id);
    r = query_run(&q, err);
    if (r == 0)
        return err_set(err, -ENOENT, ERR_NOT_FOUND, "no API key '%s'", id_or_name);
    return r < 0 ? r : 0;
}
