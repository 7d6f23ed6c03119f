/*
 * do STEP ; STEP ; ...: any system calls, one after the other in one process, as the test writes
 * them down.
 *
 * A step is a call's name (or nr:N) and its arguments:
 *   17, -1, 0x10   a number                 s:TEXT   a string; %XX is a byte
 *   $2             the result of step 2     h:HEX    bytes
 *   @2.1           the same memory as       b:N      N bytes of nothing
 *                  argument 1 of step 2    *2.1.4   the 32 bits at byte 4 of that memory
 * Steps count from 0, and so do arguments. Each answers "NAME RESULT", a number or an error's
 * name. Two are no calls: "show K.J N" answers "show TEXT" with N bytes of that argument's
 * memory, what is not plain in %XX; "tls" gives the address of the calling process's own stack,
 * something to read in another one.
 */
#include "probe.h"

#include <ctype.h>
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STEPS_MAX = 64, CALL_ARGS = 6, MEMORY_MAX_BYTES = 1 << 20 };

struct step {
    long result;
    unsigned long arg[CALL_ARGS];
};

static struct step steps[STEPS_MAX];

static unsigned hex_digit(char c)
{
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

static bool is_hex_pair(const char *s)
{
    return isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]);
}

/* Freed by the end of the process. */
static char *text_of(const char *s)
{
    char *to = calloc(1, strlen(s) + 1), *at = to;
    while (to != NULL && *s != '\0')
        if (*s == '%' && is_hex_pair(s + 1)) {
            *at++ = (char)(hex_digit(s[1]) << 4 | hex_digit(s[2]));
            s += 3;
        } else {
            *at++ = *s++;
        }
    return to;
}

static char *bytes_of(const char *s)
{
    char *to = calloc(1, strlen(s) / 2 + 1), *at = to;
    for (; to != NULL && is_hex_pair(s); s += 2)
        *at++ = (char)(hex_digit(s[0]) << 4 | hex_digit(s[1]));
    return to;
}

static unsigned long plain_number(const char *s)
{
    unsigned long v = 0;
    bool negative = *s == '-';
    s += negative;
    if (s[0] == '0' && s[1] == 'x')
        for (s += 2; isxdigit((unsigned char)*s); s++)
            v = v << 4 | hex_digit(*s);
    else
        v = probe_number(s);
    return negative ? -v : v;
}

/* "K.J": argument J of step K. */
static unsigned long memory_of(const char *s)
{
    unsigned long k = probe_number(s), j = probe_number(s + strcspn(s, ".") + 1);
    return k < STEPS_MAX && j < CALL_ARGS ? steps[k].arg[j] : 0;
}

/* "K.J.OFFSET", as a number with a sign: descriptors of a pipe, for one. */
static unsigned long word_of(const char *s)
{
    int value = 0;
    const char *offset = s + strcspn(s, ".") + 1, *p = (const char *)memory_of(s);
    offset += strcspn(offset, ".") + 1;
    if (p != NULL)
        memcpy(&value, p + probe_number(offset), sizeof(value));
    return (unsigned long)value;
}

static unsigned long value_of(const char *s)
{
    unsigned long n;
    if (*s == '*')
        return word_of(s + 1);
    if (strncmp(s, "s:", 2) == 0)
        return (unsigned long)text_of(s + 2);
    if (strncmp(s, "h:", 2) == 0)
        return (unsigned long)bytes_of(s + 2);
    if (strncmp(s, "b:", 2) == 0) {
        n = probe_number(s + 2);
        return (unsigned long)calloc(1, n < MEMORY_MAX_BYTES ? n + 1 : MEMORY_MAX_BYTES);
    }
    if (*s == '@')
        return memory_of(s + 1);
    if (*s == '$')
        return (n = probe_number(s + 1)) < STEPS_MAX ? (unsigned long)steps[n].result : 0;
    return plain_number(s);
}

static void show(const char *where, unsigned long n)
{
    const unsigned char *p = (const unsigned char *)memory_of(where);
    (void)fprintf(probe_out, "show ");
    for (; p != NULL && n > 0 && n < MEMORY_MAX_BYTES; n--, p++)
        if (isgraph(*p) && *p != '%')
            (void)fputc(*p, probe_out);
        else
            (void)fprintf(probe_out, "%%%02x", *p);
    (void)fprintf(probe_out, "\n");
}

static void tell(const char *name, long result)
{
    const char *why = result == -1 ? strerrorname_np(errno) : NULL;
    if (result == -1 && why == NULL)
        (void)fprintf(probe_out, "%s errno%d\n", name, errno);
    else if (result == -1)
        (void)fprintf(probe_out, "%s %s\n", name, why);
    else
        (void)fprintf(probe_out, "%s %ld\n", name, result);
    (void)fflush(probe_out); /* the next step may be the last */
}

static void call(struct step *step, const char *name)
{
    const unsigned long *a = step->arg;
    int nr = strncmp(name, "nr:", 3) == 0 ? (int)probe_number(name + 3)
                                          : seccomp_syscall_resolve_name(name);
    if (nr < 0) {
        (void)fprintf(probe_out, "%s what?\n", name);
        return;
    }
    errno = 0;
    step->result = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    tell(name, step->result);
}

static void run_step(struct step *step, char *text)
{
    char *word, *name = NULL, *where = NULL;
    unsigned n = 0;
    while ((word = strsep(&text, " ")) != NULL)
        if (*word == '\0')
            continue;
        else if (name == NULL)
            name = word;
        else if (n < CALL_ARGS) {
            where = where == NULL ? word : where;
            step->arg[n++] = value_of(word);
        }
    if (name == NULL)
        (void)fprintf(probe_out, "what?\n");
    else if (strcmp(name, "show") == 0)
        show(where == NULL ? "" : where, step->arg[1]);
    else if (strcmp(name, "tls") == 0)
        tell(name, step->result = (long)(uintptr_t)&word);
    else
        call(step, name);
}

static void run_steps(char *const *arg)
{
    char *rest = arg[0], *text;
    memset(steps, 0, sizeof(steps));
    for (unsigned i = 0; i < STEPS_MAX && (text = strsep(&rest, ";")) != NULL; i++)
        run_step(&steps[i], text);
}

const struct probe_question probe_steps[] = {{"do", 1, run_steps}, {NULL, 0, NULL}};
