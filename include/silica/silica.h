/*
 * libsilica: sandboxes of Silica, or of any cloud that speaks the E2B protocol, from C and C++.
 *
 *     silica_error err;
 *     silica_client *client;
 *     silica_sandbox *sbx;
 *     silica_result res;
 *
 *     if (silica_client_new(NULL, &client, &err) != SILICA_OK)
 *         return report(&err);
 *     if (silica_open(client, SILICA_OPEN_OPTS(.template_id = "base"), &sbx, &err) == SILICA_OK) {
 *         if (silica_exec(sbx, "echo hello", NULL, &res, &err) == SILICA_OK)
 *             fwrite(res.out.data, 1, res.out.len, stdout);
 *         silica_result_free(&res);
 *         silica_kill(sbx, &err);
 *         silica_close(sbx);
 *     }
 *     silica_client_free(client);
 *
 * Rules that hold everywhere
 * - Every call blocks until it is done. Nothing half-built can exist: open and attach are one step.
 * - Calls return SILICA_OK or a negative silica_rc and fill `err` (caller's memory, may be NULL).
 *   The library never prints, never exits, keeps no "last error".
 * - A command that ran is a success, whatever its exit status: look at silica_result.exit.
 * - Options are structs whose first member is their size. In C use the macros
 *   (SILICA_EXEC_OPTS(.cwd = "/tmp")), in C++ SILICA_OPTS_INIT(&opts). All zero means all defaults;
 *   NULL does too. Strings and arrays in them are borrowed for the call. An option that cannot be
 *   honoured is an error, never ignored.
 * - Durations are milliseconds; 0 means default, -1 "no limit" where a call says so.
 * - A silica_client may be used by many threads; every other handle by one thread at a time.
 * - Texts are NUL-terminated UTF-8. Secrets are never part of an error.
 *
 * Apache-2.0.
 */
#ifndef SILICA_SILICA_H
#define SILICA_SILICA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SILICA_BUILD) && defined(__GNUC__)
#define SILICA_API __attribute__((visibility("default")))
#else
#define SILICA_API
#endif

/* Why a call failed. Values are part of the ABI. */
typedef enum silica_rc {
    SILICA_OK = 0,
    SILICA_E_INVALID = -1,      /* an argument or option is wrong; the message names it */
    SILICA_E_AUTH = -2,         /* key missing, wrong, or not sufficient */
    SILICA_E_NOT_FOUND = -3,    /* no such template, file, process */
    SILICA_E_GONE = -4,         /* the sandbox does not exist (any more) */
    SILICA_E_CONFLICT = -5,     /* the present state forbids it, or it exists already */
    SILICA_E_RATE_LIMIT = -6,   /* too many requests, after the configured retries */
    SILICA_E_QUOTA = -7,        /* an account limit, such as concurrent sandboxes */
    SILICA_E_TIMEOUT = -8,      /* no answer within the request timeout */
    SILICA_E_NETWORK = -9,      /* name, connection, or a stream that was cut */
    SILICA_E_TLS = -10,         /* handshake or certificate */
    SILICA_E_PROTOCOL = -11,    /* the other side sent what the protocol does not allow */
    SILICA_E_NO_SPACE = -12,    /* disk of the sandbox is full */
    SILICA_E_CANCELLED = -13,   /* by a callback or a silica_cancel */
    SILICA_E_UNSUPPORTED = -14, /* the server does not offer this */
    SILICA_E_UNAVAILABLE = -15, /* the service is busy or draining; try later */
    SILICA_E_TOO_LARGE = -16,   /* an answer passed the maximum that the call was given */
    SILICA_E_IO = -17,          /* a local file or descriptor; see sys_errno */
    SILICA_E_NO_MEMORY = -18,
    SILICA_E_INTERNAL = -19 /* a failure of the server or a defect */
} silica_rc;

typedef struct silica_error {
    silica_rc rc;
    int http_status;        /* 0 when no answer was received */
    int retryable;          /* non-zero: the same call may succeed later */
    int sys_errno;          /* 0 unless rc is SILICA_E_IO */
    int64_t retry_after_ms; /* what the server asked for, else 0 */
    char code[48];          /* the server's machine-readable code, else "" */
    char message[256];      /* one sentence without a newline */
} silica_error;

/* "ok", "invalid", "auth", "not_found", ... Never NULL. */
SILICA_API const char *silica_rc_name(silica_rc rc);

/* The library's version, "0.1.0". */
SILICA_API const char *silica_version(void);

/* Zero an options struct and set its size (C and C++). */
#define SILICA_OPTS_INIT(p) (memset((p), 0, sizeof *(p)), (void)((p)->size = sizeof *(p)))

typedef struct silica_kv {
    const char *key, *value;
} silica_kv;

/* A switch whose default is not "off". */
typedef enum silica_switch { SILICA_DEFAULT = 0, SILICA_ON = 1, SILICA_OFF = 2 } silica_switch;

/* Bytes that the library allocated. data is NUL-terminated behind its len bytes, never NULL. */
typedef struct silica_buf {
    char *data;
    size_t len;
} silica_buf;
SILICA_API void silica_buf_free(silica_buf *buf); /* NULL and empty are fine */

/* ---- cancelling ----------------------------------------------------------------------------- */

/* Ends a waiting silica_exec() from another thread or a signal handler. Reusable after reset. */
typedef struct silica_cancel silica_cancel;
SILICA_API silica_rc silica_cancel_new(silica_cancel **ret, silica_error *err);
SILICA_API void silica_cancel_trigger(silica_cancel *cancel); /* async-signal-safe */
SILICA_API void silica_cancel_reset(silica_cancel *cancel);
SILICA_API void silica_cancel_free(silica_cancel *cancel);

/* ---- client --------------------------------------------------------------------------------- */

/* Credentials, addresses and pooled connections. Thread-safe. */
typedef struct silica_client silica_client;

typedef struct silica_client_opts {
    size_t size;
    const char *api_key;        /* else E2B_API_KEY; neither is SILICA_E_AUTH */
    const char *domain;         /* else E2B_DOMAIN, else "e2b.app"; may carry a port */
    const char *api_url;        /* else E2B_API_URL, else https://api.<domain> */
    const char *sandbox_url;    /* else E2B_SANDBOX_URL, else made from domain and sandbox id */
    int no_env;                 /* non-zero: do not look at the environment */
    int64_t request_timeout_ms; /* one request; transfers: without progress. 0: 60000, -1: none */
    unsigned max_attempts;      /* for answers 429 and 503; 0: 4, 1: never retry, at most 20 */
    int64_t retry_base_ms;      /* first wait unless the server names one; doubles. 0: 500 */
    int64_t retry_cap_ms;       /* longest wait; a longer Retry-After ends the retries. 0: 30000 */
    const char *ca_file;        /* PEM file of trusted roots instead of the system's */
    const char *user_agent;     /* appended to "libsilica/<version> " */
} silica_client_opts;
#define SILICA_CLIENT_OPTS(...)                                                                    \
    (&(const silica_client_opts){.size = sizeof(silica_client_opts), __VA_ARGS__})

/* Uses no network. The caller frees *ret; sandboxes keep what they need of it alive. */
SILICA_API silica_rc silica_client_new(const silica_client_opts *opts, silica_client **ret,
                                       silica_error *err);
SILICA_API void silica_client_free(silica_client *client);

/* ---- sandboxes ------------------------------------------------------------------------------ */

typedef struct silica_sandbox silica_sandbox;

typedef enum silica_on_close { SILICA_LEAVE = 0, SILICA_KILL = 1 } silica_on_close;

typedef struct silica_open_opts {
    size_t size;
    const char *template_id;       /* id or alias; NULL: "base" */
    int64_t timeout_ms;            /* life from now, rounded up to seconds; 0: 300000 */
    const char *work_dir;          /* for commands and relative paths. NULL: "/home/user";
                                      "": whatever the sandbox itself starts in */
    silica_switch create_work_dir; /* default off */
    const silica_kv *env;          /* for every process of the sandbox */
    size_t n_env;
    const silica_kv *metadata;
    size_t n_metadata;
    silica_switch internet;       /* default: the server's, which is on */
    silica_switch public_traffic; /* off: ports need the traffic token; default on */
    int64_t exec_timeout_ms;      /* default of silica_exec(); 0: 120000, -1: none */
    silica_on_close on_close;     /* what silica_close() does to the sandbox itself */
} silica_open_opts;
#define SILICA_OPEN_OPTS(...)                                                                      \
    (&(const silica_open_opts){.size = sizeof(silica_open_opts), __VA_ARGS__})

/*
 * Create a sandbox. It answers commands when this returns. SILICA_E_NOT_FOUND: no such template;
 * SILICA_E_QUOTA: too many sandboxes. The caller closes *ret.
 */
SILICA_API silica_rc silica_open(silica_client *client, const silica_open_opts *opts,
                                 silica_sandbox **ret, silica_error *err);

typedef struct silica_attach_opts {
    size_t size;
    int64_t timeout_ms; /* life from now; extends only, never shortens. 0: 300000 */
    const char *work_dir;
    silica_switch create_work_dir;
    int64_t exec_timeout_ms;
    silica_on_close on_close;
} silica_attach_opts;
#define SILICA_ATTACH_OPTS(...)                                                                    \
    (&(const silica_attach_opts){.size = sizeof(silica_attach_opts), __VA_ARGS__})

/* Use an existing sandbox (a paused one is resumed). SILICA_E_GONE when there is none. */
SILICA_API silica_rc silica_attach(silica_client *client, const char *sandbox_id,
                                   const silica_attach_opts *opts, silica_sandbox **ret,
                                   silica_error *err);

/* Borrowed until silica_close(). */
SILICA_API const char *silica_id(const silica_sandbox *sbx);
SILICA_API const char *silica_template_id(const silica_sandbox *sbx);
SILICA_API const char *silica_envd_version(const silica_sandbox *sbx);
SILICA_API const char *silica_traffic_token(const silica_sandbox *sbx); /* NULL: none needed */

/* Life from now on; may shorten. 0 ends it at once. Not negative. */
SILICA_API silica_rc silica_set_timeout(silica_sandbox *sbx, int64_t timeout_ms, silica_error *err);
/* *ret is 1 or 0; a failure to find out is an error, not 0. */
SILICA_API silica_rc silica_is_running(silica_sandbox *sbx, int *ret, silica_error *err);
/* End it. Success when it was gone already. The handle still has to be closed. */
SILICA_API silica_rc silica_kill(silica_sandbox *sbx, silica_error *err);
/* Free the handle, after on_close; errors of that are not told (use silica_kill). NULL is fine. */
SILICA_API void silica_close(silica_sandbox *sbx);

typedef enum silica_state {
    SILICA_STATE_UNKNOWN = 0,
    SILICA_STATE_RUNNING = 1,
    SILICA_STATE_PAUSED = 2
} silica_state;

/* What the server knows of a sandbox. Strings are never NULL. */
typedef struct silica_sandbox_info {
    const char *sandbox_id, *template_id, *alias, *envd_version;
    silica_state state;
    int64_t started_at_ms, end_at_ms; /* since 1970, UTC */
    uint32_t cpu_count, memory_mb, disk_mb;
    /* How often it met a limit, since its start: processes killed, starts of a process refused,
       times found full. 0 from servers that do not tell (silica_list_sandboxes() never does). */
    uint32_t out_of_memory, process_limit, disk_full, inodes_full;
    const silica_kv *metadata;
    size_t n_metadata;
    void *priv; /* the library's */
} silica_sandbox_info;
SILICA_API void silica_sandbox_info_free(silica_sandbox_info *info);

/* The caller frees *ret by silica_sandbox_info_free(). */
SILICA_API silica_rc silica_info(silica_sandbox *sbx, silica_sandbox_info *ret, silica_error *err);
/* The same without attaching, which would extend its life. */
SILICA_API silica_rc silica_client_info(silica_client *client, const char *sandbox_id,
                                        silica_sandbox_info *ret, silica_error *err);
/* *ret_existed (may be NULL) is 0 when it was gone already, which is a success. */
SILICA_API silica_rc silica_client_kill(silica_client *client, const char *sandbox_id,
                                        int *ret_existed, silica_error *err);

typedef struct silica_list_opts {
    size_t size;
    const silica_kv *metadata; /* all must match */
    size_t n_metadata;
    silica_state state; /* SILICA_STATE_UNKNOWN: any */
} silica_list_opts;
#define SILICA_LIST_OPTS(...)                                                                      \
    (&(const silica_list_opts){.size = sizeof(silica_list_opts), __VA_ARGS__})

/* Calls each() per sandbox (info is borrowed), newest first; a non-zero return stops the list. */
SILICA_API silica_rc silica_list_sandboxes(silica_client *client, const silica_list_opts *opts,
                                           int (*each)(void *user, const silica_sandbox_info *info),
                                           void *user, silica_error *err);

/* What happened to a sandbox, also one that is gone. Strings are never NULL. */
typedef struct silica_sandbox_event {
    const char *id;   /* of the event */
    const char *type; /* "sandbox.lifecycle.created", ".updated", ".killed",
                         "silica.sandbox.out_of_memory", ".process_limit", ".disk_full", ... */
    const char *sandbox_id, *template_id;
    int64_t time_ms;  /* since 1970, UTC */
    const char *data; /* a JSON object, e.g. {"reason":"exit","message":"its init ..."}, or "" */
} silica_sandbox_event;

typedef struct silica_event_opts {
    size_t size;
    const char *sandbox_id; /* NULL: all sandboxes of the key's team */
    uint32_t max;           /* how many at most; 0: 100 */
    int oldest_first;       /* default: newest first */
} silica_event_opts;
#define SILICA_EVENT_OPTS(...)                                                                     \
    (&(const silica_event_opts){.size = sizeof(silica_event_opts), __VA_ARGS__})

/*
 * Calls each() per event (borrowed); a non-zero return stops the list. SILICA_E_GONE: nothing is known
 * of that sandbox; SILICA_E_UNSUPPORTED or SILICA_E_UNAVAILABLE: the server keeps no events.
 */
SILICA_API silica_rc silica_list_events(silica_client *client, const silica_event_opts *opts,
                                        int (*each)(void *user, const silica_sandbox_event *event),
                                        void *user, silica_error *err);

/* ---- the server ----------------------------------------------------------------------------- */

enum { SILICA_DRIVER_BYTES = 32 };

/*
 * How the server isolates sandboxes: "container", "microvm". SILICA_E_UNSUPPORTED: it does not tell, as
 * other clouds do not.
 */
SILICA_API silica_rc silica_get_driver(silica_client *client, char ret[SILICA_DRIVER_BYTES],
                                       silica_error *err);

/* ---- commands ------------------------------------------------------------------------------- */

typedef enum silica_stream { SILICA_STDOUT = 1, SILICA_STDERR = 2 } silica_stream;

typedef enum silica_exit_kind {
    SILICA_EXIT_UNKNOWN = 0, /* contact was lost first */
    SILICA_EXITED = 1,
    SILICA_SIGNALED = 2,
    SILICA_TIMED_OUT = 3 /* killed when its timeout passed */
} silica_exit_kind;

typedef struct silica_exit {
    silica_exit_kind kind;
    int code;         /* of SILICA_EXITED */
    int signal;       /* of SILICA_SIGNALED; 0 when the server named one that is unknown here */
    char reason[128]; /* what the sandbox says beyond that: "the sandbox ran out of memory (limit
                         512 MiB)"; else "". One printable line */
} silica_exit;

typedef struct silica_result {
    silica_exit exit;
    uint32_t pid; /* inside the sandbox */
    silica_buf out, err;
    int out_truncated, err_truncated; /* non-zero: more than max_output came and was dropped */
} silica_result;
SILICA_API void silica_result_free(silica_result *res); /* also after a failure */

typedef enum silica_stdin {
    SILICA_STDIN_DEFAULT = 0, /* stdin_data when given, else empty */
    SILICA_STDIN_FD = 1,      /* read from stdin_fd to its end (the caller keeps it) */
    SILICA_STDIN_PIPE = 2     /* silica_spawn only: silica_proc_write() */
} silica_stdin;

typedef struct silica_exec_opts {
    size_t size;
    int64_t timeout_ms; /* 0: the sandbox handle's default; -1: none */
    const char *cwd;    /* relative to work_dir; NULL: work_dir */
    const char *user;   /* NULL: the template's */
    const silica_kv *env;
    size_t n_env;
    silica_stdin stdin_mode;
    const void *stdin_data;
    size_t stdin_len;
    int stdin_fd;
    size_t max_output; /* bytes kept of each stream; 0: 10 MiB. The command runs on */
    /* Output as it comes, borrowed; a non-zero return kills the command: SILICA_E_CANCELLED. */
    int (*on_output)(void *user, silica_stream stream, const void *data, size_t n);
    void *user_data;
    silica_switch collect; /* keep output in the result; default: unless on_output is given */
    silica_cancel *cancel; /* triggered: the command is killed, SILICA_E_CANCELLED */
} silica_exec_opts;
#define SILICA_EXEC_OPTS(...)                                                                      \
    (&(const silica_exec_opts){.size = sizeof(silica_exec_opts), __VA_ARGS__})

/*
 * Run a command by "bash -l -c" to its end. *ret is always initialised: free it in any case; after
 * a failure it holds the output that came before. A command that leaves a child behind which
 * keeps its output open ends only when that child does: redirect it, or use silica_spawn().
 */
SILICA_API silica_rc silica_exec(silica_sandbox *sbx, const char *command,
                                 const silica_exec_opts *opts, silica_result *ret,
                                 silica_error *err);
/* The same without a shell; argv ends with NULL, argv[0] is looked up on PATH. */
SILICA_API silica_rc silica_execv(silica_sandbox *sbx, const char *const *argv,
                                  const silica_exec_opts *opts, silica_result *ret,
                                  silica_error *err);

/* A process that is followed while it runs. */
typedef struct silica_proc silica_proc;

/*
 * Start a command and return as soon as it runs. Here timeout_ms 0 means none, stdin is a pipe only
 * with SILICA_STDIN_PIPE, and on_output, collect, cancel and stdin data are SILICA_E_INVALID.
 */
SILICA_API silica_rc silica_spawn(silica_sandbox *sbx, const char *command,
                                  const silica_exec_opts *opts, silica_proc **ret,
                                  silica_error *err);
SILICA_API silica_rc silica_spawnv(silica_sandbox *sbx, const char *const *argv,
                                   const silica_exec_opts *opts, silica_proc **ret,
                                   silica_error *err);
/* Follow a process that runs already, from now on. SILICA_E_NOT_FOUND when there is none. */
SILICA_API silica_rc silica_proc_attach(silica_sandbox *sbx, uint32_t pid, silica_proc **ret,
                                        silica_error *err);
SILICA_API uint32_t silica_proc_pid(const silica_proc *proc);

typedef enum silica_event_kind {
    SILICA_EVENT_NONE = 0, /* the wait ended without one */
    SILICA_EVENT_OUTPUT = 1,
    SILICA_EVENT_EXIT = 2 /* last; told again by every later call */
} silica_event_kind;

typedef struct silica_event {
    silica_event_kind kind;
    silica_stream stream;
    const char *data; /* borrowed until the next call on the process */
    size_t len;
    silica_exit exit;
} silica_event;

/* Wait at most wait_ms (0: do not wait, -1: as long as it takes) for the next event. */
SILICA_API silica_rc silica_proc_read(silica_proc *proc, int64_t wait_ms, silica_event *ret,
                                      silica_error *err);
/* All n bytes have been taken by the sandbox when this returns. Output meanwhile is kept. */
SILICA_API silica_rc silica_proc_write(silica_proc *proc, const void *data, size_t n,
                                       silica_error *err);
SILICA_API silica_rc silica_proc_close_stdin(silica_proc *proc, silica_error *err);
/* SIGTERM (15) or SIGKILL (9); others are SILICA_E_UNSUPPORTED. */
SILICA_API silica_rc silica_proc_signal(silica_proc *proc, int signal, silica_error *err);
/* Drop further output until it ends. */
SILICA_API silica_rc silica_proc_wait(silica_proc *proc, silica_exit *ret, silica_error *err);
/* Free the handle; the process runs on. NULL is fine. */
SILICA_API void silica_proc_detach(silica_proc *proc);

typedef struct silica_proc_info {
    uint32_t pid;
    const char *cmd, *tag;   /* tag "" when none */
    const char *const *args; /* ends with NULL */
} silica_proc_info;
SILICA_API silica_rc silica_proc_list(silica_sandbox *sbx,
                                      int (*each)(void *user, const silica_proc_info *info),
                                      void *user, silica_error *err);

/* ---- files ---------------------------------------------------------------------------------- */

/* Relative paths are relative to work_dir, "~/x" to the user's home. */

typedef struct silica_file_opts {
    size_t size;
    const char *user;   /* owner of what is made, and whose home "~" is; NULL: the template's */
    uint64_t max_bytes; /* of silica_read(); 0: 64 MiB. More is SILICA_E_TOO_LARGE */
} silica_file_opts;
#define SILICA_FILE_OPTS(...)                                                                      \
    (&(const silica_file_opts){.size = sizeof(silica_file_opts), __VA_ARGS__})

/* Whole file, byte for byte. The caller frees *ret. */
SILICA_API silica_rc silica_read(silica_sandbox *sbx, const char *path,
                                 const silica_file_opts *opts, silica_buf *ret, silica_error *err);
/* Make or replace it, with parent folders. */
SILICA_API silica_rc silica_write(silica_sandbox *sbx, const char *path, const void *data, size_t n,
                                  const silica_file_opts *opts, silica_error *err);
/* The same from and to a descriptor (at its present offset, to its end), in constant memory. */
SILICA_API silica_rc silica_upload(silica_sandbox *sbx, const char *path, int fd,
                                   const silica_file_opts *opts, silica_error *err);
SILICA_API silica_rc silica_download(silica_sandbox *sbx, const char *path, int fd,
                                     const silica_file_opts *opts, uint64_t *ret_bytes,
                                     silica_error *err);

typedef enum silica_file_type {
    SILICA_FILE_OTHER = 0,
    SILICA_FILE_REGULAR = 1,
    SILICA_FILE_DIRECTORY = 2,
    SILICA_FILE_SYMLINK = 3
} silica_file_type;

/* type and mode are those of a link's target; strings are never NULL. */
typedef struct silica_entry {
    const char *name, *path, *owner, *group;
    const char *permissions;    /* "-rw-r--r--" */
    const char *symlink_target; /* "" unless a link */
    silica_file_type type;
    uint64_t size;
    uint32_t mode; /* permission bits */
    int64_t mtime_ns;
    void *priv; /* the library's */
} silica_entry;
SILICA_API void silica_entry_free(silica_entry *entry);

SILICA_API silica_rc silica_stat(silica_sandbox *sbx, const char *path,
                                 const silica_file_opts *opts, silica_entry *ret,
                                 silica_error *err);
/* *ret is 1 or 0. */
SILICA_API silica_rc silica_exists(silica_sandbox *sbx, const char *path,
                                   const silica_file_opts *opts, int *ret, silica_error *err);
/* Entries are borrowed; depth 0 means 1 (the folder itself); a non-zero return stops. */
SILICA_API silica_rc silica_list(silica_sandbox *sbx, const char *path, uint32_t depth,
                                 const silica_file_opts *opts,
                                 int (*each)(void *user, const silica_entry *entry), void *user,
                                 silica_error *err);
/* With parents. *ret_created (may be NULL) is 0 when it was there already, which is a success. */
SILICA_API silica_rc silica_mkdir(silica_sandbox *sbx, const char *path,
                                  const silica_file_opts *opts, int *ret_created,
                                  silica_error *err);
/* Recursive; what is not there is a success. */
SILICA_API silica_rc silica_remove(silica_sandbox *sbx, const char *path,
                                   const silica_file_opts *opts, silica_error *err);
SILICA_API silica_rc silica_rename(silica_sandbox *sbx, const char *from, const char *to,
                                   const silica_file_opts *opts, silica_error *err);

/* ---- ports ---------------------------------------------------------------------------------- */

/* "<port>-<id>.<domain>" into buf. SILICA_E_INVALID when it does not fit (256 bytes always do). */
SILICA_API silica_rc silica_host(const silica_sandbox *sbx, uint16_t port, char *buf, size_t cap,
                                 silica_error *err);
/* "<scheme>://<host>"; scheme NULL: that of the API (http for a local Silica, else https). */
SILICA_API silica_rc silica_url(const silica_sandbox *sbx, uint16_t port, const char *scheme,
                                char *buf, size_t cap, silica_error *err);
/* Wait until something answers HTTP on that port. SILICA_E_TIMEOUT when nothing did. */
SILICA_API silica_rc silica_wait_port(silica_sandbox *sbx, uint16_t port, int64_t wait_ms,
                                      silica_error *err);
/* GET <url><path> with the traffic token if needed; any status is a success. Body at most 16 MiB. */
SILICA_API silica_rc silica_http_get(silica_sandbox *sbx, uint16_t port, const char *path,
                                     int *ret_status, silica_buf *ret_body, silica_error *err);

#ifdef __cplusplus
}
#endif

#endif
