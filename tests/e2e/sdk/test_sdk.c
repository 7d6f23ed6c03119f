/*
 * libsilica against a running server, named by E2B_API_URL, E2B_API_KEY, E2B_SANDBOX_URL, E2B_DOMAIN.
 * Prints TAP. Uses the public header only.
 */
#include "sdk_test.h"

#include <stdio.h>
#include <string.h>

static int count, n_failed;

void test_note(struct test *t, const char *file, int line, const char *what)
{
    const char *slash = strrchr(file, '/');
    printf("# %s:%d: %s\n", slash != NULL ? slash + 1 : file, line, what);
    if (t->err.rc != SILICA_OK)
        printf("#   last error: %s: %s (status %d)\n", silica_rc_name(t->err.rc), t->err.message,
               t->err.http_status);
    t->failed = true;
}

void test_run(struct test *t, const char *name, void (*body)(struct test *t))
{
    t->failed = false;
    memset(&t->err, 0, sizeof(t->err));
    body(t);
    n_failed += t->failed;
    printf("%s %d - %s\n", t->failed ? "not ok" : "ok", ++count, name);
    (void)fflush(stdout);
}

static void opens(struct test *t)
{
    OK(t, silica_client_new(NULL, &t->client, &t->err));
    OK(t, silica_open(t->client, SILICA_OPEN_OPTS(.timeout_ms = 600000, .on_close = SILICA_KILL),
                      &t->sbx, &t->err));
}

int main(void)
{
    struct test t = {.failed = false};
    test_run(&t, "a client and a sandbox", opens);
    if (!t.failed) {
        cases_sandbox(&t);
        cases_commands(&t);
        cases_files(&t);
        cases_ports(&t);
    }
    silica_close(t.sbx);
    silica_client_free(t.client);
    printf("1..%d\n", count);
    return n_failed == 0 ? 0 : 1;
}
