#include "envd/metrics.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/num.h"
#include "envd/request.h"
#include "json/writer.h"

#include <fcntl.h>
#include <sys/statvfs.h>

enum { PROC_FILE_MAX_BYTES = 1 << 20 };

/* The words of a line, separated by blanks. False at the end. */
static bool next_word(struct slice *line, struct slice *ret)
{
    *line = slice_trim(*line);
    if (line->n == 0)
        return false;
    size_t n = slice_find(*line, ' ');
    *ret = slice_sub(*line, 0, n);
    *line = slice_from(*line, n);
    return true;
}

uint64_t meminfo_bytes(struct slice text, const char *name)
{
    struct slice line, word;
    uint64_t kib;
    while (slice_next(&text, '\n', &line)) {
        size_t colon = slice_find(line, ':');
        if (!slice_eq_str(slice_sub(line, 0, colon), name))
            continue;
        line = slice_from(line, colon + 1);
        if (next_word(&line, &word) && parse_u64(word, UINT64_MAX / 1024, &kib) == 0)
            return kib * 1024;
    }
    return 0;
}

uint64_t procstat_busy_ns(struct slice text, uint64_t ticks_per_s)
{
    /* user nice system idle iowait irq softirq steal; guest time is part of user and nice */
    struct slice line = slice_sub(text, 0, slice_find(text, '\n')), word;
    uint64_t busy = 0, v;
    if (!next_word(&line, &word) || !slice_eq_str(word, "cpu"))
        return 0;
    for (unsigned i = 0; i < 8 && next_word(&line, &word); i++)
        if (i != 3 && i != 4 && parse_u64(word, UINT64_MAX / 16, &v) == 0)
            busy += v;
    return busy / ticks_per_s * NS_PER_S + busy % ticks_per_s * NS_PER_S / ticks_per_s;
}

uint64_t cgroup_cpu_ns(struct slice text)
{
    struct slice line, word;
    uint64_t v = 0;
    while (slice_next(&text, '\n', &line)) {
        if (!next_word(&line, &word))
            continue;
        if (parse_u64(word, UINT64_MAX, &v) == 0)
            return v;
        if (slice_eq_str(word, "usage_usec") && next_word(&line, &word) &&
            parse_u64(word, UINT64_MAX / 1000, &v) == 0)
            return v * 1000;
    }
    return 0;
}

/* A small kernel file, from its start; empty on failure. */
static void read_at_start(int fd, struct buf *out)
{
    char *at = buf_reserve(out, 65536);
    ssize_t n = at != NULL && fd >= 0 ? pread(fd, at, 65536, 0) : -1;
    if (n > 0)
        buf_commit(out, (size_t)n);
}

static uint64_t read_busy_ns(const struct metrics *m)
{
    _cleanup_buf_ struct buf text = BUF_INIT(PROC_FILE_MAX_BYTES);
    long ticks = sysconf(_SC_CLK_TCK);
    if (m->cpu_fd >= 0) {
        read_at_start(m->cpu_fd, &text);
        return cgroup_cpu_ns(buf_slice(&text));
    }
    (void)fs_read_file(AT_FDCWD, "/proc/stat", &text, NULL);
    return procstat_busy_ns(buf_slice(&text), ticks > 0 ? (uint64_t)ticks : 100);
}

void metrics_init(struct metrics *m, const struct envd_config *c)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->cpus = online > 0 ? (unsigned)online : 1;
    if (c->cpu_millis != 0 && (c->cpu_millis + 999) / 1000 < m->cpus)
        m->cpus = (c->cpu_millis + 999) / 1000;
    m->memory_bytes = c->memory_bytes;
    m->memory_fd = c->memory_usage_fd;
    m->cpu_fd = c->cpu_usage_fd;
    m->last_ns = clock_monotonic_ns();
    m->last_busy_ns = read_busy_ns(m);
}

static double cpu_percent(struct metrics *m)
{
    uint64_t now = clock_monotonic_ns(), busy = read_busy_ns(m);
    double used = busy > m->last_busy_ns ? (double)(busy - m->last_busy_ns) : 0;
    double could = (double)(now - m->last_ns) * m->cpus;
    m->last_ns = now;
    m->last_busy_ns = busy;
    double percent = could > 0 ? 100 * used / could : 0;
    return percent > 100 ? 100 : percent;
}

static void put_memory(struct json_writer *w, const struct metrics *m)
{
    _cleanup_buf_ struct buf info = BUF_INIT(PROC_FILE_MAX_BYTES), usage = BUF_INIT(65536);
    (void)fs_read_file(AT_FDCWD, "/proc/meminfo", &info, NULL);
    struct slice text = buf_slice(&info);
    uint64_t total = meminfo_bytes(text, "MemTotal"), used;
    uint64_t available = meminfo_bytes(text, "MemAvailable");
    uint64_t cache = meminfo_bytes(text, "Cached") + meminfo_bytes(text, "SReclaimable");
    used = total > available ? total - available : 0;
    if (m->memory_bytes != 0 && m->memory_bytes < total)
        total = m->memory_bytes;
    read_at_start(m->memory_fd, &usage);
    (void)parse_u64(slice_sub(buf_slice(&usage), 0, slice_find(buf_slice(&usage), '\n')),
                    UINT64_MAX, &used);
    if (used > total)
        used = total;
    jw_ku64(w, "mem_total", total);
    jw_ku64(w, "mem_used", used);
    jw_ku64(w, "mem_cache", cache < total ? cache : total);
    jw_ku64(w, "mem_total_mib", total >> 20);
    jw_ku64(w, "mem_used_mib", used >> 20);
}

static void put_disk(struct json_writer *w)
{
    struct statvfs v;
    if (statvfs("/", &v) < 0)
        return;
    uint64_t total = (uint64_t)v.f_blocks * v.f_frsize,
             free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    jw_ku64(w, "disk_used", total > free_bytes ? total - free_bytes : 0);
    jw_ku64(w, "disk_total", total);
}

void metrics_get(struct request *r)
{
    static const struct http_header h[] = {
        {{"Cache-Control", 13}, {"no-store", 8}},
        {{"Content-Type", 12}, {"application/json", 16}},
    };
    _cleanup_buf_ struct buf out = BUF_INIT(4096);
    struct json_writer w;
    jw_init(&w, &out);
    jw_obj(&w);
    jw_ki64(&w, "ts", clock_wall_ns() / (int64_t)NS_PER_S);
    jw_ku64(&w, "cpu_count", r->envd->metrics.cpus);
    jw_key(&w, "cpu_used_pct");
    jw_double(&w, cpu_percent(&r->envd->metrics), 2);
    put_memory(&w, &r->envd->metrics);
    put_disk(&w);
    jw_end(&w);
    request_reply_with(r, 200, h, ARRAY_LEN(h), buf_slice(&out));
}
