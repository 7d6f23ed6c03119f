/*
 * Fuzzes the requests of process.Process. What is accepted must make vectors for exec that are
 * whole: as many arguments as told, every variable with a name.
 */
// deps: envd
#include "base/cleanup.h"
#include "envd/child_env.h"
#include "envd/process_rpc.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_vectors(const struct start_request *q)
{
    struct settings s;
    struct user u = {.name = "user", .home = "/home/user"};
    struct child_env e = {0};
    size_t n = 0;
    assert(settings_init(&s, true, "i", "t") == 0);
    assert(child_env_make(&s, "/bin", &u, q, &e) == 0);
    while (e.argv[n] != NULL)
        n++;
    assert(n == json_array_size(q->args) + 1);
    assert(strcmp(e.argv[0], q->cmd) == 0);
    for (n = 0; e.envp[n] != NULL; n++) {
        const char *eq = strchr(e.envp[n], '=');
        assert(eq != NULL && eq != e.envp[n]);
    }
    child_env_done(&e);
    settings_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL;
    struct start_request q;
    struct selector sel;
    struct err err = {0};
    if (json_parse(slice_of((const char *)data, size), &doc, &err) < 0)
        return 0;
    struct json_ref root = json_root(doc);
    if (process_parse_start(&root, &q, &err) == 0) {
        check_vectors(&q);
        json_decref(q.config);
    } else {
        assert(err.code[0] != '\0');
    }
    if (process_read_selector(&root, &sel, &err) == 0)
        (void)process_not_found(&sel, &err);
    return 0;
}
