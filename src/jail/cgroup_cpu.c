/*
 * Processor time: weights and quotas. Why these: docs/design/0008-fair-shares.md.
 *
 *   silica-<instance>   as much as one process on each processor; together not quite all of them
 *     <id>              every sandbox the same
 *       user            its limit, and never the whole machine: most_of_sandbox()
 *       envd            a small limit, but more weight
 *
 * The kernel's scheduler may pass over everybody else on a processor for seconds while a group's
 * processes go to sleep and wake up all the time (seen on 6.18; kernel threads starved too). A quota
 * below the whole ends that once a period: it is what keeps the host and the neighbours alive, and why
 * the period is short. Light groups starve, and make starve, more than heavy ones.
 */
#include "jail/cgroup_internal.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PERIOD_US = 20000,
    QUOTA_MIN_US = 1000, /* the kernel's */
    ALONE_PERCENT = 80,  /* of the one processor of a machine that has no other */
    ALL_PERCENT = 90,
    SPARED_MAX_MILLIS = 1000, /* of large machines, no more than one processor is kept back */
    PROCESS_WEIGHT = 100,
    WEIGHT_MAX = 10000,
};

/* Weight 100 of version 2 is 1024 shares of version 1. */
static uint64_t shares_of(uint64_t weight)
{
    return weight * 1024 / 100;
}

static uint64_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint64_t)n : 1;
}

/* A part of the machine, in thousandths of a processor. */
static uint64_t part_of_all(unsigned percent)
{
    uint64_t all = processors() * 1000, part = all * percent / 100;
    return all - part > SPARED_MAX_MILLIS ? all - SPARED_MAX_MILLIS : part;
}

/*
 * All processors but one: a step of a neighbour's command then finds one where nobody computes, and
 * waits for no tick of the clock.
 */
static uint64_t most_of_sandbox(void)
{
    uint64_t n = processors();
    return n > 1 ? (n - 1) * 1000 : part_of_all(ALONE_PERCENT);
}

static int set_quota(const struct cgroup_hierarchy *h, const char *dir, uint64_t millis)
{
    uint64_t quota = millis * PERIOD_US / 1000;
    char text[48];
    if (quota < QUOTA_MIN_US)
        quota = QUOTA_MIN_US;
    if (h->v2) {
        (void)snprintf(text, sizeof(text), "%llu %d", (unsigned long long)quota, PERIOD_US);
        return cgroup_write(h->fd, dir, "cpu.max", text);
    }
    int r = cgroup_write_number(h->fd, dir, "cpu.cfs_period_us", PERIOD_US);
    return r == 0 ? cgroup_write_number(h->fd, dir, "cpu.cfs_quota_us", quota) : r;
}

int cgroup_weight(const struct cgroup_hierarchy *h, const char *dir, uint64_t weight)
{
    if (weight > WEIGHT_MAX)
        weight = WEIGHT_MAX;
    return h->v2 ? cgroup_write_number(h->fd, dir, "cpu.weight", weight)
                 : cgroup_write_number(h->fd, dir, "cpu.shares", shares_of(weight));
}

int cgroup_share(const struct cgroup_hierarchy *h, const char *dir, uint64_t millis,
                 uint64_t weight)
{
    uint64_t most = most_of_sandbox();
    int r = set_quota(h, dir, millis < most ? millis : most);
    return r == 0 ? cgroup_weight(h, dir, weight) : r;
}

int cgroup_share_all(const struct cgroup_hierarchy *h, const char *dir)
{
    int r = set_quota(h, dir, part_of_all(ALL_PERCENT));
    if (r == -EINVAL) /* version 1: a sandbox of before has more; at the next start then */
        r = 0;
    return r == 0 ? cgroup_weight(h, dir, processors() * PROCESS_WEIGHT) : r;
}
