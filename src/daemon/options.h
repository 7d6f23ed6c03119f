/* silicad's command line. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct options {
    const char *data, *templates, *priv_socket, *domain, *driver, *config; /* of argv */
    const char *driver_reason, *accelerator;                               /* for people; "" */
    uint32_t uid;                                                          /* also the gid */
    int listen_fd;
};

/* All but --config, --templates, --driver-reason and --accelerator must be given. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
