/*
 * Fuzzes the bodies of envd's unary calls and of Connect: selector, signal, input, paths, depth. Each
 * is understood, or refused with a code and a text; a path that is understood is absolute unless the
 * user's home is not.
 */
// deps: envd
#include "base/cleanup.h"
#include "envd/fs_rpc.h"
#include "envd/process_rpc.h"

#include <assert.h>
#include <signal.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Refusals say what and why. */
static bool accepted(int r, const struct err *err)
{
    assert(r >= 0 || (err->code[0] != '\0' && err->msg[0] != '\0'));
    return r >= 0;
}

static void check_process(const struct json_ref *body)
{
    _cleanup_buf_ struct buf input = BUF_INIT(1 << 20);
    struct selector sel;
    struct err err = {0};
    int sig = 0;
    if (accepted(process_read_selector(body, &sel, &err), &err)) {
        assert(sel.tag == NULL || sel.pid == 0);
        assert(process_not_found(&sel, &err) < 0 && strcmp(err.code, RPC_NOT_FOUND) == 0);
    }
    err = (struct err){0};
    if (accepted(process_read_signal(body, &sig, &err), &err))
        assert(sig == SIGTERM || sig == SIGKILL);
    err = (struct err){0};
    (void)accepted(process_read_input(body, &input, &err), &err);
}

static void check_path(const struct json_ref *body, const char *key)
{
    static char path[ENVD_PATH_MAX + 1];
    struct err err = {0};
    if (!accepted(fs_read_path(body, key, "/home/user", "", path, &err), &err))
        return;
    assert(path[0] == '/' && memchr(path, '\0', sizeof(path)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL;
    struct err err = {0};
    uint32_t depth = 0;
    if (json_parse(slice_of((const char *)data, size), &doc, NULL) < 0)
        return 0;
    struct json_ref root = json_root(doc);
    check_process(&root);
    check_path(&root, "path");
    check_path(&root, "source");
    check_path(&root, "destination");
    (void)accepted(fs_read_depth(&root, &depth, &err), &err);
    return 0;
}
