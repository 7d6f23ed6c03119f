/*
 * The launch object is written by our own privileged helper, so it is trusted to be meant well; it
 * is still parsed strictly, because a wrong descriptor number here would be somebody else's file.
 *
 * In a machine it comes twice: on descriptor 3 when the machine is booted, and, each time the control
 * plane says /init, from a file that the emulator shows. The file is of the machine as it is now; the
 * memory that reads it may be of the snapshot that this machine was cloned from.
 */
#include "envd/config.h"

#include "base/cleanup.h"
#include "base/codec.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/num.h"
#include "json/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* As QEMU's fw_cfg names what `-fw_cfg name=opt/silica/launch,...` was given. */
#define MACHINE_LAUNCH_FILE "/sys/firmware/qemu_fw_cfg/by_name/opt/silica/launch/raw"

static int get_fd(const struct json_ref *root, const char *key, int *ret, struct err *err)
{
    int64_t v = 0;
    int r = json_get_i64(root, key, JSON_OPTIONAL, CONFIG_LAUNCH_FD + 1, 1 << 20, &v, err);
    if (r > 0)
        *ret = (int)v;
    return r < 0 ? r : 0;
}

static int get_cgroup_fds(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    struct json_ref arr;
    int r = json_get_arr(root, "cgroupFds", JSON_OPTIONAL, &arr, err);
    if (r <= 0)
        return r;
    if (json_arr_len(&arr) > CONFIG_CGROUP_FDS_MAX)
        return json_refuse(&arr, err, "has more than %d members", CONFIG_CGROUP_FDS_MAX);
    for (size_t i = 0; i < json_arr_len(&arr); i++) {
        struct json_ref it = json_arr_at(&arr, i);
        json_int_t v = json_is_integer(it.v) ? json_integer_value(it.v) : -1;
        if (v <= CONFIG_LAUNCH_FD || v > 1 << 20)
            return json_refuse(&it, err, "must be a descriptor number above %d", CONFIG_LAUNCH_FD);
        c->cgroup_fds[c->n_cgroup_fds++] = (int)v;
    }
    return 0;
}

static int get_text(const struct json_ref *root, const char *key, char *dst, size_t cap,
                    struct err *err)
{
    const char *s = NULL;
    int r = json_get_str(root, key, JSON_OPTIONAL, &s, err);
    if (r > 0 && slice_copy(slice_str(s), dst, cap) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "%s is longer than %zu bytes", key, cap - 1);
    return r < 0 ? r : 0;
}

static int get_numbers(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    int64_t port = ENVD_PORT, memory = 0, cpu = 0, disk = 0, pids = 0;
    int r = json_get_i64(root, "port", JSON_OPTIONAL, 1, 65535, &port, err);
    if (r >= 0)
        r = json_get_i64(root, "memoryBytes", JSON_OPTIONAL, 0, INT64_MAX, &memory, err);
    if (r >= 0)
        r = json_get_i64(root, "cpuMillis", JSON_OPTIONAL, 0, UINT32_MAX, &cpu, err);
    if (r >= 0)
        r = json_get_i64(root, "diskBytes", JSON_OPTIONAL, 0, INT64_MAX, &disk, err);
    if (r >= 0)
        r = json_get_i64(root, "pids", JSON_OPTIONAL, 0, UINT32_MAX, &pids, err);
    if (r < 0)
        return r;
    c->port = (uint16_t)port;
    c->memory_bytes = (uint64_t)memory;
    c->cpu_millis = (uint32_t)cpu;
    c->disk_bytes = (uint64_t)disk;
    c->pids = (uint32_t)pids;
    return 0;
}

static int get_entropy(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    const char *hex = NULL;
    int r = json_get_str(root, "entropy", JSON_OPTIONAL, &hex, err);
    if (r <= 0)
        return r;
    if (hex_decode(slice_str(hex), c->entropy, sizeof(c->entropy)) < 0)
        return err_set(err, -EINVAL, ERR_INVALID, "entropy must be %d hex digits",
                       2 * CONFIG_ENTROPY_BYTES);
    c->has_entropy = true;
    return 0;
}

static int get_machine(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    int r = json_get_bool(root, "machine", JSON_OPTIONAL, &c->machine, err);
    if (r >= 0)
        r = get_entropy(root, c, err);
    if (r >= 0)
        r = get_text(root, "launchFile", c->launch_file, sizeof(c->launch_file), err);
    if (r < 0)
        return r;
    if (!c->machine)
        c->launch_file[0] = '\0';
    else if (c->launch_file[0] == '\0')
        return slice_copy(SLICE_LIT(MACHINE_LAUNCH_FILE), c->launch_file, sizeof(c->launch_file));
    else if (c->launch_file[0] != '/')
        return err_set(err, -EINVAL, ERR_INVALID, "launchFile must be an absolute path");
    return 0;
}

static void config_init(struct envd_config *c)
{
    memset(c, 0, sizeof(*c));
    c->listen_fd = c->memory_usage_fd = c->cpu_usage_fd = -1;
    c->memory_events_fd = c->pids_events_fd = c->own_memory_fd = -1;
    c->port = ENVD_PORT;
}

static int get_fds(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    const struct {
        const char *key;
        int *fd;
    } one[] = {
        {"listenFd", &c->listen_fd},          {"memoryUsageFd", &c->memory_usage_fd},
        {"cpuUsageFd", &c->cpu_usage_fd},     {"memoryEventsFd", &c->memory_events_fd},
        {"pidsEventsFd", &c->pids_events_fd}, {"ownMemoryFd", &c->own_memory_fd},
    };
    for (size_t i = 0; i < ARRAY_LEN(one); i++) {
        int r = get_fd(root, one[i].key, one[i].fd, err);
        if (r < 0)
            return r;
    }
    return get_cgroup_fds(root, c, err);
}

static int get_members(const struct json_ref *root, struct envd_config *c, struct err *err)
{
    int r;
    if ((r = get_text(root, "sandboxId", c->sandbox_id, sizeof(c->sandbox_id), err)) < 0 ||
        (r = get_text(root, "templateId", c->template_id, sizeof(c->template_id), err)) < 0 ||
        (r = get_text(root, "controlSecret", c->control_secret, sizeof(c->control_secret), err)) <
            0 ||
        (r = get_fds(root, c, err)) < 0 || (r = get_numbers(root, c, err)) < 0 ||
        (r = get_machine(root, c, err)) < 0)
        return r;
    if (c->control_secret[0] == '\0')
        return err_set(err, -EINVAL, ERR_INVALID, "controlSecret is required");
    return 0;
}

int config_parse(struct slice json, struct envd_config *ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    struct envd_config c;
    config_init(&c);
    int r = json_parse(json, &doc, err);
    if (r < 0)
        return r;
    struct json_ref root = json_root(doc);
    r = get_members(&root, &c, err);
    if (r == 0)
        *ret = c;
    explicit_bzero(&c, sizeof(c));
    return r;
}

static bool has_fds(const struct envd_config *c)
{
    return c->listen_fd >= 0 || c->memory_usage_fd >= 0 || c->cpu_usage_fd >= 0 ||
           c->memory_events_fd >= 0 || c->pids_events_fd >= 0 || c->own_memory_fd >= 0 ||
           c->n_cgroup_fds != 0;
}

int config_parse_machine(struct slice json, struct envd_config *ret, struct err *err)
{
    struct envd_config c;
    int r = config_parse(json, &c, err);
    if (r == -EBADMSG)
        return err_set(err, r, ERR_INVALID, "it is not JSON");
    if (r < 0)
        return r;
    if (!c.machine || has_fds(&c))
        r = err_set(err, -EINVAL, ERR_INVALID, "it is not of a machine, or names descriptors");
    else if (!id_is_sandbox(c.sandbox_id))
        r = err_set(err, -EINVAL, ERR_INVALID, "sandboxId is no sandbox's id");
    else if (!c.has_entropy)
        r = err_set(err, -EINVAL, ERR_INVALID, "entropy is required");
    else
        *ret = c;
    explicit_bzero(&c, sizeof(c));
    return r;
}

int config_read_machine(const char *path, struct envd_config *ret, struct err *err)
{
    /*
     * One read: the kernel's file has no size, and a second read, at the end, would make it go through
     * all bytes again, each by a call of the emulator.
     */
    char text[CONFIG_LAUNCH_FILE_MAX_BYTES + 1];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_sys(err, -errno, "open the launch file '%s'", path);
    ssize_t n = read(fd, text, sizeof(text));
    if (n < 0)
        return err_sys(err, -errno, "read the launch file '%s'", path);
    int r = (size_t)n < sizeof(text)
                ? config_parse_machine(slice_of(text, (size_t)n), ret, err)
                : err_set(err, -EFBIG, ERR_INVALID, "it is larger than %d bytes",
                          CONFIG_LAUNCH_FILE_MAX_BYTES);
    explicit_bzero(text, sizeof(text));
    return r < 0 ? err_wrap(err, "launch file '%s'", path) : 0;
}

static int read_flags(int argc, char **argv, struct envd_config *c, struct err *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-version") == 0) {
            c->show_version = true;
        } else if (strcmp(argv[i], "-port") == 0 && i + 1 < argc) {
            uint64_t port = 0;
            if (parse_u64(slice_str(argv[++i]), 65535, &port) < 0 || port == 0)
                return err_set(err, -EINVAL, ERR_INVALID, "-port wants a number from 1 to 65535");
            c->port = (uint16_t)port;
            c->standalone = true;
        } else {
            return err_set(err, -EINVAL, ERR_INVALID,
                           "unknown flag '%s'; usage: silica-envd [-port N] [-version]", argv[i]);
        }
    }
    return 0;
}

/* A number that names nothing would later name whatever is opened next. */
static int check_open(const struct envd_config *c, struct err *err)
{
    const int one[] = {c->listen_fd,        c->memory_usage_fd, c->cpu_usage_fd,
                       c->memory_events_fd, c->pids_events_fd,  c->own_memory_fd};
    for (size_t i = 0; i < ARRAY_LEN(one) + c->n_cgroup_fds; i++) {
        int fd = i < ARRAY_LEN(one) ? one[i] : c->cgroup_fds[i - ARRAY_LEN(one)];
        if (fd >= 0 && fcntl(fd, F_GETFD) < 0)
            return err_set(err, -EBADF, ERR_INVALID, "descriptor %d was not passed", fd);
    }
    return 0;
}

int config_read(int argc, char **argv, struct envd_config *ret, struct err *err)
{
    struct envd_config c;
    config_init(&c);
    int r = read_flags(argc, argv, &c, err);
    if (r < 0)
        return r;
    if (c.standalone || c.show_version) {
        *ret = c;
        return 0;
    }
    struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
    r = fs_read_fd(CONFIG_LAUNCH_FD, &text);
    if (r < 0)
        r = err_sys(err, r, "read the launch object on descriptor %d (outside a sandbox: -port N)",
                    CONFIG_LAUNCH_FD);
    else
        r = config_parse(buf_slice(&text), ret, err);
    (void)fd_close(CONFIG_LAUNCH_FD);
    buf_wipe_done(&text);
    return r < 0 ? r : check_open(ret, err);
}
