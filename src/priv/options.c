#include "priv/helper.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <string.h>

static int set_text(const char **target, const char *name, const char *value, struct err *err)
{
    if (value[0] != '/')
        return err_set(err, -EINVAL, ERR_INVALID, "%s must be an absolute path", name);
    *target = value;
    return 0;
}

static int set_number(uint32_t *target, uint32_t max, const char *name, const char *value,
                      struct err *err)
{
    if (parse_u32(slice_str(value), max, target) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "%s must be a number up to %u", name, max);
    return 0;
}

static int set_option(struct options *o, const char *name, const char *value, struct err *err)
{
    if (strcmp(name, "--data") == 0)
        return set_text(&o->data_dir, name, value, err);
    if (strcmp(name, "--templates") == 0)
        return set_text(&o->templates_dir, name, value, err);
    if (strcmp(name, "--socket") == 0)
        return set_text(&o->socket_path, name, value, err);
    if (strcmp(name, "--envd") == 0)
        return set_text(&o->envd_path, name, value, err);
    if (strcmp(name, "--client-uid") == 0)
        return set_number(&o->client_uid, UINT32_MAX - 1, name, value, err);
    if (strcmp(name, "--kvm") == 0) {
        uint32_t on = 0;
        int r = set_number(&on, 1, name, value, err);
        o->kvm = on != 0;
        return r;
    }
    if (strcmp(name, "--instance") == 0)
        return set_number(&o->instance, INSTANCE_MAX - 1, name, value, err);
    return err_set(err, -EINVAL, ERR_INVALID, "unknown option %s", name);
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
    struct options o = {.client_uid = UINT32_MAX, .instance = UINT32_MAX};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return err_set(err, -EINVAL, ERR_INVALID, "%s needs a value", argv[i]);
        int r = set_option(&o, argv[i], argv[i + 1], err);
        if (r < 0)
            return r;
    }
    if (o.data_dir == NULL || o.templates_dir == NULL || o.socket_path == NULL ||
        o.envd_path == NULL || o.client_uid == UINT32_MAX || o.instance == UINT32_MAX)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "needed: --data DIR --templates DIR --socket PATH --client-uid UID "
                       "--instance N --envd PATH");
    *ret = o;
    return 0;
}
