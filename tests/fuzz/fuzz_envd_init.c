/*
 * Fuzzes the bodies that the control plane sends to envd: /init, and the launch object, also as the
 * file of a machine. An /init is applied as a whole or not at all; applied twice it changes nothing
 * more. What a machine's file may say, a launch object may say, too.
 */
// deps: envd
#include "base/cleanup.h"
#include "base/ids.h"
#include "envd/config.h"
#include "envd/settings.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct settings *a, const struct settings *b)
{
    return strcmp(a->token, b->token) == 0 && strcmp(a->default_user, b->default_user) == 0 &&
           strcmp(a->default_workdir, b->default_workdir) == 0 &&
           a->timestamp_ns == b->timestamp_ns && json_equal(a->user_vars, b->user_vars);
}

static void check_init(const struct json_ref *root)
{
    struct settings s, fresh;
    struct err err = {0};
    assert(settings_init(&s, true, "i", "t") == 0 && settings_init(&fresh, true, "i", "t") == 0);
    int r = settings_apply(&s, root, &err);
    if (r < 0) {
        assert(err.msg[0] != '\0' && same(&s, &fresh));
    } else {
        assert(settings_apply(&fresh, root, &err) == 0 && settings_apply(&fresh, root, &err) == 0);
        assert(same(&s, &fresh));
        const char *key;
        json_t *value;
        _cleanup_json_ json_t *vars = settings_globals(&s);
        json_object_foreach(vars, key, value) assert(env_name_valid(key) && json_is_string(value));
        assert(strcmp(json_string_value(json_object_get(vars, "E2B_SANDBOX")), "true") == 0);
    }
    settings_done(&s);
    settings_done(&fresh);
}

static void check_launch(struct slice text)
{
    struct envd_config c;
    struct err err = {0};
    if (config_parse(text, &c, &err) < 0) {
        assert(err.msg[0] != '\0');
        return;
    }
    assert(c.control_secret[0] != '\0' && c.port != 0);
    assert((c.launch_file[0] == '/') == c.machine);
    assert(c.n_cgroup_fds <= CONFIG_CGROUP_FDS_MAX);
    assert(c.listen_fd == -1 || c.listen_fd > CONFIG_LAUNCH_FD);
    for (size_t i = 0; i < c.n_cgroup_fds; i++)
        assert(c.cgroup_fds[i] > CONFIG_LAUNCH_FD);
}

static void check_machine(struct slice text)
{
    struct envd_config c, plain;
    struct err err = {0};
    if (config_parse_machine(text, &c, &err) < 0) {
        assert(err.msg[0] != '\0');
        return;
    }
    assert(config_parse(text, &plain, &err) == 0);
    assert(strcmp(c.control_secret, plain.control_secret) == 0 && c.control_secret[0] != '\0');
    assert(c.machine && c.has_entropy && id_is_sandbox(c.sandbox_id));
    assert(c.listen_fd == -1 && c.n_cgroup_fds == 0 && c.own_memory_fd == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_json_ json_t *doc = NULL;
    struct slice text = slice_of((const char *)data, size);
    check_launch(text);
    check_machine(text);
    if (json_parse(text, &doc, NULL) < 0 || !json_is_object(doc))
        return 0;
    struct json_ref root = json_root(doc);
    check_init(&root);
    return 0;
}
