#include "dns/options.h"

#include "base/cleanup.h"
#include "base/ids.h"
#include "base/num.h"

#include <getopt.h>

enum { FD_MIN = 3, FD_MAX = 1023 };

static const struct option long_options[] = {
    {"instance", required_argument, NULL, 'i'},    {"uid", required_argument, NULL, 'u'},
    {"udp-fd", required_argument, NULL, 'd'},      {"tcp-fd", required_argument, NULL, 't'},
    {"resolv-conf", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0},
};

static int set_fd(const char *name, const char *value, int *ret, struct err *err)
{
    uint32_t n = 0;
    if (parse_u32(slice_str(value), FD_MAX, &n) < 0 || n < FD_MIN)
        return err_set(err, -EINVAL, ERR_INVALID, "--%s is a number from %d to %d", name, FD_MIN,
                       FD_MAX);
    *ret = (int)n;
    return 0;
}

static int set_one(struct dns_options *o, int c, const char *value, struct err *err)
{
    switch (c) {
    case 'i':
        if (parse_u32(slice_str(value), INSTANCE_MAX - 1, &o->instance) < 0)
            return err_set(err, -EINVAL, ERR_INVALID, "--instance is a number from 0 to %d",
                           INSTANCE_MAX - 1);
        return 0;
    case 'u':
        if (parse_u32(slice_str(value), UINT32_MAX - 1, &o->uid) < 0 || o->uid == 0)
            return err_set(err, -EINVAL, ERR_INVALID, "--uid is a number above 0");
        return 0;
    case 'd':
        return set_fd("udp-fd", value, &o->udp_fd, err);
    case 't':
        return set_fd("tcp-fd", value, &o->tcp_fd, err);
    case 'r':
        o->resolv_conf = value;
        return 0;
    default:
        return err_set(err, -EINVAL, ERR_INVALID, "unknown option, or one without its value");
    }
}

int dns_options_parse(int argc, char **argv, struct dns_options *ret, struct err *err)
{
    struct dns_options o = {
        .resolv_conf = "/etc/resolv.conf", .instance = INSTANCE_MAX, .udp_fd = -1, .tcp_fd = -1};
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (set_one(&o, c, optarg, err) < 0)
            return -EINVAL;
    if (optind != argc)
        return err_set(err, -EINVAL, ERR_INVALID, "unexpected argument '%.64s'", argv[optind]);
    const char *missing = o.instance == INSTANCE_MAX ? "--instance"
                          : o.uid == 0               ? "--uid"
                          : o.udp_fd < 0             ? "--udp-fd"
                          : o.tcp_fd < 0             ? "--tcp-fd"
                                                     : NULL;
    if (missing != NULL)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "%s is missing; silica-dns is started by `silica serve`", missing);
    *ret = o;
    return 0;
}
