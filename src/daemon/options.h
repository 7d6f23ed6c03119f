/* silicad's command line. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct options {
    const char *data, *templates, *priv_socket, *domain, *driver, *config; /* of argv */
    uint32_t uid;                                                          /* also the gid */
    int listen_fd;
};

/* All but --config and --templates must be given. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
