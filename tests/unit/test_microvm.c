/* The states of a machine, from the request to silica-priv until nothing is left; QEMUs that lie. */
// deps: microvm json base uv
#include "microvm_rig.h"

#define ID_A "iaaaaaaaaaaaaaaaaaaaa"
#define ID_B "ibbbbbbbbbbbbbbbbbbbb"

static struct answer run_one(const char *id)
{
    struct answer a;
    begin(id, &a);
    until(a.calls > 0);
    return a;
}

/* ---- starting ---- */

static void test_cold_start(void **state)
{
    (void)state;
    open_driver(0);
    struct answer a = run_one(ID_A);
    assert_true(a.ok);
    assert_int_equal(a.inst.pid, 77);
    assert_int_equal(qemu_of(ID_A)->conts, 1);
    assert_int_equal(w.fetches, 0); /* nobody waits for envd but its caller */
    stop_now(ID_A);
    assert_int_equal(w.exits, 0);
    close_driver(0);
}

static void test_needs_boot(void **state)
{
    static const int why[] = {-ENOENT, -ESTALE};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct answer a, b;
        w.freed = false;
        w.clones = w.boots = w.keeps = 0;
        w.clone_errors[0] = why[i];
        open_driver(0);
        begin(ID_A, &a);
        until(machine_in(MACHINE_WARMING) != NULL); /* the boot */
        begin(ID_B, &b);                            /* waits for the same */
        idle();
        assert_int_equal(w.clones, 1);
        until(a.calls > 0 && b.calls > 0);
        assert_true(a.ok && b.ok);
        assert_int_equal(w.boots, 1);
        assert_int_equal(w.keeps, 1);
        stop_now(ID_A);
        stop_now(ID_B);
        close_driver(0);
        memset(w.qemus, 0, sizeof(w.qemus));
    }
}

/* A snapshot that never fits is not made for ever. */
static void test_never_fits(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        w.clone_errors[i] = -ESTALE;
    open_driver(0);
    struct answer a = run_one(ID_A);
    assert_false(a.ok);
    assert_int_equal(w.boots, 2);
    close_driver(0);
}

static void boot_fails(const char *what)
{
    struct answer a, b;
    w.clone_errors[0] = -ENOENT;
    open_driver(0);
    begin(ID_A, &a);
    until(w.boots > 0 || a.calls > 0);
    begin(ID_B, &b);
    until(a.calls > 0 && b.calls > 0);
    assert_false(a.ok);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_true(a.err.msg[0] != '\0');
    idle();
    if (qemus_alive() != (b.ok ? 1 : 0))
        fail_msg("%s: %u are left", what, qemus_alive());
    if (b.ok)
        stop_now(ID_B);
    close_driver(0);
    (void)teardown(NULL);
    (void)setup(NULL);
}

static void test_boot_fails(void **state)
{
    (void)state;
    w.boot_errors[0] = w.clone_errors[1] = -EIO;
    boot_fails("silica-priv says no");
    w.refuse = "xen-save-devices-state";
    w.clone_errors[1] = -EIO;
    boot_fails("QEMU cannot save");
    w.keep_errors[0] = w.clone_errors[1] = -EIO;
    boot_fails("it cannot be kept");
    w.greeting = "garbage\r\n";
    boot_fails("no greeting");
    w.deaf = true;
    boot_fails("no socket");
    w.boot_errors[0] = -ENOENT; /* no image: not asked for again and again */
    w.clone_errors[1] = -EIO;
    boot_fails("no image");
}

static void test_helper_fails(void **state)
{
    (void)state;
    w.clone_errors[0] = -ENOMEM;
    open_driver(0);
    struct answer a = run_one(ID_A);
    assert_false(a.ok);
    assert_int_equal(a.err.num, -ENOMEM);
    assert_int_equal(w.boots, 0);
    close_driver(0);
}

/* ---- clones that wait ---- */

static void one_waits(void)
{
    struct sandbox_limits limits = start_of(ID_A).limits;
    microvm_expect(w.d, TEMPLATE, &limits);
    until(machine_in(MACHINE_WAITING) != NULL);
}

static void test_claim(void **state)
{
    (void)state;
    open_driver(1);
    one_waits();
    struct driver_start s = start_of(ID_A);
    struct answer a = {0};
    s.internet = false; /* the one that waits has internet */
    assert_false(w.d->ops->claim(w.d, &s));
    s.internet = true;
    assert_true(w.d->ops->claim(w.d, &s));
    assert_string_not_equal(s.id, ID_A);
    assert_string_equal(s.control_secret, qemu_of(s.id)->secret);
    struct driver_start other = start_of(ID_B);
    assert_false(w.d->ops->claim(w.d, &other)); /* once */
    w.d->ops->start(w.d, &s, on_started, &a);
    until(a.calls > 0);
    assert_true(a.ok);
    until(w.clones == 2); /* another takes its place */
    until(machine_in(MACHINE_WAITING) != NULL);
    struct microvm_counts n;
    microvm_count(w.d, &n);
    assert_true(n.running == 1 && n.waiting == 1 && n.claimed == 1 && n.cold == 0);
    stop_now(s.id);
    close_driver(0);
}

/* Its QEMU ends while it waits: it is not given to anybody. */
static void test_ends_while_waiting(void **state)
{
    (void)state;
    open_driver(1);
    one_waits();
    struct machine *m = machine_of(MACHINE_WAITING);
    struct driver_exit why = {.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"};
    char id[SANDBOX_ID_BYTES];
    memcpy(id, m->start.id, sizeof(id));
    struct driver_start s = start_of(ID_A);
    qemu_end(qemu_of(id));
    until(m->qmp == NULL); /* the monitor says it first */
    assert_false(w.d->ops->claim(w.d, &s));
    w.helper.on_exit(w.helper.on_exit_user, id, &why);
    until(machine_in(MACHINE_WAITING) != NULL); /* another */
    assert_int_equal(w.exits, 0);
    close_driver(0);
}

/* Between claim and start: another takes its place, and the creation goes well. */
static void test_ends_while_claimed(void **state)
{
    (void)state;
    for (int told = 0; told < 2; told++) {
        struct answer a = {0};
        struct driver_exit why = {.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"};
        w.freed = false;
        open_driver(1);
        one_waits();
        struct driver_start s = start_of(ID_A);
        assert_true(w.d->ops->claim(w.d, &s));
        struct machine *m = machine_of(MACHINE_CLAIMED);
        qemu_end(qemu_of(s.id));
        until(m->qmp == NULL);
        if (told)
            w.helper.on_exit(w.helper.on_exit_user, s.id, &why);
        qemu_of(s.id)->used = false;
        w.d->ops->start(w.d, &s, on_started, &a);
        until(a.calls > 0);
        idle();
        assert_int_equal(a.calls, 1);
        assert_true(a.ok); /* another took its place */
        stop_now(s.id);
        close_driver(0);
    }
}

static void test_pool_backs_off(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        w.clone_errors[i] = -EIO;
    open_driver(2);
    struct sandbox_limits limits = start_of(ID_A).limits;
    uint64_t begun = clock_monotonic_ns();
    microvm_expect(w.d, TEMPLATE, &limits);
    until(w.clones == 3);
    assert_true(clock_monotonic_ns() - begun >= 2900 * NS_PER_MS); /* 1 s and 2 s */
    until(machine_in(MACHINE_WAITING) != NULL);
    struct microvm_counts n;
    until((microvm_count(w.d, &n), n.waiting == 2));
    close_driver(0);
}

/* While it is told to run on: another of the same name takes its place, and the creation goes well. */
static void test_ends_while_resuming(void **state)
{
    struct answer a = {0};
    const struct driver_exit why = {.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"};
    (void)state;
    open_driver(1);
    one_waits();
    struct driver_start s = start_of(ID_A);
    assert_true(w.d->ops->claim(w.d, &s));
    w.mute = "cont";
    w.d->ops->start(w.d, &s, on_started, &a);
    until(machine_in(MACHINE_RESUMING) != NULL);
    idle();
    assert_int_equal(a.calls, 0);
    w.mute = NULL;
    qemu_end(qemu_of(s.id));
    qemu_of(s.id)->used = false;
    w.helper.on_exit(w.helper.on_exit_user, s.id, &why);
    until(a.calls > 0);
    assert_true(a.ok);
    assert_int_equal(w.exits, 0);
    assert_int_equal(machine_of(MACHINE_RUNNING)->pooled, false);
    stop_now(s.id);
    close_driver(0);
}

/* ---- ends ---- */

static void test_exit_reasons(void **state)
{
    static const struct {
        const char *event, *data, *want;
    } rows[] = {
        {NULL, NULL, "its virtual machine ended: killed by signal 9"},
        {"SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}",
         "its machine was switched off from inside"},
        {"SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-panic\"}", "its kernel panicked"},
        {"SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-reset\"}",
         "its kernel panicked or was told to reboot"},
        {"SHUTDOWN", "{\"guest\": false, \"reason\": \"host-error\"}",
         "its virtual machine failed"},
        {"SHUTDOWN", "{\"guest\": true, \"reason\": \"made up\"}",
         "its virtual machine ended: killed by signal 9"},
    };
    const struct driver_exit why = {.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"};
    (void)state;
    open_driver(0);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        memset(w.qemus, 0, sizeof(w.qemus));
        assert_true(run_one(ID_A).ok);
        struct qemu *q = qemu_of(ID_A);
        if (rows[i].event != NULL)
            qemu_event(q, rows[i].event, rows[i].data);
        idle();
        qemu_end(q);
        w.helper.on_exit(w.helper.on_exit_user, ID_A, &why);
        until(w.exits == i + 1);
        assert_string_equal(w.exit_id, ID_A);
        assert_string_equal(w.exit_reason, rows[i].want);
        idle();
    }
    close_driver(0);
}

/* A machine in that state, all others' answers held back. NULL: the state cannot be held. */
static struct machine *bring_to(enum machine_state state, struct answer *a)
{
    static const char *const mute[MACHINE_STATE_MAX_] = {[MACHINE_OPENING] = "qmp_capabilities",
                                                         [MACHINE_LOADING] = "migrate-incoming",
                                                         [MACHINE_SAVING] =
                                                             "xen-save-devices-state",
                                                         [MACHINE_STOPPING] = "stop",
                                                         [MACHINE_RESUMING] = "cont"};
    bool boot = state == MACHINE_SETTLING || state == MACHINE_SAVING || state == MACHINE_KEEPING;
    bool pool = state == MACHINE_STOPPING || state == MACHINE_WAITING || state == MACHINE_CLAIMED ||
                state == MACHINE_WARMING;
    w.mute = mute[state];
    w.held = state == MACHINE_STARTING;
    if (boot)
        w.clone_errors[0] = -ENOENT;
    if (state == MACHINE_WARMING)
        w.health = 503;
    open_driver(pool ? 1 : 0);
    if (pool) {
        struct sandbox_limits limits = start_of(ID_A).limits;
        microvm_expect(w.d, TEMPLATE, &limits);
    } else {
        begin(ID_A, a);
    }
    if (state == MACHINE_CLAIMED) {
        struct driver_start s = start_of(ID_B);
        until(machine_in(MACHINE_WAITING) != NULL);
        assert_true(w.d->ops->claim(w.d, &s));
    }
    until(machine_in(state) != NULL);
    w.held = state == MACHINE_STARTING || state == MACHINE_KEEPING;
    return machine_in(state);
}

static void close_settled(void)
{
    struct microvm_counts n;
    until(w.n_todo == 0 && (microvm_count(w.d, &n), n.preparing == 0) &&
          machine_in(MACHINE_ENDING) == NULL && machine_in(MACHINE_RESUMING) == NULL);
    close_driver(n.running);
}

static void in_every_state(void (*end)(struct machine *m, struct answer *a))
{
    for (enum machine_state s = MACHINE_STARTING; s < MACHINE_ENDING; s++) {
        struct answer a = {0};
        struct machine *m = bring_to(s, &a);
        assert_non_null(m);
        end(m, &a);
        (void)teardown(NULL);
        (void)setup(NULL);
    }
}

static void stop_it(struct machine *m, struct answer *a)
{
    char id[SANDBOX_ID_BYTES];
    struct answer stopped = {0};
    memcpy(id, m->start.id, sizeof(id));
    m->image->v->o.pool = 0; /* no other takes its place */
    w.d->ops->stop(w.d, id, on_stopped, &stopped);
    idle();
    w.held = false;
    w.mute = NULL;
    until(stopped.calls > 0);
    idle();
    assert_int_equal(stopped.calls, 1);
    assert_true(a->calls <= 1);
    close_settled();
    assert_true(qemu_find(id) == NULL || !qemu_find(id)->alive);
}

static void test_stop_in_every_state(void **state)
{
    (void)state;
    in_every_state(stop_it);
}

static void free_it(struct machine *m, struct answer *a)
{
    bool running = m->state == MACHINE_RUNNING;
    (void)a;
    w.d->ops->free(w.d);
    w.d = NULL;
    idle();
    w.held = false;
    until(w.freed);
    until(w.n_todo == 0);
    assert_int_equal(qemus_alive(), running ? 1 : 0);
}

static void test_free_in_every_state(void **state)
{
    (void)state;
    in_every_state(free_it);
}

static void exit_it(struct machine *m, struct answer *a)
{
    const struct driver_exit why = {.cause = DRIVER_EXIT_SIGNAL, .reason = "killed by signal 9"};
    enum machine_state s = m->state;
    char id[SANDBOX_ID_BYTES];
    memcpy(id, m->start.id, sizeof(id));
    m->image->v->o.pool = 0;
    if (s == MACHINE_STARTING) /* silica-priv tells no end before the start */
        return;
    qemu_end(qemu_of(id));
    w.mute = NULL;
    w.helper.on_exit(w.helper.on_exit_user, id, &why);
    idle();
    w.held = false;
    until(machine_find(microvm(), id) == NULL ||
          machine_find(microvm(), id)->state == MACHINE_ENDING || s == MACHINE_KEEPING);
    until(w.n_todo == 0);
    idle();
    assert_int_equal(w.exits, s == MACHINE_RUNNING ? 1 : 0);
    assert_true(a->calls <= 1);
    close_settled();
}

static void test_exit_in_every_state(void **state)
{
    (void)state;
    in_every_state(exit_it);
}

/* What would never come is not waited for. */
static void tire_of_it(struct machine *m, struct answer *a)
{
    enum machine_state s = m->state;
    char id[SANDBOX_ID_BYTES];
    memcpy(id, m->start.id, sizeof(id));
    m->image->v->o.pool = 0;
    if (s == MACHINE_WAITING || s == MACHINE_RUNNING) /* for as long as it may be */
        assert_int_equal(m->deadline_ns, 0);
    else
        machine_tick(m, m->deadline_ns);
    idle();
    w.held = false;
    w.mute = NULL;
    if (s != MACHINE_WAITING && s != MACHINE_RUNNING)
        until(qemu_find(id) == NULL || !qemu_find(id)->alive);
    idle();
    assert_true(a->calls <= 1);
    close_settled();
}

static void test_deadline_in_every_state(void **state)
{
    (void)state;
    in_every_state(tire_of_it);
}

/* ---- QEMUs that were taken over ---- */

/* The creation fails, with a reason, and its QEMU is removed. */
static void creation_fails(const char *what)
{
    open_driver(0);
    struct answer a = run_one(ID_A);
    if (a.ok || a.err.msg[0] == '\0')
        fail_msg("%s: '%s'", what, a.ok ? "created" : a.err.msg);
    until(qemus_alive() == 0);
    assert_int_equal(w.exits, 0);
    w.greeting = w.refuse = w.migration = NULL;
    w.deaf = false;
    assert_true(run_one(ID_B).ok); /* others are not touched by it */
    stop_now(ID_B);
    close_driver(0);
    (void)teardown(NULL);
    (void)setup(NULL);
}

static void test_creation_fails(void **state)
{
    static char big[70000];
    (void)state;
    w.greeting = "what?\r\n";
    creation_fails("garbage for a greeting");
    w.greeting = "{\"return\": {}, \"id\": 1}\r\n";
    creation_fails("an answer before the question");
    w.greeting = GREETING "{\"return\": {}, \"id\": 99}\r\n";
    creation_fails("an answer to nothing");
    w.greeting = GREETING GREETING;
    creation_fails("two greetings");
    memset(big, 'x', sizeof(big) - 1);
    w.greeting = big;
    creation_fails("a line without end");
    w.refuse = "migrate-incoming";
    creation_fails("it refuses to load");
    w.refuse = "cont";
    creation_fails("it refuses to run");
    w.migration = "failed";
    creation_fails("it could not load");
    w.deaf = true;
    creation_fails("no monitor");
}

/* Says that it has loaded before it was asked to: what counts is said while it loads. */
static void test_early_events(void **state)
{
    struct answer a;
    (void)state;
    w.mute = "migrate-incoming";
    w.greeting = GREETING "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "
                          "\"MIGRATION\", \"data\": "
                          "{\"status\": \"completed\"}}\r\n";
    open_driver(0);
    begin(ID_A, &a);
    until(machine_in(MACHINE_LOADING) != NULL);
    idle();
    assert_int_equal(qemu_of(ID_A)->conts, 0);
    struct qemu *q = qemu_of(ID_A);
    qemu_event(q, "MIGRATION",
               "{\"status\": \"completed\"}"); /* and now it lies: that is its own loss */
    qemu_event(q, "MIGRATION", "{\"status\": \"completed\"}");
    qemu_event(q, "MIGRATION", "{\"status\": \"failed\"}");
    idle();
    assert_int_equal(a.calls, 0);
    stop_now(ID_A);
    until(qemus_alive() == 0);
    close_driver(0);
}

/* A sandbox that runs ends with a reason, its QEMU is removed, and another one goes on. */
static void sandbox_ends(void (*attack)(struct qemu *q), const char *want)
{
    open_driver(0);
    assert_true(run_one(ID_A).ok);
    assert_true(run_one(ID_B).ok);
    attack(qemu_of(ID_A));
    until(w.exits == 1);
    assert_string_equal(w.exit_id, ID_A);
    if (strstr(w.exit_reason, want) == NULL)
        fail_msg("'%s' has no '%s'", w.exit_reason, want);
    until(!qemu_of(ID_A)->alive);
    w.status = NULL;
    idle();
    assert_int_equal(w.exits, 1);
    assert_true(qemu_of(ID_B)->alive);
    stop_now(ID_B);
    close_driver(0);
    (void)teardown(NULL);
    (void)setup(NULL);
}

static void say_garbage(struct qemu *q)
{
    qemu_say(q, "\x01\x02 garbage\r\n");
}

static void flood_events(struct qemu *q)
{
    for (unsigned i = 0; i < 3 * QMP_EVENTS_PER_S; i++)
        qemu_event(q, "STOP", "{}");
}

static void answer_nothing(struct qemu *q)
{
    qemu_answer(q, "4711", "{}");
}

static void close_monitor(struct qemu *q)
{
    q->fd = fd_close(q->fd);
    q->listen_fd = fd_close(q->listen_fd);
}

static void stand_still(struct qemu *q)
{
    (void)q;
    w.status = "paused";
}

static void test_sandbox_ends(void **state)
{
    (void)state;
    sandbox_ends(say_garbage, "monitor");
    sandbox_ends(flood_events, "monitor");
    sandbox_ends(answer_nothing, "monitor");
    sandbox_ends(close_monitor, "its process is not");
}

static void test_stands_still(void **state)
{
    (void)state;
    open_driver(0);
    assert_true(run_one(ID_A).ok);
    stand_still(qemu_of(ID_A));
    until(w.exits == 1);
    assert_non_null(strstr(w.exit_reason, "stands still (paused)"));
    until(qemus_alive() == 0);
    close_driver(0);
}

/* Words of QEMU that reach people are bounded and printable. */
static void test_its_words(void **state)
{
    (void)state;
    w.status = "p\\u001b[31m\\u202eaused-"
               "0123456789012345678901234567890123456789012345678901234567890123456789";
    open_driver(0);
    assert_true(run_one(ID_A).ok);
    until(w.exits == 1);
    assert_true(strlen(w.exit_reason) < 120);
    for (const char *c = w.exit_reason; *c != '\0'; c++)
        assert_true(*c >= ' ' && *c <= '~');
    close_driver(0);
}

/* ---- another life of the daemon ---- */

static void on_each(void *user, const char *id, const struct driver_instance *inst)
{
    (void)id, (void)inst;
    ++*(unsigned *)user;
}

static unsigned listed;
static void on_listed(void *user, const struct err *err)
{
    (void)user;
    assert_null(err);
    listed++;
}

static void adopt_all(unsigned want)
{
    unsigned n = 0;
    listed = 0;
    open_driver(0);
    w.d->ops->list(w.d, on_each, on_listed, &n);
    until(listed > 0);
    assert_int_equal(n, want);
}

static void test_adopt(void **state)
{
    const struct driver_exit why = {.cause = DRIVER_EXIT_CODE, .reason = "exited with status 1"};
    (void)state;
    (void)qemu_new(ID_A, DRIVER_MACHINE_CLONE);
    (void)qemu_new(ID_B, DRIVER_CONTAINER);
    adopt_all(2);
    until(qemu_of(ID_A)->greeted);
    idle();
    assert_null(machine_find(microvm(), ID_B));
    w.helper.on_exit(w.helper.on_exit_user, ID_B, &why); /* a container's is passed on */
    assert_int_equal(w.exits, 1);
    stop_now(ID_A);
    assert_false(qemu_of(ID_A)->alive);
    close_driver(1);
}

/* The one that cannot be watched is ended: it may have closed its monitor to be left alone. */
static void test_adopt_without_monitor(void **state)
{
    (void)state;
    w.deaf = true;
    (void)qemu_new(ID_A, DRIVER_MACHINE_CLONE);
    adopt_all(1);
    until(w.exits == 1);
    assert_string_equal(w.exit_id, ID_A);
    until(qemus_alive() == 0);
    close_driver(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_cold_start),
        T(test_needs_boot),
        T(test_never_fits),
        T(test_boot_fails),
        T(test_helper_fails),
        T(test_claim),
        T(test_ends_while_waiting),
        T(test_ends_while_claimed),
        T(test_ends_while_resuming),
        T(test_pool_backs_off),
        T(test_exit_reasons),
        T(test_stop_in_every_state),
        T(test_free_in_every_state),
        T(test_exit_in_every_state),
        T(test_deadline_in_every_state),
        T(test_creation_fails),
        T(test_early_events),
        T(test_sandbox_ends),
        T(test_stands_still),
        T(test_its_words),
        T(test_adopt),
        T(test_adopt_without_monitor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
