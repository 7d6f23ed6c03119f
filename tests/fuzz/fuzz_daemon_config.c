/* Fuzzes the configuration file: what is accepted lies within the named ranges. */
// deps: daemon base
#include "base/cleanup.h"
#include "base/fs.h"
#include "daemon/config.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_close_ int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || fs_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) != 0)
        return 0;
    struct config c;
    struct err err = {0};
    if (config_read(fd, "fuzz", &c, &err) < 0) {
        assert(err.num < 0 && err.msg[0] != '\0');
        return 0;
    }
    assert(c.max_sandboxes >= 1 && c.max_sandboxes <= 2048);
    assert(c.memory_mb >= 64 && c.cpu_count >= 1 && c.log_level < LOG_LEVEL_MAX_);
    assert(memchr(c.host_names, '\0', sizeof(c.host_names)) != NULL);
    const char *names[CONFIG_HOST_NAMES_MAX];
    unsigned n = config_split_names(c.host_names, names);
    assert(n <= CONFIG_HOST_NAMES_MAX);
    for (unsigned i = 0; i < n; i++)
        assert(names[i][0] != '\0' && strpbrk(names[i], ", \t") == NULL);
    return 0;
}
