#include "envd/machine.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "envd/envd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { CLOCK_SLACK_NS = NS_PER_MS }; /* the way of the request takes about as long */

void machine_init(struct machine *m, struct envd_config *c, const struct machine_effects *effects,
                  const char *root)
{
    *m = (struct machine){.effects = effects, .root = root};
    if (c->machine && c->has_entropy) {
        int r = effects->add_entropy(c->entropy);
        if (r < 0) /* a machine that is booted has sources of its own */
            log_warning("add entropy at the start: %s", strerror(-r));
    }
    explicit_bzero(c->entropy, sizeof(c->entropy));
    c->has_entropy = false;
}

/* What descriptors and ports the boot had stays. */
static void take_over(struct envd *e, const struct envd_config *now)
{
    struct envd_config *c = &e->config;
    e->machine.changed = true;
    e->machine.renamed |= strcmp(c->sandbox_id, now->sandbox_id) != 0;
    memcpy(e->machine.entropy, now->entropy, sizeof(now->entropy));
    memcpy(c->control_secret, now->control_secret, sizeof(c->control_secret));
    memcpy(c->sandbox_id, now->sandbox_id, sizeof(c->sandbox_id));
    memcpy(c->template_id, now->template_id, sizeof(c->template_id));
    c->memory_bytes = now->memory_bytes;
    c->cpu_millis = now->cpu_millis;
    c->disk_bytes = now->disk_bytes;
    c->pids = now->pids;
    limits_init(&e->limits, c);
    metrics_init(&e->metrics, c);
}

int machine_look(struct envd *e, struct err *err)
{
    struct envd_config now;
    if (!e->config.machine)
        return 0;
    int r = config_read_machine(e->config.launch_file, &now, err);
    if (r < 0)
        return r;
    if (strcmp(e->config.sandbox_id, now.sandbox_id) != 0 ||
        strcmp(e->config.control_secret, now.control_secret) != 0)
        take_over(e, &now);
    explicit_bzero(&now, sizeof(now));
    return 0;
}

/* A timestamp that is malformed is left to be refused with the rest of the body. */
static int set_clock(struct envd *e, const struct json_ref *init, struct err *err)
{
    const struct machine_effects *system = e->machine.effects;
    int64_t want = 0, off = 0;
    if (!settings_fresh_timestamp(&e->settings, init, &want))
        return 0;
    if (!__builtin_sub_overflow(want, system->clock_ns(), &off) && off <= CLOCK_SLACK_NS &&
        off >= -CLOCK_SLACK_NS)
        return 0;
    int r = system->set_clock_ns(want);
    return r < 0 ? err_sys(err, r, "set the clock") : 0;
}

static int rename_system(struct envd *e, struct err *err)
{
    struct machine *m = &e->machine;
    const char *id = e->config.sandbox_id, *template_id = e->config.template_id;
    int r = m->effects->set_hostname(id);
    if (r < 0)
        return err_sys(err, r, "set the hostname");
    _cleanup_close_ int root = open(m->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(err, -errno, "open the root folder");
    if ((r = identity_write_etc(root, id, err)) < 0 ||
        (r = identity_write_machine_id(root, m->machine_id, err)) < 0)
        return r;
    identity_write_marks(root, id, template_id);
    if ((r = settings_rename(&e->settings, id, template_id)) < 0)
        return err_sys(err, r, "settings");
    process_forget_exits(&e->processes);
    return 0;
}

static int settle(struct envd *e, struct err *err)
{
    struct machine *m = &e->machine;
    int r = m->effects->add_entropy(m->entropy);
    if (r < 0)
        return err_sys(err, r, "add entropy");
    if (m->renamed && (r = rename_system(e, err)) < 0)
        return r;
    explicit_bzero(m->entropy, sizeof(m->entropy));
    m->changed = m->renamed = false;
    log_info("this machine is sandbox %s now, with %zu processes of its snapshot",
             e->config.sandbox_id, e->processes.n_live);
    return 0;
}

int machine_become(struct envd *e, const struct json_ref *init, struct err *err)
{
    if (!e->config.machine)
        return 0;
    if (e->machine.changed) /* the last /init was said to another machine */
        e->settings.have_timestamp = false;
    int r = set_clock(e, init, err); /* first: files get their time from it */
    if (r == 0 && e->machine.changed)
        r = settle(e, err);
    uv_update_time(e->loop); /* what is timed from here on does not count the time of the above */
    return r;
}
