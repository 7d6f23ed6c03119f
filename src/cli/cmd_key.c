/*
 * `silica key create|list|revoke`: works on the database itself, so it needs no key, but the rights
 * of root or of the daemon's user. Root becomes the database's owner first: what lies in that folder
 * is under the daemon's control and must not be opened with more rights than the daemon has.
 */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "store/keys.h"
#include "store/store.h"
#include "json/writer.h"

#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

enum { JSON_OUT_MAX = 4194304 };

struct args {
    const char *data, *name;
    bool json;
};

static int become_owner(const char *data, const char *folder, struct err *err)
{
    struct stat st;
    if (lstat(folder, &st) != 0)
        return cli_no_state(data, -errno, err);
    if (geteuid() != 0 || st.st_uid == 0)
        return 0;
    if (setgroups(0, NULL) != 0 || setresgid(st.st_gid, st.st_gid, st.st_gid) != 0 ||
        setresuid(st.st_uid, st.st_uid, st.st_uid) != 0 || geteuid() != st.st_uid)
        return err_sys(err, -errno, "become user %u", st.st_uid);
    (void)umask(077); /* cannot fail */
    return 0;
}

static int open_store(const char *data, struct store **ret, struct err *err)
{
    char path[PATH_MAX];
    if (fs_join(path, sizeof(path), data, "state") != 0)
        return err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    int r = become_owner(data, path, err);
    if (r == 0 && fs_join(path, sizeof(path), data, "state/silica.db") != 0)
        r = err_set(err, -ENAMETOOLONG, ERR_INVALID, "the data folder's name is too long");
    if (r == 0 && access(path, F_OK) != 0)
        r = cli_no_state(data, -errno, err);
    return r == 0 ? store_open(path, ret, err) : r;
}

static void write_key(struct json_writer *w, const struct key_info *k, const char *text)
{
    char created[RFC3339_BYTES];
    rfc3339_format(k->created_wall_ns, created);
    jw_obj(w);
    jw_kstr(w, "id", k->id);
    jw_kstr(w, "name", k->name);
    jw_kstr(w, "mask", k->mask);
    jw_kstr(w, "createdAt", created);
    if (text != NULL)
        jw_kstr(w, "key", text);
    jw_end(w);
}

static int do_create(struct store *s, const struct args *a, struct err *err)
{
    _cleanup_(buf_wipe_done)
    struct buf out = BUF_INIT(JSON_OUT_MAX);
    char key[API_KEY_BYTES];
    struct key_info info;
    struct json_writer w;
    int r = store_key_create(s, a->name != NULL ? a->name : "key", key, &info, err);
    if (r != 0)
        return r;
    jw_init(&w, &out);
    write_key(&w, &info, key);
    if (a->json)
        printf("%s\n", buf_str(&out));
    else
        printf("%s\n", key);
    explicit_bzero(key, sizeof(key));
    return 0;
}

struct listing {
    struct json_writer w;
    bool json;
};

static int print_key(const struct key_info *k, void *user)
{
    struct listing *l = user;
    char created[RFC3339_BYTES];
    if (l->json) {
        write_key(&l->w, k, NULL);
        return l->w.out->error;
    }
    rfc3339_format(k->created_wall_ns, created);
    printf("%-36s  %-16s  %-20.20s  %s\n", k->id, k->mask, created, k->name);
    return 0;
}

static int do_list(struct store *s, const struct args *a, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT(JSON_OUT_MAX);
    struct listing l = {.json = a->json};
    jw_init(&l.w, &out);
    if (a->json)
        jw_arr(&l.w);
    else
        printf("%-36s  %-16s  %-20s  %s\n", "ID", "KEY", "CREATED", "NAME");
    int r = store_key_list(s, print_key, &l, err);
    if (r != 0)
        return r;
    if (a->json) {
        jw_end(&l.w);
        printf("%s\n", buf_str(&out));
    }
    return 0;
}

static int do_revoke(struct store *s, const struct args *a, struct err *err)
{
    return store_key_revoke(s, a->name, err);
}

static int act(const char *usage, const char *text, bool needs_word, bool takes_word, int argc,
               char **argv, int (*action)(struct store *s, const struct args *a, struct err *err))
{
    struct args a = {.data = CLI_DATA_DEFAULT};
    const struct cli_option options[] = {
        {"json", 0, CLI_FLAG, &a.json, 0, NULL, "print JSON"},
        {"data", 0, CLI_TEXT, &a.data, 0, "DIR", "data folder (default " CLI_DATA_DEFAULT ")"},
    };
    struct err err = {0};
    struct store *store = NULL;
    int first;
    if (cli_help_asked(usage, text, options, ARRAY_LEN(options), argc, argv))
        return CLI_OK;
    if (cli_parse(options, ARRAY_LEN(options), true, argc, argv, &first, &err) != 0)
        return cli_fail_usage("key", &err);
    if (argc - first > (takes_word ? 1 : 0) || (needs_word && argc == first)) {
        (void)err_set(&err, -EINVAL, ERR_INVALID, "usage: silica %s", usage);
        return cli_fail_usage("key", &err);
    }
    a.name = argc > first ? argv[first] : NULL;
    int r = open_store(a.data, &store, &err);
    if (r == 0) {
        r = action(store, &a, &err);
        store_close(store);
    }
    return r == 0 ? CLI_OK : cli_fail("key", &err);
}

static int sub_create(int argc, char **argv)
{
    return act("key create [OPTIONS] [NAME]", "Create an API key. It is printed once.", false, true,
               argc, argv, do_create);
}

static int sub_list(int argc, char **argv)
{
    return act("key list [OPTIONS]", "List API keys, without their text.", false, false, argc, argv,
               do_list);
}

static int sub_revoke(int argc, char **argv)
{
    return act("key revoke [OPTIONS] ID|NAME", "Revoke an API key. It works no more at once.", true,
               true, argc, argv, do_revoke);
}

int cmd_key(int argc, char **argv)
{
    static const struct cli_command table[] = {
        {"create", "create an API key", sub_create},
        {"list", "list API keys", sub_list},
        {"revoke", "revoke an API key", sub_revoke},
    };
    return cli_subcommand("key", table, ARRAY_LEN(table), argc, argv);
}
