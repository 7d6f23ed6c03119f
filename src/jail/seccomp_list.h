/* The system calls of a sandbox, by name. NULL-terminated; a call in neither list is ENOSYS. */
#pragma once

extern const char *const seccomp_allowed[];
extern const char *const seccomp_refused[];
/* Of those that a sandbox is allowed: refused with EPERM to a program that is put away. */
extern const char *const seccomp_program_refused[];

/*
 * The number of a system call: libseccomp's, or our own for what is newer than the library (such
 * numbers are the same everywhere). Negative for a call that this architecture does not have.
 */
int seccomp_number(const char *name);
