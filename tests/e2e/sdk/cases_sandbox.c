/* Create, attach, list, metadata, info, timeouts, kill, errors. */
#include "sdk_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

static void info_is_complete(struct test *t)
{
    silica_sandbox_info i;
    OK(t, silica_info(t->sbx, &i, &t->err));
    bool ok = strcmp(i.sandbox_id, silica_id(t->sbx)) == 0 && i.state == SILICA_STATE_RUNNING &&
              strcmp(i.template_id, silica_template_id(t->sbx)) == 0 &&
              strcmp(i.alias, "base") == 0 && i.end_at_ms - i.started_at_ms > 590000 &&
              i.cpu_count > 0 && i.memory_mb > 0 && i.disk_mb > 0 && i.n_metadata == 0;
    silica_sandbox_info_free(&i);
    CHECK(t, ok);
}

static int count_ids(void *user, const silica_sandbox_info *i)
{
    const char **want = user;
    if (strcmp(i->sandbox_id, want[0]) == 0)
        want[1] = "found";
    else
        want[2] = "another";
    return 0;
}

static void metadata_filters(struct test *t)
{
    const silica_kv meta[] = {{"user id", "a/b+c&d=e%"}, {"k", "\xc3\xa4"}};
    const silica_kv other[] = {{"user id", "a/b"}};
    silica_sandbox *sbx;
    silica_sandbox_info i;
    OK(t, silica_open(t->client,
                      SILICA_OPEN_OPTS(.metadata = meta, .n_metadata = 2, .on_close = SILICA_KILL),
                      &sbx, &t->err));
    const char *hit[] = {silica_id(sbx), NULL, NULL}, *miss[] = {silica_id(sbx), NULL, NULL};
    silica_rc a = silica_list_sandboxes(
        t->client, SILICA_LIST_OPTS(.metadata = meta, .n_metadata = 2), count_ids, hit, &t->err);
    silica_rc b = silica_list_sandboxes(
        t->client, SILICA_LIST_OPTS(.metadata = other, .n_metadata = 1), count_ids, miss, &t->err);
    bool same = silica_info(sbx, &i, &t->err) == SILICA_OK && i.n_metadata == 2;
    for (size_t k = 0; same && k < 2; k++) {
        same = strcmp(i.metadata[k].value,
                      strcmp(i.metadata[k].key, "k") == 0 ? meta[1].value : meta[0].value) == 0;
    }
    silica_sandbox_info_free(&i);
    silica_close(sbx);
    CHECK(t, a == SILICA_OK && b == SILICA_OK);
    CHECK(t, hit[1] != NULL && hit[2] == NULL);
    CHECK(t, miss[1] == NULL);
    CHECK(t, same);
}

static void list_has_all(struct test *t)
{
    const char *hit[] = {silica_id(t->sbx), NULL, NULL};
    OK(t, silica_list_sandboxes(t->client, SILICA_LIST_OPTS(.state = SILICA_STATE_RUNNING),
                                count_ids, hit, &t->err));
    CHECK(t, hit[1] != NULL);
}

static void attach_sees_the_same(struct test *t)
{
    silica_sandbox *twin;
    silica_buf got = {NULL, 0};
    OK(t, silica_write(t->sbx, "shared.txt", "same", 4, NULL, &t->err));
    OK(t, silica_attach(t->client, silica_id(t->sbx), NULL, &twin, &t->err));
    silica_rc rc = silica_read(twin, "shared.txt", NULL, &got, &t->err);
    bool same = rc == SILICA_OK && got.len == 4 && memcmp(got.data, "same", 4) == 0 &&
                strcmp(silica_id(twin), silica_id(t->sbx)) == 0;
    silica_buf_free(&got);
    silica_close(twin);
    CHECK(t, same);
    int running = 0;
    OK(t, silica_is_running(t->sbx, &running, &t->err));
    CHECK(t, running == 1);
}

static void attach_only_extends(struct test *t)
{
    silica_sandbox *twin;
    silica_sandbox_info a, b;
    OK(t, silica_info(t->sbx, &a, &t->err));
    OK(t, silica_attach(t->client, silica_id(t->sbx), SILICA_ATTACH_OPTS(.timeout_ms = 5000), &twin,
                        &t->err));
    silica_close(twin);
    OK(t, silica_info(t->sbx, &b, &t->err));
    bool kept = b.end_at_ms == a.end_at_ms;
    silica_sandbox_info_free(&a);
    silica_sandbox_info_free(&b);
    CHECK(t, kept);
}

static void kill_is_idempotent(struct test *t)
{
    silica_sandbox *sbx, *twin;
    silica_result res;
    char id[128] = "";
    int running = 1, existed = 1;
    OK(t, silica_open(t->client, NULL, &sbx, &t->err));
    memcpy(id, silica_id(sbx), strlen(silica_id(sbx)) + 1);
    silica_rc first = silica_kill(sbx, &t->err);
    silica_rc second = silica_kill(sbx, &t->err);
    silica_rc asked = silica_is_running(sbx, &running, &t->err);
    silica_rc after = silica_exec(sbx, "true", NULL, &res, &t->err);
    silica_result_free(&res);
    silica_rc later = silica_set_timeout(sbx, 5000, &t->err);
    silica_close(sbx);
    CHECK(t, first == SILICA_OK && second == SILICA_OK);
    CHECK(t, asked == SILICA_OK && running == 0);
    CHECK(t, after == SILICA_E_GONE && later == SILICA_E_GONE);
    OK(t, silica_client_kill(t->client, id, &existed, &t->err));
    CHECK(t, existed == 0);
    CHECK(t, silica_attach(t->client, id, NULL, &twin, &t->err) == SILICA_E_GONE);
}

static void timeout_ends_it(struct test *t)
{
    silica_sandbox *sbx;
    silica_sandbox_info i;
    int running = 1;
    OK(t, silica_open(t->client, SILICA_OPEN_OPTS(.timeout_ms = 600000, .on_close = SILICA_KILL),
                      &sbx, &t->err));
    silica_rc rc = silica_set_timeout(sbx, 2000, &t->err);
    silica_rc seen = silica_info(sbx, &i, &t->err);
    bool shortened = seen == SILICA_OK && i.end_at_ms - i.started_at_ms < 60000;
    silica_sandbox_info_free(&i);
    for (int k = 0; rc == SILICA_OK && running != 0 && k < 200; k++) {
        sleep_ms(100);
        rc = silica_is_running(sbx, &running, &t->err);
    }
    silica_close(sbx);
    OK(t, rc);
    CHECK(t, shortened && running == 0);
}

/* The sandbox is killed as soon as the command is known to run. */
static int kill_it(void *user, silica_stream stream, const void *data, size_t n)
{
    struct test *t = user;
    (void)stream;
    (void)data;
    (void)n;
    return silica_client_kill(t->client, t->id, NULL, NULL) != SILICA_OK;
}

static void cut_while_running(struct test *t)
{
    silica_sandbox *sbx;
    silica_result res;
    OK(t, silica_open(t->client, NULL, &sbx, &t->err));
    t->id = silica_id(sbx);
    silica_rc rc =
        silica_exec(sbx, "echo before; sleep 100",
                    SILICA_EXEC_OPTS(.on_output = kill_it, .user_data = t, .collect = SILICA_ON),
                    &res, &t->err);
    bool kept = res.out.len == 7 && memcmp(res.out.data, "before\n", 7) == 0;
    silica_result_free(&res);
    (void)silica_kill(sbx, NULL);
    silica_close(sbx);
    CHECK(t, rc == SILICA_E_GONE);
    CHECK(t, kept);
}

static void errors_are_told_apart(struct test *t)
{
    silica_sandbox *sbx;
    silica_client *bad;
    silica_rc rc =
        silica_open(t->client, SILICA_OPEN_OPTS(.template_id = "no-such"), &sbx, &t->err);
    CHECK(t, rc == SILICA_E_NOT_FOUND && t->err.http_status == 404);
    CHECK(t, strstr(t->err.message, "no-such") != NULL);
    rc = silica_attach(t->client, "iaaaaaaaaaaaaaaaaaaaa", NULL, &sbx, &t->err);
    CHECK(t, rc == SILICA_E_GONE);
    rc = silica_attach(t->client, "../health", NULL, &sbx, &t->err);
    CHECK(t, rc == SILICA_E_INVALID && t->err.http_status == 0);
    OK(t, silica_client_new(
              SILICA_CLIENT_OPTS(.api_key = "e2b_0000000000000000000000000000000000000000"), &bad,
              &t->err));
    rc = silica_open(bad, NULL, &sbx, &t->err);
    silica_client_free(bad);
    CHECK(t, rc == SILICA_E_AUTH && t->err.http_status == 401);
    rc = silica_open(t->client, SILICA_OPEN_OPTS(.timeout_ms = 9999999999), &sbx, &t->err);
    CHECK(t, rc == SILICA_E_INVALID && t->err.http_status == 400);
    rc = silica_client_new(SILICA_CLIENT_OPTS(.no_env = 1), &bad, &t->err);
    CHECK(t, rc == SILICA_E_AUTH && t->err.http_status == 0);
}

struct seen_events {
    unsigned created, out_of_memory, killed, others;
};

static int see_event(void *user, const silica_sandbox_event *e)
{
    struct seen_events *s = user;
    if (strcmp(e->type, "sandbox.lifecycle.created") == 0)
        s->created++;
    else if (strcmp(e->type, "silica.sandbox.out_of_memory") == 0)
        s->out_of_memory++;
    else if (strcmp(e->type, "sandbox.lifecycle.killed") == 0)
        s->killed += strstr(e->data, "\"reason\":\"request\"") != NULL;
    else
        s->others++;
    return 0;
}

static void limits_are_told(struct test *t)
{
    silica_sandbox *sbx;
    silica_result res;
    struct seen_events seen = {0};
    char id[64], driver[SILICA_DRIVER_BYTES];
    OK(t, silica_get_driver(t->client, driver, &t->err));
    OK(t, silica_open(t->client, NULL, &sbx, &t->err));
    (void)snprintf(id, sizeof(id), "%s", silica_id(sbx));
    silica_rc rc = silica_exec(sbx, "head -c 64G /dev/zero | tail", NULL, &res, &t->err);
    bool told = res.exit.kind == SILICA_EXITED && res.exit.code == 137 &&
                strstr(res.exit.reason, "the sandbox ran out of memory (limit ") == res.exit.reason;
    silica_result_free(&res);
    silica_rc killed = silica_kill(sbx, &t->err);
    silica_close(sbx);
    CHECK(t, rc == SILICA_OK && killed == SILICA_OK);
    CHECK(t, told);
    OK(t, silica_list_events(t->client, SILICA_EVENT_OPTS(.sandbox_id = id), see_event, &seen,
                             &t->err));
    /* Nobody outside of a machine sees what its kernel counts. */
    unsigned counted = strcmp(driver, "microvm") == 0 ? 0 : 1;
    CHECK(t, seen.created == 1 && seen.out_of_memory == counted);
    CHECK(t, seen.killed == 1 && seen.others == 0);
    silica_sandbox_info info;
    CHECK(t, silica_client_info(t->client, id, &info, &t->err) == SILICA_E_GONE);
    CHECK(t, strstr(t->err.message, "it was killed by request") != NULL);
}

static void every_option(struct test *t)
{
    const silica_kv env[] = {{"GREETING", "hello there"}};
    silica_sandbox *sbx;
    silica_result res;
    OK(t, silica_open(t->client,
                      SILICA_OPEN_OPTS(.template_id = "base", .timeout_ms = 60000,
                                       .work_dir = "/home/user/deep/folder",
                                       .create_work_dir = SILICA_ON, .env = env, .n_env = 1,
                                       .internet = SILICA_OFF, .exec_timeout_ms = 20000,
                                       .on_close = SILICA_KILL),
                      &sbx, &t->err));
    silica_rc rc = silica_exec(sbx, "pwd; echo \"$GREETING\"", NULL, &res, &t->err);
    bool same =
        rc == SILICA_OK && strcmp(res.out.data, "/home/user/deep/folder\nhello there\n") == 0;
    silica_result_free(&res);
    if (rc == SILICA_OK)
        rc = silica_write(sbx, "here.txt", "x", 1, NULL, &t->err);
    int there = 0;
    if (rc == SILICA_OK)
        rc = silica_exists(sbx, "/home/user/deep/folder/here.txt", NULL, &there, &t->err);
    silica_result net;
    silica_rc netrc =
        silica_exec(sbx, "timeout 5 bash -c 'exec 3<>/dev/tcp/1.1.1.1/80' 2>/dev/null && echo out",
                    NULL, &net, &t->err);
    bool blocked = netrc == SILICA_OK && net.out.len == 0 && net.exit.code != 0;
    silica_result_free(&net);
    silica_close(sbx);
    OK(t, rc);
    CHECK(t, same && there);
    CHECK(t, blocked);
}

void cases_sandbox(struct test *t)
{
    test_run(t, "info", info_is_complete);
    test_run(t, "list", list_has_all);
    test_run(t, "metadata: set, read, filter with odd characters", metadata_filters);
    test_run(t, "attach by id", attach_sees_the_same);
    test_run(t, "attach never shortens the life", attach_only_extends);
    test_run(t, "every option of open", every_option);
    test_run(t, "kill, and kill again", kill_is_idempotent);
    test_run(t, "set_timeout shortens, and the sandbox ends", timeout_ends_it);
    test_run(t, "a command whose sandbox ends is told so", cut_while_running);
    test_run(t, "errors have their kinds", errors_are_told_apart);
    test_run(t, "limits and ends are told", limits_are_told);
}
