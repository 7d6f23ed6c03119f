/* silica-dns's command line. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct dns_options {
    const char *resolv_conf;
    uint32_t uid, instance;
    int udp_fd, tcp_fd;
};

/* Borrows from argv. */
int dns_options_parse(int argc, char **argv, struct dns_options *ret, struct err *err);
