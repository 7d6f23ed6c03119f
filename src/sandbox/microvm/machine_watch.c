/* Deadlines of all states, and signs of life of a machine that runs: a stuck QEMU is ended. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/microvm/microvm_internal.h"

#include <string.h>

static void on_life_sign(void *user, const struct json_ref *ret, const struct err *err)
{
    struct machine *m = user;
    const char *status = "";
    struct err why;
    if (err != NULL)
        return; /* the connection's end says more */
    if (m->state != MACHINE_RUNNING ||
        json_get_str(ret, "status", JSON_REQUIRED, &status, NULL) < 0 ||
        strcmp(status, "running") == 0)
        return;
    char word[STATUS_BYTES];
    (void)err_set(&why, -EIO, ERR_INTERNAL, "its virtual machine stands still (%s)",
                  log_quote(slice_str(status), word, sizeof(word)));
    machine_fail(m, &why);
}

void machine_tick(struct machine *m, uint64_t now)
{
    struct err err;
    if (m->deadline_ns != 0 && now >= m->deadline_ns) {
        m->deadline_ns = 0;
        (void)err_set(&err, -ETIMEDOUT, ERR_TIMEOUT,
                      m->qmp == NULL && m->state >= MACHINE_LOADING
                          ? "the virtual machine's monitor is gone, its process is not"
                          : "the virtual machine took too long");
        machine_fail(m, &err);
        return;
    }
    if (m->state != MACHINE_RUNNING || m->qmp == NULL || now < m->next_sign_ns)
        return;
    m->next_sign_ns = now + LIFE_SIGN_EVERY_MS * NS_PER_MS;
    qmp_call(m->qmp, "query-status", NULL, LIFE_SIGN_MS, on_life_sign, m);
}
