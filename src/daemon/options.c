#include "daemon/options.h"

#include "base/cleanup.h"
#include "base/num.h"

#include <getopt.h>
#include <string.h>

enum { FD_MAX = 1023 };

static const struct option long_options[] = {
    {"data", required_argument, NULL, 'd'},
    {"templates", required_argument, NULL, 't'},
    {"priv-socket", required_argument, NULL, 'p'},
    {"listen-fd", required_argument, NULL, 'l'},
    {"uid", required_argument, NULL, 'u'},
    {"domain", required_argument, NULL, 'n'},
    {"driver", required_argument, NULL, 'r'},
    {"driver-reason", required_argument, NULL, 'e'},
    {"accelerator", required_argument, NULL, 'a'},
    {"config", required_argument, NULL, 'c'},
    {NULL, 0, NULL, 0},
};

static int option_set(struct options *o, int c, const char *value, struct err *err)
{
    uint32_t n = 0;
    switch (c) {
    case 'd':
        o->data = value;
        return 0;
    case 't':
        o->templates = value;
        return 0;
    case 'p':
        o->priv_socket = value;
        return 0;
    case 'n':
        o->domain = value;
        return 0;
    case 'r':
        o->driver = value;
        return 0;
    case 'e':
        o->driver_reason = value;
        return 0;
    case 'a':
        o->accelerator = value;
        return 0;
    case 'c':
        o->config = value;
        return 0;
    case 'l':
        if (parse_u32(slice_str(value), FD_MAX, &n) < 0 || n < 3)
            return err_set(err, -EINVAL, ERR_INVALID, "--listen-fd is a number from 3 to %d",
                           FD_MAX);
        o->listen_fd = (int)n;
        return 0;
    case 'u':
        if (parse_u32(slice_str(value), UINT32_MAX - 1, &o->uid) < 0 || o->uid == 0)
            return err_set(err, -EINVAL, ERR_INVALID, "--uid is a number above 0");
        return 0;
    default:
        return err_set(err, -EINVAL, ERR_INVALID, "unknown option, or one without its value");
    }
}

static int check_all_given(const struct options *o, struct err *err)
{
    const struct {
        const char *name;
        bool given;
    } needed[] = {
        {"--data", o->data != NULL},     {"--priv-socket", o->priv_socket != NULL},
        {"--uid", o->uid != 0},          {"--listen-fd", o->listen_fd != 0},
        {"--domain", o->domain != NULL}, {"--driver", o->driver != NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(needed); i++)
        if (!needed[i].given)
            return err_set(err, -EINVAL, ERR_INVALID,
                           "%s is missing; silicad is started by `silica serve`", needed[i].name);
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
    struct options o = {.driver_reason = "", .accelerator = ""};
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (option_set(&o, c, optarg, err) < 0)
            return -EINVAL;
    if (optind != argc)
        return err_set(err, -EINVAL, ERR_INVALID, "unexpected argument '%.64s'", argv[optind]);
    int r = check_all_given(&o, err);
    if (r == 0)
        *ret = o;
    return r;
}
