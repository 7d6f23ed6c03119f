/* Foreground, background, streaming, stdin, exit codes, timeouts, environment, cwd, users. */
#include "sdk_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is(const silica_buf *b, const char *text)
{
    return b->len == strlen(text) && memcmp(b->data, text, b->len) == 0;
}

/* Run and compare all that a result tells. */
static bool gives(struct test *t, const char *command, const silica_exec_opts *opts, int code,
                  const char *out, const char *err)
{
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, command, opts, &res, &t->err);
    bool ok = rc == SILICA_OK && res.exit.kind == SILICA_EXITED && res.exit.code == code &&
              is(&res.out, out) && is(&res.err, err) && res.pid > 0 && !res.out_truncated;
    if (!ok)
        printf("# rc %d kind %d code %d out '%s' err '%s'\n", rc, res.exit.kind, res.exit.code,
               res.out.data != NULL ? res.out.data : "", res.err.data != NULL ? res.err.data : "");
    silica_result_free(&res);
    return ok;
}

static void output_and_codes(struct test *t)
{
    CHECK(t, gives(t, "echo out; echo err >&2", NULL, 0, "out\n", "err\n"));
    CHECK(t, gives(t, "exit 42", NULL, 42, "", ""));
    CHECK(t, gives(t, "true && echo yes", NULL, 0, "yes\n", ""));
    CHECK(t, gives(t, "printf '\\377\\000\\001' | od -An -tx1", NULL, 0, " ff 00 01\n", ""));
}

static void binary_output(struct test *t)
{
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "printf 'a\\000b\\377'", NULL, &res, &t->err);
    bool same = rc == SILICA_OK && res.out.len == 4 && memcmp(res.out.data, "a\0b\xff", 5) == 0;
    silica_result_free(&res);
    CHECK(t, same);
}

static void signals_are_told(struct test *t)
{
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "kill -TERM $$", NULL, &res, &t->err);
    bool same = rc == SILICA_OK && res.exit.kind == SILICA_SIGNALED && res.exit.signal == 15;
    silica_result_free(&res);
    CHECK(t, same);
}

static void env_cwd_user(struct test *t)
{
    const silica_kv env[] = {{"A", "1 2"}, {"B", "\xe2\x82\xac $x"}};
    CHECK(t, gives(t, "echo \"$A|$B\"", SILICA_EXEC_OPTS(.env = env, .n_env = 2), 0,
                   "1 2|\xe2\x82\xac $x\n", ""));
    CHECK(t, gives(t, "pwd", NULL, 0, "/home/user\n", ""));
    CHECK(t, gives(t, "pwd", SILICA_EXEC_OPTS(.cwd = "/tmp"), 0, "/tmp\n", ""));
    CHECK(t, gives(t, "id -un; id -u", NULL, 0, "user\n1000\n", ""));
    CHECK(t, gives(t, "id -un; id -u", SILICA_EXEC_OPTS(.user = "root"), 0, "root\n0\n", ""));
    CHECK(t, gives(t, "sudo id -u", NULL, 0, "0\n", ""));
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "true", SILICA_EXEC_OPTS(.cwd = "/no/such"), &res, &t->err);
    silica_result_free(&res);
    CHECK(t, rc == SILICA_E_INVALID && strstr(t->err.message, "/no/such") != NULL);
    rc = silica_exec(t->sbx, "true", SILICA_EXEC_OPTS(.user = "nobody-here"), &res, &t->err);
    silica_result_free(&res);
    CHECK(t, rc == SILICA_E_AUTH);
}

static void without_a_shell(struct test *t)
{
    const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "'", NULL};
    silica_result res;
    OK(t, silica_execv(t->sbx, argv, NULL, &res, &t->err));
    bool same = is(&res.out, "a b|$HOME|'|");
    silica_result_free(&res);
    CHECK(t, same);
    const char *const missing[] = {"no-such-program", NULL};
    OK(t, silica_execv(t->sbx, missing, NULL, &res, &t->err));
    int code = res.exit.code;
    silica_result_free(&res);
    CHECK(t, code == 127);
}

static void timeout_keeps_output(struct test *t)
{
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "echo early; sleep 100",
                               SILICA_EXEC_OPTS(.timeout_ms = 4000), &res, &t->err);
    bool same = rc == SILICA_OK && res.exit.kind == SILICA_TIMED_OUT && is(&res.out, "early\n");
    silica_result_free(&res);
    CHECK(t, same);
}

struct streamed {
    char text[256];
    size_t n, calls;
    int write_fd; /* told after the first output */
    int stop_after;
};

static int on_output(void *user, silica_stream stream, const void *data, size_t n)
{
    struct streamed *s = user;
    s->calls++;
    if (stream == SILICA_STDOUT && s->n + n < sizeof(s->text)) {
        memcpy(s->text + s->n, data, n);
        s->n += n;
    }
    if (s->write_fd >= 0) {
        ssize_t w = write(s->write_fd, "go\n", 3);
        (void)w;
        (void)close(s->write_fd);
        s->write_fd = -1;
    }
    return s->stop_after > 0 && s->calls >= (size_t)s->stop_after;
}

/* The command goes on only after its first output was seen here: nothing is held back. */
static void streaming_is_live(struct test *t)
{
    int fds[2];
    CHECK(t, pipe(fds) == 0);
    struct streamed s = {.write_fd = fds[1]};
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "echo first; read x; echo got $x",
                               SILICA_EXEC_OPTS(.stdin_mode = SILICA_STDIN_FD, .stdin_fd = fds[0],
                                                .on_output = on_output, .user_data = &s),
                               &res, &t->err);
    bool same = rc == SILICA_OK && s.n == 13 && memcmp(s.text, "first\ngot go\n", 13) == 0 &&
                res.out.len == 0;
    silica_result_free(&res);
    (void)close(fds[0]);
    CHECK(t, same);
}

static void callback_cancels(struct test *t)
{
    struct streamed s = {.write_fd = -1, .stop_after = 1};
    silica_result res;
    silica_rc rc =
        silica_exec(t->sbx, "echo $$; exec sleep 1000",
                    SILICA_EXEC_OPTS(.on_output = on_output, .user_data = &s), &res, &t->err);
    silica_result_free(&res);
    CHECK(t, rc == SILICA_E_CANCELLED);
    char command[512];
    s.text[s.n > 0 ? s.n - 1 : 0] = '\0';
    (void)snprintf(command, sizeof(command),
                   "for i in $(seq 100); do kill -0 %s 2>/dev/null || { echo dead; exit; }; "
                   "sleep 0.1; done",
                   s.text);
    CHECK(t, gives(t, command, NULL, 0, "dead\n", ""));
}

static void *trigger(void *user)
{
    struct timespec wait = {0, 300000000};
    (void)nanosleep(&wait, NULL);
    silica_cancel_trigger(user);
    return NULL;
}

static void cancel_from_a_thread(struct test *t)
{
    silica_cancel *cancel;
    pthread_t thread;
    silica_result res;
    OK(t, silica_cancel_new(&cancel, &t->err));
    CHECK(t, pthread_create(&thread, NULL, trigger, cancel) == 0);
    silica_rc rc =
        silica_exec(t->sbx, "sleep 1000", SILICA_EXEC_OPTS(.cancel = cancel), &res, &t->err);
    (void)pthread_join(thread, NULL);
    silica_result_free(&res);
    silica_cancel_free(cancel);
    CHECK(t, rc == SILICA_E_CANCELLED);
}

/* More than any pipe holds, both ways at once. */
static void large_stdin(struct test *t)
{
    enum { SIZE = 3000000 };
    char *data = malloc(SIZE);
    silica_result res;
    CHECK(t, data != NULL);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 % 251);
    silica_rc rc = silica_exec(
        t->sbx, "cat", SILICA_EXEC_OPTS(.stdin_data = data, .stdin_len = SIZE), &res, &t->err);
    bool same = rc == SILICA_OK && res.out.len == SIZE && memcmp(res.out.data, data, SIZE) == 0;
    silica_result_free(&res);
    CHECK(t, same);
    rc = silica_exec(t->sbx, "exit 3", SILICA_EXEC_OPTS(.stdin_data = data, .stdin_len = SIZE),
                     &res, &t->err);
    bool code = rc == SILICA_OK && res.exit.code == 3;
    silica_result_free(&res);
    free(data);
    CHECK(t, code);
    CHECK(t, gives(t, "cat; echo end", NULL, 0, "end\n", ""));
}

static void output_limit(struct test *t)
{
    silica_result res;
    silica_rc rc = silica_exec(t->sbx, "head -c 300000 /dev/zero; echo small >&2; exit 5",
                               SILICA_EXEC_OPTS(.max_output = 1000), &res, &t->err);
    bool ok = rc == SILICA_OK && res.out.len == 1000 && res.out_truncated && !res.err_truncated &&
              is(&res.err, "small\n") && res.exit.code == 5;
    silica_result_free(&res);
    CHECK(t, ok);
}

static int find_pid(void *user, const silica_proc_info *info)
{
    uint32_t *pid = user;
    if (info->pid == *pid)
        *pid = 0;
    return 0;
}

static void background(struct test *t)
{
    silica_proc *p, *twin;
    silica_event ev;
    silica_exit ex;
    OK(t, silica_spawn(t->sbx, "echo up; read line; echo \"got $line\"; sleep 1000",
                       SILICA_EXEC_OPTS(.stdin_mode = SILICA_STDIN_PIPE), &p, &t->err));
    OK(t, silica_proc_read(p, 20000, &ev, &t->err));
    CHECK(t, ev.kind == SILICA_EVENT_OUTPUT && ev.len == 3 && memcmp(ev.data, "up\n", 3) == 0);
    OK(t, silica_proc_read(p, 0, &ev, &t->err));
    CHECK(t, ev.kind == SILICA_EVENT_NONE);
    OK(t, silica_proc_attach(t->sbx, silica_proc_pid(p), &twin, &t->err));
    OK(t, silica_proc_write(p, "line one\n", 9, &t->err));
    OK(t, silica_proc_read(p, 20000, &ev, &t->err));
    CHECK(t, ev.kind == SILICA_EVENT_OUTPUT && ev.len == 13 &&
                 memcmp(ev.data, "got line one\n", 13) == 0);
    uint32_t pid = silica_proc_pid(p);
    OK(t, silica_proc_list(t->sbx, find_pid, &pid, &t->err));
    CHECK(t, pid == 0);
    OK(t, silica_proc_close_stdin(p, &t->err));
    CHECK(t, silica_proc_signal(p, 1, &t->err) == SILICA_E_UNSUPPORTED);
    OK(t, silica_proc_signal(p, 9, &t->err));
    OK(t, silica_proc_wait(p, &ex, &t->err));
    CHECK(t, ex.kind == SILICA_SIGNALED && ex.signal == 9);
    OK(t, silica_proc_wait(p, &ex, &t->err));
    OK(t, silica_proc_wait(twin, &ex, &t->err));
    CHECK(t, ex.kind == SILICA_SIGNALED && ex.signal == 9);
    silica_proc_detach(p);
    silica_proc_detach(twin);
    CHECK(t, silica_proc_attach(t->sbx, 4000000, &p, &t->err) == SILICA_E_NOT_FOUND);
}

static void detached_lives_on(struct test *t)
{
    silica_proc *p;
    char command[64];
    OK(t, silica_spawn(t->sbx, "sleep 1000", NULL, &p, &t->err));
    uint32_t pid = silica_proc_pid(p);
    silica_proc_detach(p);
    (void)snprintf(command, sizeof(command), "kill -0 %u && kill -9 %u && echo alive", pid, pid);
    CHECK(t, gives(t, command, NULL, 0, "alive\n", ""));
}

struct worker {
    silica_client *client;
    const char *id;
    bool ok;
};

static void *work(void *user)
{
    struct worker *w = user;
    silica_sandbox *sbx;
    silica_result res;
    if (silica_attach(w->client, w->id, NULL, &sbx, NULL) != SILICA_OK)
        return NULL;
    w->ok = true;
    for (int i = 0; i < 5; i++) {
        silica_rc rc = silica_exec(sbx, "echo thread", NULL, &res, NULL);
        w->ok = w->ok && rc == SILICA_OK && is(&res.out, "thread\n");
        silica_result_free(&res);
    }
    silica_close(sbx);
    return NULL;
}

static void many_threads(struct test *t)
{
    enum { N = 6 };
    pthread_t threads[N];
    struct worker w[N];
    for (int i = 0; i < N; i++) {
        w[i] = (struct worker){t->client, silica_id(t->sbx), false};
        CHECK(t, pthread_create(&threads[i], NULL, work, &w[i]) == 0);
    }
    bool ok = true;
    for (int i = 0; i < N; i++) {
        (void)pthread_join(threads[i], NULL);
        ok = ok && w[i].ok;
    }
    CHECK(t, ok);
}

void cases_commands(struct test *t)
{
    test_run(t, "output and exit codes", output_and_codes);
    test_run(t, "binary output", binary_output);
    test_run(t, "death by a signal", signals_are_told);
    test_run(t, "environment, cwd, users", env_cwd_user);
    test_run(t, "arguments without a shell", without_a_shell);
    test_run(t, "a timeout keeps the output", timeout_keeps_output);
    test_run(t, "output streams while stdin waits", streaming_is_live);
    test_run(t, "a callback cancels and the command dies", callback_cancels);
    test_run(t, "cancel from another thread", cancel_from_a_thread);
    test_run(t, "3 MB through stdin and back", large_stdin);
    test_run(t, "the output limit truncates and says so", output_limit);
    test_run(t, "background: read, write, list, attach, signal, wait", background);
    test_run(t, "a detached process lives on", detached_lives_on);
    test_run(t, "one client on six threads", many_threads);
}
