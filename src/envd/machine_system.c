/* The kernel of the machine, as envd/machine.h wants it. All need root of the machine. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "envd/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

/*
 * Adding alone would be seen by readers only after the kernel's next reseeding, up to a minute later:
 * until then clones would give out the same numbers.
 */
static int add_entropy(const unsigned char bytes[static CONFIG_ENTROPY_BYTES])
{
    alignas(struct rand_pool_info) char room[sizeof(struct rand_pool_info) + CONFIG_ENTROPY_BYTES];
    struct rand_pool_info *pool = (struct rand_pool_info *)(void *)room;
    _cleanup_close_ int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    pool->entropy_count = CONFIG_ENTROPY_BYTES * 8;
    pool->buf_size = CONFIG_ENTROPY_BYTES;
    memcpy(room + sizeof(*pool), bytes, CONFIG_ENTROPY_BYTES);
    int r = ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0 ? -errno : 0;
    explicit_bzero(room, sizeof(room));
    return r;
}

static int set_hostname(const char *name)
{
    return sethostname(name, strlen(name)) < 0 ? -errno : 0;
}

static int set_clock_ns(int64_t wall_ns)
{
    int64_t ns = wall_ns % (int64_t)NS_PER_S;
    if (wall_ns < 0)
        return -EINVAL; /* before 1970: the kernel has no such time */
    struct timespec t = {.tv_sec = wall_ns / (int64_t)NS_PER_S, .tv_nsec = ns};
    return clock_settime(CLOCK_REALTIME, &t) < 0 ? -errno : 0;
}

const struct machine_effects machine_system = {
    .add_entropy = add_entropy,
    .set_hostname = set_hostname,
    .clock_ns = clock_wall_ns,
    .set_clock_ns = set_clock_ns,
};
