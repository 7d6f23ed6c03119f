/* What epoll gives back: the first member of everything that is watched. */
#pragma once

#include <stdint.h>

struct watch {
    void (*on_event)(struct watch *w, uint32_t events);
};
