/* How a connection to QEMU ends: hostile lines, floods, deadlines, and closes from everywhere. */
// deps: microvm json base uv
#include "qmp_rig.h"

/* To be said while call 2 waits. */
static const char *const broken_lines[] = {
    "rubbish",
    "",
    "{}",
    "[]",
    "1",
    "{\"return\": {}}",
    "{\"return\": {}, \"id\": 1}",
    "{\"return\": {}, \"id\": 3}",
    "{\"return\": {}, \"id\": \"2\"}",
    "{\"return\": {}, \"id\": 2.0}",
    "{\"return\": {}, \"id\": -2}",
    "{\"return\": {}, \"id\": 18446744073709551618}",
    "{\"return\": {}, \"id\": 2, \"id\": 2}",
    "{\"return\": null, \"id\": 2}",
    "{\"return\": \"\\u0000\", \"id\": 2}",
    "{\"return\": \"\xff\", \"id\": 2}",
    "{\"return\": {}, \"id\": 2} {}",
    "{\"return\": {}, \"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": 2}",
    "{\"return\": {}, \"event\": \"STOP\", \"id\": 2}",
    "{\"error\": {\"class\": \"a\", \"desc\": \"b\"}}",
    "{\"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": 3}",
    "{\"error\": {\"class\": \"a\"}, \"id\": 2}",
    "{\"error\": {\"class\": 1, \"desc\": \"b\"}, \"id\": 2}",
    "{\"error\": \"b\", \"id\": 2}",
    "{\"event\": 1}",
    "{\"event\": null}",
    "{\"event\": \"SHUTDOWN\"}",
    "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}",
    "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": 1, \"reason\": \"guest-reset\"}}",
    "{\"event\": \"RESET\", \"data\": [true]}",
    "{\"event\": \"MIGRATION\", \"data\": {\"status\": 1}}",
    "{\"event\": \"GUEST_PANICKED\", \"data\": {}}",
    "{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"a\"}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": []}}",
};

static void test_broken_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken_lines); i++) {
        start_ready();
        query("a");
        query("b");
        print_message("# %s\n", broken_lines[i]);
        say(broken_lines[i]);
        say("\r\n" STOP_EVENT); /* nothing is taken behind it */
        expect("a!EBADMSG;b!EBADMSG;end protocol;");
        query("c");
        expect("c!EPIPE;");
        stop();
    }
}

static const char *const broken_greetings[] = {
    "HTTP/1.1 400 Bad Request",
    "{\"return\": {}, \"id\": 1}",
    "{\"event\": \"STOP\"}",
    "{\"QMP\": {}}",
    "{\"QMP\": {\"version\": {\"qemu\": {}}, \"capabilities\": []}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": {}}}",
    "{\"QMP\": {\"version\": 7, \"capabilities\": []}}",
};

static void test_broken_greetings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(broken_greetings); i++) {
        start();
        print_message("# %s\n", broken_greetings[i]);
        say(broken_greetings[i]);
        say("\r\n");
        expect("end protocol;");
        stop();
    }
    start();
    say(GREETING);
    say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 1}\r\n");
    expect("end protocol;");
    stop();
}

/* An answer that came before its call is none, also when its number is right. */
static void test_answer_before_call(void **state)
{
    (void)state;
    start_ready();
    say("{\"return\": {}, \"id\": 2}\r\n");
    expect("end protocol;");
    stop();
    start_ready();
    w.repeat = "a";
    query("a");
    say("{\"return\": 1, \"id\": 2}\r\n{\"return\": 2, \"id\": 3}\r\n");
    rig_await(&w.rig, "end");
    w.repeat = NULL;
    expect("a=1;a!EBADMSG;end protocol;a!EPIPE;");
    stop();
}

/* `line` with its %s replaced by as many blanks as make it n bytes; then the end of line. */
static void say_padded(const char *before, const char *after, size_t n)
{
    _cleanup_buf_ struct buf b = BUF_INIT(2 * QMP_LINE_MAX_BYTES);
    buf_printf(&b, "%s%*s%s\n", before, (int)(n - strlen(before) - strlen(after)), "", after);
    assert_int_equal(b.n, n + 1);
    say(buf_str(&b));
}

static void test_line_lengths(void **state)
{
    (void)state;
    start_ready();
    query("a");
    say_padded("{\"return\": {", "}, \"id\": 2}", QMP_LINE_MAX_BYTES);
    expect("a={};");
    say_padded("{\"event\": ", "\"STOP\"}", QMP_EVENT_MAX_BYTES);
    expect("event STOP;");
    query("a");
    say_padded("{\"return\": {", "}, \"id\": 3}", QMP_LINE_MAX_BYTES + 1);
    expect("a!EBADMSG;end protocol;");
    stop();
    start_ready();
    say_padded("{\"event\": ", "\"STOP\"}", QMP_EVENT_MAX_BYTES + 1); /* nobody waits */
    expect("end protocol;");
    assert_int_equal(w.q->why.num, -EBADMSG); /* it was not even parsed */
    stop();
    start_ready();
    query("a");
    say_padded("{\"event\": ", "\"STOP\"}", QMP_EVENT_MAX_BYTES + 1);
    expect("a!EMSGSIZE;end protocol;");
    stop();
}

/* No end of line ever comes: no more than one line is kept. */
static void test_endless_line(void **state)
{
    (void)state;
    start_ready();
    for (int i = 0; i < 1000 && w.rig.log.n == 0; i++) {
        char piece[1024];
        memset(piece, ' ', sizeof(piece));
        (void)send(w.qemu, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
        rig_turn(&w.rig);
        assert_true(w.q->in.cap <= QMP_LINE_MAX_BYTES + 2);
    }
    expect("end protocol;");
    stop();
}

/* Whether the brackets are closed or not, few levels or many. */
static void test_depth(void **state)
{
    static const int levels[] = {JSON_DEPTH_MAX, 1000, 30000};
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(levels); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(2 * QMP_LINE_MAX_BYTES);
        start_ready();
        query("a");
        buf_printf(&b, "{\"return\": ");
        for (int k = 0; k < levels[i / 2]; k++)
            buf_put_char(&b, '[');
        for (int k = 0; k < levels[i / 2] && i % 2 == 0; k++)
            buf_put_char(&b, ']');
        buf_printf(&b, ", \"id\": 2}\n");
        say(buf_str(&b));
        expect("a!EBADMSG;end protocol;");
        stop();
    }
}

static void say_events(int n)
{
    _cleanup_buf_ struct buf b = BUF_INIT(QMP_LINE_MAX_BYTES);
    for (int i = 0; i < n; i++)
        buf_printf(&b, "{\"event\":\"STOP\"}\n");
    say(buf_str(&b));
    rig_idle(&w.rig);
}

static void test_flood(void **state)
{
    (void)state;
    start_ready();
    say_events(QMP_EVENTS_PER_S);
    assert_false(rig_logged(&w.rig, "end"));
    w.q->window_ms -= 1000; /* as if a second had passed */
    say_events(QMP_EVENTS_PER_S);
    assert_false(rig_logged(&w.rig, "end"));
    assert_int_equal(w.rig.log.n, 2 * QMP_EVENTS_PER_S * strlen("event STOP;"));
    w.q->window_ms -= 1000;
    buf_clear(&w.rig.log);
    say_events(QMP_EVENTS_PER_S + 1);
    assert_int_equal(w.rig.log.n, QMP_EVENTS_PER_S * strlen("event STOP;") + strlen("end flood;"));
    assert_true(rig_logged(&w.rig, "end flood;"));
    buf_clear(&w.rig.log);
    stop();
}

static void test_early_close(void **state)
{
    (void)state;
    start();
    query("a");
    w.qemu = fd_close(w.qemu);
    expect("a!EPIPE;end closed;");
    stop();
    start();
    say("{\"QMP\": ");
    w.qemu = fd_close(w.qemu);
    expect("end closed;");
    stop();
}

/* What QEMU said before it went is heard, though it read nothing of what we sent (a reset). */
static void test_last_words(void **state)
{
    static const char words[] =
        "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-panic\"}}\r\n";
    (void)state;
    start_ready();
    query("a");
    assert_int_equal(send(w.qemu, words, strlen(words), MSG_NOSIGNAL), strlen(words));
    w.qemu = fd_close(w.qemu);
    query("b");
    expect("event SHUTDOWN 1 8;a!EPIPE;b!EPIPE;end closed;");
    stop();
    start_ready();
    assert_int_equal(send(w.qemu, words, strlen(words), MSG_NOSIGNAL), strlen(words));
    w.qemu = fd_close(w.qemu);
    query("a"); /* cannot be sent */
    expect("event SHUTDOWN 1 8;a!EPIPE;end closed;");
    stop();
}

static void test_deadlines(void **state)
{
    (void)state;
    start_ready();
    query("a");
    call("b", "stop", NULL, 20); /* waits for a, and counts all the same */
    assert_true(uv_timer_get_due_in(&w.q->timer) <= 20);
    expect("a!ETIMEDOUT;b!ETIMEDOUT;end deadline;");
    rig_hear_end(&w.rig, w.qemu, "{\"execute\":\"query-status\",\"id\":2}\n", RIG_EOF);
    stop();
    start();
    w.q->ready_by_ms = qmp_now_ms(w.q) + 20;
    query("a"); /* arms the timer for it */
    expect("a!ETIMEDOUT;end deadline;");
    stop();
    start();
    w.q->ready_by_ms = qmp_now_ms(w.q) + 20;
    say(GREETING); /* and no answer to qmp_capabilities */
    expect("end deadline;");
    stop();
}

static void test_greeting_deadline(void **state)
{
    (void)state;
    start();
    uint64_t at = uv_timer_get_due_in(&w.q->timer);
    assert_true(at > 0 && at <= QMP_GREETING_MS);
    stop();
}

/* We stood still, QEMU did not: its answer is there when the deadline is looked at. */
static void test_standstill(void **state)
{
    static const char answer[] = "{\"return\": {}, \"id\": 2}\r\n";
    (void)state;
    start_ready();
    call("a", "query-status", NULL, 5);
    assert_int_equal(send(w.qemu, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
    (void)poll(NULL, 0, 50);
    expect("a={};");
    stop();
}

static void test_close_in_callback(void **state)
{
    static const struct {
        const char *close, *say, *log;
    } cases[] = {
        {"event", STOP_EVENT STOP_EVENT "{\"return\": {}, \"id\": 2}\r\n", "event STOP;"},
        {"a", "{\"return\": {}, \"id\": 2}\r\n" STOP_EVENT, "a={};"},
        {"a", "{\"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": 2}\r\n" STOP_EVENT,
         "a!EIO;"},
        {"a", "rubbish\r\n", "a!EBADMSG;"},
        {"b", "rubbish\r\n", "a!EBADMSG;b!EBADMSG;"},
        {"end", "rubbish\r\n", "a!EBADMSG;b!EBADMSG;end protocol;"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        start_ready();
        w.close = cases[i].close;
        query("a");
        query("b");
        say(cases[i].say);
        expect(cases[i].log);
        assert_null(w.q);
        stop();
    }
    start();
    w.close = "ready";
    query("a");
    say(GREETING "{\"return\": {}, \"id\": 2}\r\n"); /* before it was asked: the end */
    expect("a!EBADMSG;end protocol;");
    stop();
    start();
    w.close = "ready";
    query("a");
    say(GREETING);
    hear("{\"execute\":\"qmp_capabilities\",\"id\":2}\n");
    say("{\"return\": {}, \"id\": 2}\r\n" STOP_EVENT);
    expect("ready;");
    stop();
}

static void test_close_among_refusals(void **state)
{
    (void)state;
    start_ready();
    w.close = "a";
    call("a", "", NULL, 0);
    call("b", "", NULL, 0);
    query("c");
    expect("a!EINVAL;");
    stop();
}

/* With calls under way, half a line, and nothing at all; QEMU sees the end. */
static void test_close(void **state)
{
    (void)state;
    start_ready();
    query("a");
    query("b");
    call("c", "", NULL, 0);
    say("{\"retu");
    qmp_close(w.q);
    qmp_close(w.q); /* twice before the loop turns */
    w.q = NULL;
    rig_hear_end(&w.rig, w.qemu, "{\"execute\":\"query-status\",\"id\":2}\n", RIG_EOF);
    stop();
    start();
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_lines),
        cmocka_unit_test(test_broken_greetings),
        cmocka_unit_test(test_answer_before_call),
        cmocka_unit_test(test_line_lengths),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_early_close),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_greeting_deadline),
        cmocka_unit_test(test_standstill),
        cmocka_unit_test(test_close_in_callback),
        cmocka_unit_test(test_close_among_refusals),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
