/*
 * After a restart: what the rows say and what the driver has are brought together.
 *
 *   row        instance   what happens
 *   running    same       adopted, once its envd answers /health; else reaped
 *   running    none       the row goes
 *   creating   any        reaped: nobody was told that it exists
 *   killing    any        reaped: the end goes on where it was
 *   none       there      reaped
 *
 * "Same" means the same start time of its init: a process id alone may have been given again.
 * Reaping is the ordinary end of a sandbox, with an undo stack that assumes that everything is there.
 */
#include "sandbox/sandbox_internal.h"

#include <string.h>

void adopt_settled(struct sandbox *sb)
{
    if (!sb->adopting)
        return;
    sb->adopting = false;
    sb->m->adopting--;
}

void adopt_check_ready(struct sandbox_manager *m)
{
    sandbox_done_cb ready = m->ready;
    if (ready == NULL || m->listing || m->adopting > 0)
        return;
    m->ready = NULL;
    ready(m->ready_user, m->ready_err.num != 0 ? &m->ready_err : NULL);
}

static void on_probed(struct sandbox *sb, int ok)
{
    if (sb->m->closing && !sb->m->end_all) {
        adopt_settled(sb); /* it lives on for the next start */
        return;
    }
    if (!ok || sb->exited || sb->kill_asked) {
        sandbox_end(sb,
                    sb->exited       ? END_EXIT
                    : sb->kill_asked ? END_REQUEST
                                     : END_LOST,
                    sb->why.num != 0 ? &sb->why : NULL);
        return;
    }
    adopt_settled(sb);
    registry_show(sb);
    events_arm(sb->m);
    sandbox_arm_expiry(sb);
    manager_notice(sb->m, sb->id, "adopted");
}

static void sort_out(struct sandbox *sb, void *user)
{
    (void)user;
    if (sb->state == SANDBOX_RUNNING && sb->listed) {
        sandbox_init_start(sb, on_probed);
        return;
    }
    manager_notice(sb->m, sb->id, "left over in state %s%s, removing it",
                   sandbox_state_name(sb->state), sb->listed ? "" : " without an instance");
    if (sb->state == SANDBOX_KILLING)
        sandbox_teardown(sb);
    else
        sandbox_end(sb,
                    sb->state == SANDBOX_CREATING ? END_START
                    : sb->exited                  ? END_EXIT
                                                  : END_LOST,
                    NULL);
}

/* Nothing is touched when we do not know what lives. */
static void let_be(struct sandbox *sb, void *user)
{
    (void)user;
    adopt_settled(sb);
}

static void on_listed(void *user, const struct err *err)
{
    struct sandbox_manager *m = user;
    m->listing = false;
    if (err != NULL) {
        m->ready_err = *err;
        registry_each(m, let_be, NULL);
    } else {
        registry_each(m, sort_out, NULL);
    }
    manager_op_end(m);
}

/* An instance that no row knows: an object that is born dying. */
static void reap_stray(struct sandbox_manager *m, const char *id)
{
    struct sandbox *sb = sandbox_new(m, id, SANDBOX_KILLING);
    if (sb == NULL) {
        manager_notice(m, id, "unknown instance; no memory to remove it");
        return;
    }
    sb->listed = true;
    sb->adopting = true;
    m->adopting++;
    undo_push(sb, UNDO_INSTANCE);
    registry_add(sb);
}

static void on_instance(void *user, const char *id, const struct driver_instance *inst)
{
    struct sandbox_manager *m = user;
    if (!id_is_sandbox(id))
        return;
    struct sandbox *sb = registry_find(m, id);
    if (sb == NULL) {
        reap_stray(m, id);
        return;
    }
    if (sb->state == SANDBOX_RUNNING && inst->pid_start != sb->inst.pid_start)
        return; /* not the one that the row tells of */
    sb->listed = true;
    sb->inst = *inst;
}

/* Both drivers' sandboxes are silica-priv's: each driver can tell of them and end them. */
static bool is_ours(const struct sandbox_manager *m, const char *driver)
{
    return strcmp(driver, m->o.driver->ops->name) == 0 || strcmp(driver, "container") == 0 ||
           strcmp(driver, "microvm") == 0;
}

static int load_row(const struct sandbox_row *row, void *user)
{
    struct sandbox_manager *m = user;
    struct err err = {0};
    struct sandbox *sb = NULL;
    if (!is_ours(m, row->driver)) {
        manager_notice(m, row->id, "left alone: it belongs to driver '%s'", row->driver);
        return 0;
    }
    int r = sandbox_from_row(m, row, &sb, &err);
    if (r < 0) {
        m->ready_err = err;
        return r;
    }
    sb->adopting = true;
    m->adopting++;
    undo_push(sb, UNDO_ROW);
    undo_push(sb, UNDO_INSTANCE);
    registry_add(sb);
    return 0;
}

int adopt_start(struct sandbox_manager *m, struct err *err)
{
    struct err db = {0};
    int r = store_sandbox_each(m->o.store, load_row, m, &db);
    if (r < 0) {
        if (err != NULL)
            *err = m->ready_err.num != 0 ? m->ready_err : db;
        return r;
    }
    m->listing = true;
    manager_op_begin(m);
    m->o.driver->ops->list(m->o.driver, on_instance, on_listed, m);
    return 0;
}
