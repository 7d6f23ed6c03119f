/*
 * Run a program of the host, or of a root file system, for a template's build.
 *
 * The program gets a mount and pid namespace of its own (util-linux's unshare) and dies with the
 * calling thread (setpriv --pdeathsig), so that nothing it starts or mounts outlives the call. Its
 * stdin is /dev/null, its output comes back in lines, its environment is made here.
 */
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum { IMAGE_RUN_ARGS_MAX = 64, IMAGE_RUN_LINE_MAX = 4096 };

struct image_run {
    const char *const *argv;                     /* argv[0] is looked up in PATH; NULL at the end */
    const char *root;                            /* NULL, or the folder to be "/" */
    int cancel_fd;                               /* readable: give up; negative: none */
    void (*line)(void *user, struct slice line); /* without newline, cut at IMAGE_RUN_LINE_MAX */
    void *user;
};

/*
 * Returns 0 when it ended with status 0; -ECANCELED; -ENOENT when it is not installed; -EIO with its
 * last line of output (the first one that begins with "E:", if there is one) in the message.
 * On return all its processes are gone.
 */
int image_run(const struct image_run *run, struct err *err);
