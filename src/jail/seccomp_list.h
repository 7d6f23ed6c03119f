/* The system calls of a sandbox, by name. NULL-terminated; a call in neither list is ENOSYS. */
#pragma once

extern const char *const seccomp_allowed[];
extern const char *const seccomp_refused[];
