#include "daemon/config.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/num.h"

#include <ini.h>
#include <string.h>

enum config_type { CONFIG_NUMBER, CONFIG_BOOL, CONFIG_LEVEL, CONFIG_TEXT };

struct config_key {
    const char *section, *name;
    enum config_type type;
    size_t at; /* offset in struct config */
    uint64_t min, max, preset;
};

#define AT(member) offsetof(struct config, member)

static const struct config_key keys[] = {
    {"server", "listen", CONFIG_TEXT, AT(listen), 0, 0, 0},
    {"server", "data", CONFIG_TEXT, AT(data), 0, 0, 0},
    {"server", "driver", CONFIG_TEXT, AT(driver), 0, 0, 0},
    {"server", "domain", CONFIG_TEXT, AT(domain), 0, 0, 0},
    {"server", "resolv_conf", CONFIG_TEXT, AT(resolv_conf), 0, 0, 0},
    {"server", "host_names", CONFIG_TEXT, AT(host_names), 0, 0, 0},
    {"server", "log_level", CONFIG_LEVEL, AT(log_level), 0, 0, LOG_INFO},
    {"server", "log_json", CONFIG_BOOL, AT(log_json), 0, 1, 0},
    {"server", "strict_fields", CONFIG_BOOL, AT(strict_fields), 0, 1, 0},
    {"server", "max_connections", CONFIG_NUMBER, AT(max_connections), 16, 65536, 4096},
    {"server", "head_timeout_ms", CONFIG_NUMBER, AT(head_timeout_ms), 100, 600000, 30000},
    {"server", "idle_timeout_ms", CONFIG_NUMBER, AT(idle_timeout_ms), 1000, 86400000, 620000},
    {"server", "body_timeout_ms", CONFIG_NUMBER, AT(body_timeout_ms), 1000, 86400000, 120000},
    {"server", "write_timeout_ms", CONFIG_NUMBER, AT(write_timeout_ms), 1000, 86400000, 120000},
    {"server", "max_requests_per_sandbox", CONFIG_NUMBER, AT(max_requests_per_sandbox), 1, 65536,
     1024},
    {"sandbox", "max_sandboxes", CONFIG_NUMBER, AT(max_sandboxes), 1, 2048, 100},
    {"sandbox", "max_timeout_s", CONFIG_NUMBER, AT(max_timeout_s), 1, 31536000, 86400},
    {"sandbox", "memory_mb", CONFIG_NUMBER, AT(memory_mb), 64, 1048576, 512},
    {"sandbox", "cpu_count", CONFIG_NUMBER, AT(cpu_count), 1, 1024, 2},
    {"sandbox", "pids", CONFIG_NUMBER, AT(pids), 16, 65536, 1024},
    {"sandbox", "disk_mb", CONFIG_NUMBER, AT(disk_mb), 64, 16777216, 10240},
    {"sandbox", "network_mbit", CONFIG_NUMBER, AT(network_mbit), 0, 400000, 500},
    {"microvm", "pool", CONFIG_NUMBER, AT(microvm_pool), 0, 256, 2},
    {"microvm", "idle_s", CONFIG_NUMBER, AT(microvm_idle_s), 0, 31536000, 900},
};

struct reading {
    struct config *config;
    bool seen[ARRAY_LEN(keys)];
    struct err found;
};

static void *member(struct config *c, const struct config_key *k)
{
    return (char *)c + k->at;
}

void config_defaults(struct config *ret)
{
    *ret = (struct config){0};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct config_key *k = &keys[i];
        switch (k->type) {
        case CONFIG_NUMBER:
            *(uint64_t *)member(ret, k) = k->preset;
            break;
        case CONFIG_BOOL:
            *(bool *)member(ret, k) = k->preset != 0;
            break;
        case CONFIG_LEVEL:
            *(enum log_level *)member(ret, k) = (enum log_level)k->preset;
            break;
        case CONFIG_TEXT:
            break;
        }
    }
}

static int number_set(const struct config_key *k, const char *value, uint64_t *dst, struct err *err)
{
    uint64_t v = 0;
    if (parse_u64(slice_str(value), k->max, &v) < 0 || v < k->min)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "[%s] %s must be a whole number from %llu to %llu, not '%.32s'; "
                       "the default is %llu",
                       k->section, k->name, (unsigned long long)k->min, (unsigned long long)k->max,
                       value, (unsigned long long)k->preset);
    *dst = v;
    return 0;
}

static int bool_set(const struct config_key *k, const char *value, bool *dst, struct err *err)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return err_set(err, -EINVAL, ERR_INVALID, "[%s] %s must be 'on' or 'off', not '%.32s'",
                       k->section, k->name, value);
    *dst = strcmp(value, "on") == 0;
    return 0;
}

static int value_set(struct config *c, const struct config_key *k, const char *value,
                     struct err *err)
{
    switch (k->type) {
    case CONFIG_NUMBER:
        return number_set(k, value, member(c, k), err);
    case CONFIG_BOOL:
        return bool_set(k, value, member(c, k), err);
    case CONFIG_LEVEL:
        if (log_level_parse(slice_str(value), member(c, k)) < 0)
            return err_set(err, -EINVAL, ERR_INVALID,
                           "[%s] %s must be error, warning, info or debug, not '%.32s'", k->section,
                           k->name, value);
        return 0;
    case CONFIG_TEXT:
        if (slice_copy(slice_str(value), member(c, k), CONFIG_TEXT_BYTES) < 0)
            return err_set(err, -EINVAL, ERR_INVALID, "[%s] %s has more than %d characters",
                           k->section, k->name, CONFIG_TEXT_BYTES - 1);
        return 0;
    }
    return -EINVAL;
}

/* inih's handler: 1 goes on, 0 is an error. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    if (r->found.num != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct config_key *k = &keys[i];
        if (strcmp(k->section, section) != 0 || strcmp(k->name, name) != 0)
            continue;
        if (r->seen[i]) {
            (void)err_set(&r->found, -EINVAL, ERR_INVALID, "[%s] %s is given twice; remove one",
                          section, name);
            return 0;
        }
        r->seen[i] = true;
        return value_set(r->config, k, value != NULL ? value : "", &r->found) == 0;
    }
    (void)err_set(&r->found, -EINVAL, ERR_INVALID,
                  "[%.40s] %.60s is no key that Silica knows; docs/configuration.md lists them",
                  section, name);
    return 0;
}

int config_read(int fd, const char *name, struct config *ret, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
    int r = fs_read_fd(fd, &text);
    if (r < 0)
        return err_sys(err, r, "read the configuration '%s'", name);
    if (memchr(buf_str(&text), '\0', text.n) != NULL)
        return err_set(err, -EINVAL, ERR_INVALID, "configuration '%s' holds a NUL byte", name);
    struct config c;
    config_defaults(&c);
    struct reading reading = {.config = &c};
    int line = ini_parse_string(buf_str(&text), on_key, &reading);
    if (reading.found.num != 0) {
        if (err != NULL)
            *err = reading.found;
        return err_wrap(err, "configuration '%s', line %d", name, line);
    }
    if (line != 0)
        return err_set(err, -EINVAL, ERR_INVALID,
                       "configuration '%s', line %d: not of the form 'key = value'", name, line);
    *ret = c;
    return 0;
}

unsigned config_split_names(char *names, const char *dst[static CONFIG_HOST_NAMES_MAX])
{
    unsigned n = 0;
    for (char *p = names; *p != '\0' && n < CONFIG_HOST_NAMES_MAX;) {
        size_t skip = strspn(p, ", \t");
        p += skip;
        size_t len = strcspn(p, ", \t");
        if (len == 0)
            break;
        dst[n++] = p;
        p += len;
        if (*p != '\0')
            *p++ = '\0';
    }
    return n;
}
