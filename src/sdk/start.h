/* Starting and signalling processes, shared by exec.c and proc.c. */
#pragma once

#include "sdk/sdk_internal.h"

/* argv ends with NULL; of `o` cwd, user and env are used. timeout_ms -1: none. */
silica_rc sdk_start(silica_sandbox *sbx, const char *const *argv, const silica_exec_opts *o,
                    bool with_stdin, int64_t timeout_ms, silica_proc **ret, silica_error *err);
silica_rc sdk_signal(silica_sandbox *sbx, uint32_t pid, int signal, silica_error *err);
