/*
 * The little that the cases of this suite share: a check that records where it failed, and the
 * sandbox that most of them use. A case returns early at its first failed check.
 */
#pragma once

#include <silica/silica.h>
#include <stdbool.h>
#include <stddef.h>

struct test {
    silica_client *client;
    silica_sandbox *sbx; /* shared; cases that end sandboxes make their own */
    const char *id;      /* of a sandbox that a callback ends */
    silica_error err;    /* of the last call */
    bool failed;
};

/* Fails the case and leaves it. */
#define CHECK(t, cond)                                                                             \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_note((t), __FILE__, __LINE__, #cond);                                             \
            return;                                                                                \
        }                                                                                          \
    } while (0)
#define OK(t, call) CHECK(t, (call) == SILICA_OK)

void test_note(struct test *t, const char *file, int line, const char *what);
void test_run(struct test *t, const char *name, void (*body)(struct test *t));

void cases_sandbox(struct test *t);
void cases_commands(struct test *t);
void cases_files(struct test *t);
void cases_ports(struct test *t);
