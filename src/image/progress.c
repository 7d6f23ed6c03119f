/* Progress for people: a line for each step, and on a terminal what it is doing right now. */
#include "image/build.h"

#include "base/slice.h"

#include <unistd.h>

enum { DETAIL_COLUMNS = 60 };

static void print_time(FILE *f, uint64_t ms)
{
    (void)fprintf(f, "[%3u:%02u] ", (unsigned)(ms / 60000), (unsigned)(ms / 1000 % 60));
}

/* What the output says is foreign text: no control characters may reach the terminal. */
static void print_detail(FILE *f, const char *detail)
{
    for (int i = 0; i < DETAIL_COLUMNS && detail[i] != '\0'; i++) {
        unsigned char c = (unsigned char)detail[i];
        (void)fputc(c < ' ' || c >= 0x7f ? '?' : c, f);
    }
}

void image_progress_print(void *user, const struct image_progress *p)
{
    FILE *f = user;
    bool terminal = isatty(fileno(f)) == 1;
    if (p->detail == NULL) {
        (void)fputs(terminal ? "\r\033[K" : "", f);
        print_time(f, p->elapsed_ms);
        (void)fprintf(f, "step %u/%u: %s\n", p->step, p->n_steps, p->title);
    } else if (terminal) {
        (void)fputs("\r\033[K", f);
        print_time(f, p->elapsed_ms);
        print_detail(f, p->detail);
    } else if (p->sparse) {
        print_time(f, p->elapsed_ms);
        print_detail(f, p->detail);
        (void)fputc('\n', f);
    }
    (void)fflush(f);
}
