/* Talking with QEMU: the greeting, calls and their order, events, what QEMU refuses. */
// deps: microvm json base uv
#include "qmp_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#define QEMU "/usr/bin/qemu-system-x86_64"

static void test_talk(void **state)
{
    (void)state;
    start();
    query("early"); /* waits until capabilities are settled */
    rig_idle(&w.rig);
    hear("");
    say(GREETING);
    hear("{\"execute\":\"qmp_capabilities\",\"id\":2}\n");
    say("{\"return\": {}, \"id\": 2}\r\n");
    hear("{\"execute\":\"query-status\",\"id\":1}\n");
    expect("ready;");
    say("{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 1}\r\n");
    expect("early={\"status\":\"running\",\"running\":true};");
    call("args", "migrate", "{\"uri\": \"fd:x\"}", 0);
    hear("{\"execute\":\"migrate\",\"arguments\":{\"uri\": \"fd:x\"},\"id\":3}\n");
    say("{\"return\": [1], \"id\": 3}\n"); /* any type, and without the '\r' */
    expect("args=[1];");
    stop();
}

/* Byte by byte, each with a turn of the loop of its own. */
static void test_split_lines(void **state)
{
    static const char answer[] = STOP_EVENT "{\"return\": {}, \"id\": 2}\r\n";
    char byte[2] = "";
    (void)state;
    start();
    for (const char *p = GREETING; *p != '\0'; p++) {
        byte[0] = *p;
        say(byte);
    }
    hear(CAPABILITIES);
    say("{\"return\": {}, \"id\": 1}\r\n");
    expect("ready;");
    query("a");
    for (const char *p = answer; *p != '\0'; p++) {
        byte[0] = *p;
        say(byte);
    }
    expect("event STOP;a={};");
    stop();
}

static void test_lines_at_once(void **state)
{
    (void)state;
    start_ready();
    query("a");
    say(STOP_EVENT STOP_EVENT "{\"return\": {}, \"id\": 2}\r\n" STOP_EVENT "{\"event\": \"RES");
    expect("event STOP;event STOP;a={};event STOP;");
    say("UME\"}\r\n{\"event\": \"POWERDOWN\"}\r\n");
    expect("event RESUME;event POWERDOWN other;");
    stop();
}

static void test_order(void **state)
{
    (void)state;
    start_ready();
    query("a");
    call("b", "stop", NULL, 0);
    call("c", "cont", NULL, 0);
    hear("{\"execute\":\"query-status\",\"id\":2}\n");
    say("{\"return\": 2, \"id\": 2}\r\n");
    hear("{\"execute\":\"stop\",\"id\":3}\n");
    say("{\"return\": 3, \"id\": 3}\r\n");
    hear("{\"execute\":\"cont\",\"id\":4}\n");
    say("{\"return\": 4, \"id\": 4}\r\n");
    expect("a=2;b=3;c=4;");
    qmp_call(w.q, "quit", NULL, 0, NULL, NULL); /* nobody wants to know */
    hear("{\"execute\":\"quit\",\"id\":5}\n");
    say("{\"return\": {}, \"id\": 5}\r\n");
    expect("");
    stop();
}

static void test_queue_maximum(void **state)
{
    (void)state;
    start_ready();
    for (int i = 0; i < QMP_CALLS_MAX; i++)
        query("a");
    w.repeat = "over"; /* refused again and again, while the rest goes on */
    query("over");
    rig_until(&w.rig, rig_logged(&w.rig, "over!ENOBUFS;over!ENOBUFS;"));
    w.repeat = NULL;
    say(STOP_EVENT "{\"return\": {}, \"id\": 2}\r\n");
    rig_until(&w.rig, rig_logged(&w.rig, "event STOP;a={};"));
    rig_idle(&w.rig);
    buf_clear(&w.rig.log);
    query("a"); /* there is room again */
    query("over");
    expect("over!ENOBUFS;");
    stop();
}

static void test_refused_calls(void **state)
{
    static char big[QMP_CALL_MAX_BYTES + 1];
    (void)state;
    start_ready();
    assert_true((size_t)snprintf(big, sizeof(big), "{\"a\":\"%0*d\"}", QMP_CALL_MAX_BYTES - 10, 0) <
                sizeof(big));
    call("args", "x", "[]", 0);
    call("text", "x", "{", 0);
    call("none", "", NULL, 0);
    call("long", "0123456789012345678901234567890123456789012345678901234567890123", NULL, 0);
    call("big", "x", big, 0);
    expect("args!EINVAL;text!EINVAL;none!EINVAL;long!EINVAL;big!EINVAL;");
    hear("");
    call("last", "012345678901234567890123456789012345678901234567890123456789012", NULL, 0);
    say("{\"return\": {}, \"id\": 7}\r\n");
    expect("last={};");
    stop();
}

static const struct {
    const char *line, *log;
} event_cases[] = {
    {"{\"event\":\"STOP\"}", "event STOP;"},
    {"{\"event\":\"RESUME\",\"data\":{}}", "event RESUME;"},
    {"{\"event\":\"WATCHDOG\",\"data\":{\"action\":\"reset\"}}", "event WATCHDOG;"},
    {"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":false,\"reason\":\"host-qmp-quit\"}}",
     "event SHUTDOWN 0 2;"},
    {"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}}",
     "event SHUTDOWN 1 6;"},
    {"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-reset\"}}",
     "event SHUTDOWN 1 7;"},
    {"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-panic\"}}",
     "event SHUTDOWN 1 8;"},
    {"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"\"}}", "event SHUTDOWN 1 0;"},
    {"{\"event\":\"RESET\",\"data\":{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}}",
     "event RESET 0 3;"},
    {"{\"event\":\"GUEST_PANICKED\",\"data\":{\"action\":\"pause\",\"info\":{}}}",
     "event GUEST_PANICKED stopped;"},
    {"{\"event\":\"GUEST_PANICKED\",\"data\":{\"action\":\"poweroff\"}}", "event GUEST_PANICKED;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"setup\"}}", "event MIGRATION 1;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"active\"}}", "event MIGRATION 2;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"completed\"}}", "event MIGRATION 3;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"failed\"}}", "event MIGRATION 4;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"cancelled\"}}", "event MIGRATION 5;"},
    {"{\"event\":\"MIGRATION\",\"data\":{\"status\":\"device\"}}", "event MIGRATION 0;"},
    {"{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"device\":\"disk\\n0\",\"operation\":\"write\","
     "\"action\":\"stop\",\"nospace\":true,\"reason\":\"No space left on device\"}}",
     "event BLOCK_IO_ERROR 'disk\\x0a0' 1 stopped;"},
    {"{\"event\":\"BLOCK_IO_ERROR\",\"data\":{\"device\":\"\",\"action\":\"report\"}}",
     "event BLOCK_IO_ERROR '' 0;"},
    {"{\"event\":\"A\\u001b[31m\\u009b\"}", "event A\\x1b[31m\\xc2\\x9b other;"},
    {"{\"event\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
     "event 01234567890123456789012345678901234567890123456789012345678 other;"},
    {"{\"event\":\"\"}", "event  other;"},
    {" {\"later\":[1,2],\"event\":\"STOP\"} ", "event STOP;"},
};

static void test_events(void **state)
{
    (void)state;
    start_ready();
    for (size_t i = 0; i < ARRAY_LEN(event_cases); i++) {
        say(event_cases[i].line);
        say("\r\n");
        expect(event_cases[i].log);
    }
    stop();
}

static const struct {
    const char *class, *desc;
    int num;
    const char *msg;
} error_cases[] = {
    {"GenericError", "it 'is' so", -EIO, "QEMU refused stop: it 'is' so"},
    {"CommandNotFound", "no", -ENOSYS, "QEMU refused stop: no"},
    {"DeviceNotFound", "no", -ENOENT, "QEMU refused stop: no"},
    {"DeviceNotActive", "no", -EBUSY, "QEMU refused stop: no"},
    {"Unheard", "", -EIO, "QEMU refused stop: "},
    {"GenericError", "a\\n\\u001b[2J\\u009b\\u00e4%s", -EIO,
     "QEMU refused stop: a\\x0a\\x1b[2J\\xc2\\x9b\\xc3\\xa4%s"},
};

static struct err seen;

static void keep_error(void *user, const struct json_ref *ret, const struct err *err)
{
    (void)user;
    assert_null(ret);
    seen = *err;
}

static void test_errors(void **state)
{
    char line[512];
    (void)state;
    start_ready();
    for (size_t i = 0; i < ARRAY_LEN(error_cases); i++) {
        seen = (struct err){0};
        qmp_call(w.q, "stop", NULL, 0, keep_error, NULL);
        (void)snprintf(line, sizeof(line),
                       "{\"id\": %zu, \"error\": {\"class\": \"%s\", \"desc\": \"%s\"}}\r\n", i + 2,
                       error_cases[i].class, error_cases[i].desc);
        say(line);
        rig_until(&w.rig, seen.num != 0);
        assert_int_equal(seen.num, error_cases[i].num);
        assert_string_equal(seen.msg, error_cases[i].msg);
    }
    query("a");
    say("{\"id\": 8, \"return\": {}}\r\n"); /* the connection goes on */
    expect("a={};");
    stop();
}

/* QEMU that does not read for a while: what it says is heard, and the call arrives whole. */
static void test_slow_reader(void **state)
{
    const int small = 1;
    char args[QMP_CALL_MAX_BYTES - 64];
    _cleanup_buf_ struct buf want = BUF_INIT(QMP_CALL_MAX_BYTES);
    (void)state;
    start_ready();
    assert_int_equal(setsockopt(w.q->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    (void)snprintf(args, sizeof(args), "{\"a\":\"%0*d\"}", (int)sizeof(args) - 10, 0);
    call("a", "x", args, 0);
    assert_true(w.q->calls.next != &w.q->calls && qmp_call_awaited(w.q)->text.n > 0);
    say(STOP_EVENT);
    expect("event STOP;");
    buf_printf(&want, "{\"execute\":\"x\",\"arguments\":%s,\"id\":2}\n", args);
    hear(buf_str(&want));
    say("{\"return\": {}, \"id\": 2}\r\n");
    expect("a={};");
    stop();
}

/* A folder with a listening socket "qmp" in it. */
struct place {
    char folder[32], path[64];
    int listener;
};

static void make_place(struct place *p, bool listens)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    *p = (struct place){.folder = "/tmp/silica-qmp-XXXXXX", .listener = -EBADF};
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof(p->path), "%s/qmp", p->folder);
    if (!listens)
        return;
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->path);
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(p->listener, 4), 0);
}

static void remove_place(struct place *p)
{
    p->listener = fd_close(p->listener);
    (void)unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0);
}

static void test_open(void **state)
{
    char longer[200] = "/";
    struct err err;
    struct place p;
    (void)state;
    memset(&w, 0, sizeof(w));
    rig_init(&w.rig);
    memset(longer + 1, 'a', sizeof(longer) - 2);
    make_place(&p, false);
    assert_int_equal(qmp_open(&w.rig.loop, p.path, &callbacks, &w, &w.q, &err), -ENOENT);
    assert_int_equal(qmp_open(&w.rig.loop, longer, &callbacks, &w, &w.q, &err), -ENAMETOOLONG);
    remove_place(&p);
    make_place(&p, true);
    assert_int_equal(qmp_open(&w.rig.loop, p.path, &callbacks, &w, &w.q, &err), 0);
    w.qemu = rig_accept(&w.rig, p.listener);
    say(GREETING);
    hear(CAPABILITIES);
    assert_int_equal(fcntl(w.q->fd, F_GETFD), FD_CLOEXEC);
    assert_true((fcntl(w.q->fd, F_GETFL) & O_NONBLOCK) != 0);
    struct qmp *other = NULL;
    p.listener = fd_close(p.listener);
    assert_int_equal(qmp_open(&w.rig.loop, p.path, &callbacks, &w, &other, &err), -ECONNREFUSED);
    assert_null(other);
    remove_place(&p);
    stop();
    qmp_close(NULL);
}

/* The real one, without a machine. Ended by its pid whatever happens, also when the test is killed. */

static pid_t qemu_pid;
static struct place qemu_place;

static int end_qemu(void **state)
{
    (void)state;
    if (qemu_pid > 0) {
        (void)kill(qemu_pid, SIGKILL);
        (void)waitpid(qemu_pid, NULL, 0);
        remove_place(&qemu_place);
    }
    qemu_pid = 0;
    return 0;
}

static void start_qemu(void)
{
    char monitor[128];
    make_place(&qemu_place, false);
    (void)snprintf(monitor, sizeof(monitor), "unix:%s,server=on,wait=off", qemu_place.path);
    qemu_pid = fork();
    assert_true(qemu_pid >= 0);
    if (qemu_pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(QEMU, QEMU, "-machine", "none", "-nodefaults", "-display", "none", "-qmp",
                    monitor, (char *)NULL);
        _exit(127);
    }
}

static void test_real_qemu(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    if (access(QEMU, X_OK) != 0) {
        print_message("# " QEMU " is not installed\n");
        skip();
    }
    start_qemu();
    rig_init(&w.rig);
    w.qemu = -EBADF;
    rig_until(&w.rig, qmp_open(&w.rig.loop, qemu_place.path, &callbacks, &w, &w.q, NULL) == 0);
    query("a");
    call("b", "stop", NULL, 0);
    call("c", "cont", NULL, 0);
    call("d", "no-such-thing", NULL, 0);
    call("e", "stop", "{\"x\": 1}", 0);
    rig_await(&w.rig, "e!");
    assert_int_equal(strncmp(buf_str(&w.rig.log), "ready;a={\"", 10), 0);
    assert_true(rig_logged(&w.rig, "\"status\":\"running\""));
    assert_true(rig_logged(&w.rig, "event STOP;b={};event RESUME;c={};d!ENOSYS;e!EIO;"));
    call("quit", "quit", NULL, 0);
    rig_await(&w.rig, "end closed;");
    assert_true(rig_logged(&w.rig, "event SHUTDOWN 0 2;"));
    buf_clear(&w.rig.log);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talk),
        cmocka_unit_test(test_split_lines),
        cmocka_unit_test(test_lines_at_once),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_queue_maximum),
        cmocka_unit_test(test_refused_calls),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_open),
        cmocka_unit_test_teardown(test_real_qemu, end_qemu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
