/* New file systems by the kernel's newer calls: detached mounts, seen by nobody until attached. */
#pragma once

struct fs_option {
    const char *key, *value; /* value NULL: a flag */
};

/*
 * A new file system as a detached mount with `attrs` (MOUNT_ATTR_*): returns its descriptor, which
 * the caller closes (and with it the mount, unless it was attached), or a negative errno. A block
 * device that is mounted already with that type gives one more mount of the same file system, which
 * keeps its own options. Async-signal-safe.
 */
int fs_new_mount(const char *type, const struct fs_option *options, unsigned n, unsigned attrs);
