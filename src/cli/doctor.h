/*
 * `silica doctor`: checks of this machine, each ok or failed with one line that mends it. What can be
 * tried is tried (in a child, in namespaces of its own), not guessed from versions.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { DOCTOR_TEXT_BYTES = 256 };

struct doctor {
    const char *data, *templates, *listen;
    char detail[DOCTOR_TEXT_BYTES]; /* what was found */
    const char *fix;                /* one line; set when the check fails */
};

/* Each sets detail, and fix on failure. */
typedef bool (*doctor_check)(struct doctor *d);

bool doctor_root(struct doctor *d);
bool doctor_kernel(struct doctor *d);
bool doctor_cgroups(struct doctor *d);
bool doctor_kvm(struct doctor *d);
bool doctor_machines(struct doctor *d);
bool doctor_programs(struct doctor *d);
bool doctor_disk(struct doctor *d);
bool doctor_pool(struct doctor *d);
bool doctor_loop(struct doctor *d);
bool doctor_userns(struct doctor *d);
bool doctor_overlay(struct doctor *d);
bool doctor_nftables(struct doctor *d);
bool doctor_forward(struct doctor *d);
bool doctor_names(struct doctor *d);
bool doctor_nameservers(struct doctor *d);
bool doctor_port(struct doctor *d);
bool doctor_template(struct doctor *d);

bool doctor_ok(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool doctor_bad(struct doctor *d, const char *fix, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Run `try` in a child; 0, or the positive errno that it returned. */
int doctor_in_child(int (*try_it)(void));
