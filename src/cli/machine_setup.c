#include "cli/machine_setup.h"

#include "base/cleanup.h"
#include "cli/serve.h"
#include "image/template.h"

#include <stdio.h>

enum { LINE_BYTES = 400 };

static int make_image(const struct template_info *t, void *user)
{
    const struct machine_setup *s = user;
    char line[LINE_BYTES];
    struct err err;
    const char *name = t->alias[0] != '\0' ? t->alias : t->id;
    (void)snprintf(line, sizeof(line), "the disk of %s", name);
    s->tell(s->user, line);
    if (machine_base_image(s->templates, t->id, &err) < 0) {
        (void)snprintf(line, sizeof(line), "%s cannot be started as a machine: %s", name, err.msg);
        s->tell(s->user, line);
    }
    return 0;
}

int machine_setup_run(const struct machine_setup *setup, char ret_id[static MACHINE_ID_LEN + 1],
                      struct err *err)
{
    char envd[PATH_MAX], guest[PATH_MAX];
    const struct machine_prepare_opts o = {.envd = envd,
                                           .guest = guest,
                                           .offline = setup->offline,
                                           .progress = setup->tell,
                                           .progress_user = setup->user};
    struct machine_setup copy = *setup;
    int r = program_find("silica-envd", envd, err);
    if (r == 0)
        r = program_find("silica-guest", guest, err);
    if (r == 0)
        r = machine_prepare(setup->data, &o, ret_id, err);
    return r == 0 ? template_each(setup->templates, make_image, &copy, err) : r;
}
