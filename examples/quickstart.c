/*
 * The quick start with libsilica.
 *
 * Start a server (sudo silica serve), then: eval "$(sudo silica env)" && ./quickstart
 * Outside the tree: cc quickstart.c $(pkg-config --cflags --libs silica)
 */
#include <silica/silica.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double started;

static void begin(void)
{
    started = now_ms();
}

/* Prints the step with its time, or why it failed. */
static int done(const char *step, silica_rc rc, const silica_error *err)
{
    if (rc == SILICA_OK)
        printf("%s (%.0f ms)\n", step, now_ms() - started);
    else
        printf("%s: %s (%s)\n", step, err->message, silica_rc_name(rc));
    fflush(stdout);
    return rc == SILICA_OK;
}

static int run(silica_sandbox *sbx, const char *step, const char *command)
{
    silica_error err;
    silica_result res;
    begin();
    int ok = done(step, silica_exec(sbx, command, NULL, &res, &err), &err);
    if (ok && (res.exit.kind != SILICA_EXITED || res.exit.code != 0)) {
        printf("  failed: %s\n", res.err.data);
        ok = 0;
    }
    if (ok)
        printf("  %s", res.out.data);
    silica_result_free(&res);
    return ok;
}

static int files(silica_sandbox *sbx, const char *script)
{
    silica_error err;
    silica_buf content = {NULL, 0};
    begin();
    if (!done("write script.py", silica_write(sbx, "script.py", script, strlen(script), NULL, &err),
              &err))
        return 0;
    if (!run(sbx, "run it", "python3 script.py"))
        return 0;
    begin();
    int ok = done("read it back", silica_read(sbx, "script.py", NULL, &content, &err), &err);
    if (ok)
        printf("  %s\n", content.data);
    ok = ok && strcmp(content.data, script) == 0;
    silica_buf_free(&content);
    return ok;
}

static int web_server(silica_sandbox *sbx, const char *script)
{
    silica_error err;
    silica_proc *server = NULL;
    silica_buf page = {NULL, 0};
    char url[512];
    int status = 0;
    begin();
    if (!done("start a web server in the background",
              silica_spawn(sbx, "python3 -m http.server 8000", NULL, &server, &err), &err))
        return 0;
    begin();
    silica_rc rc = silica_wait_port(sbx, 8000, 30000, &err);
    if (rc == SILICA_OK)
        rc = silica_http_get(sbx, 8000, "/script.py", &status, &page, &err);
    if (rc == SILICA_OK)
        rc = silica_url(sbx, 8000, NULL, url, sizeof(url), &err);
    int ok = done("fetch it through its host name", rc, &err);
    if (ok)
        printf("  %s/script.py: %s\n", url, page.data);
    ok = ok && status == 200 && strcmp(page.data, script) == 0;
    silica_buf_free(&page);
    silica_proc_detach(server);
    return ok;
}

int main(void)
{
    const char *script = "print(\"hello from Python\")";
    silica_error err;
    silica_client *client = NULL;
    silica_sandbox *sbx = NULL;

    if (silica_client_new(NULL, &client, &err) != SILICA_OK) {
        printf("%s\n", err.message);
        return 1;
    }
    begin();
    int ok = done("create a sandbox",
                  silica_open(client, SILICA_OPEN_OPTS(.template_id = "base", .timeout_ms = 300000),
                              &sbx, &err),
                  &err);
    if (ok) {
        printf("  it is %s\n", silica_id(sbx));
        ok = files(sbx, script) &&
             run(sbx, "a Node one-liner",
                 "node -e 'console.log(\"hello from Node \" + process.version)'") &&
             web_server(sbx, script);
        begin();
        ok = done("kill the sandbox", silica_kill(sbx, &err), &err) && ok;
    }
    silica_close(sbx);
    silica_client_free(client);
    return ok ? 0 : 1;
}
