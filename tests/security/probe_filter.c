/*
 * What the system call filters decide, for any call and any arguments, without ever making one.
 *
 * A child loads one more filter, which sends every call to its tracer. Of two filters the kernel
 * takes the stricter answer, and an error is stricter than that: so the tracer sees exactly the
 * calls that the sandbox's own filters let pass, and takes each of them back. What the others
 * gave is their answer.
 *
 *   filter ABI FROM TO      each number in turn, with arguments of zero (of sockets: unix ones)
 *   decide CALL,A,B,C ...   each with these arguments, in the 64-bit ABI
 * ABI is x86_64, x32 (its bit in the number) or i386 (int 0x80). Answers "call ABI NUMBER NAME
 * WHAT" where WHAT is "allowed", an error's name, or "none" where the kernel knows no such
 * entry.
 */
#include "probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS_MAX = 2048, TAKEN_BACK = 4000, UNASKED = 1, X32_BIT = 0x40000000 };

enum abi { ABI_64, ABI_X32, ABI_I386 };
static const char *const abi_names[] = {"x86_64", "x32", "i386"};

struct asked {
    long nr;
    unsigned long arg[3];
    long result; /* negative errno; TAKEN_BACK for what was let pass */
};

struct list {
    enum abi abi;
    unsigned n;
    struct asked call[CALLS_MAX];
};

static long enter(enum abi abi, const struct asked *c)
{
    long r;
    if (abi == ABI_I386) {
        __asm__ volatile("int $0x80"
                         : "=a"(r)
                         : "a"(c->nr), "b"(c->arg[0]), "c"(c->arg[1]), "d"(c->arg[2])
                         : "memory", "r8", "r9", "r10", "r11");
        return (int)r;
    }
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(abi == ABI_X32 ? c->nr | X32_BIT : c->nr), "D"(c->arg[0]),
                       "S"(c->arg[1]), "d"(c->arg[2])
                     : "memory", "rcx", "r11");
    return r;
}

/* After the filter is loaded this makes no call of its own: the end is a trap. */
static _Noreturn void child_run(struct list *list)
{
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = 1, .filter = &all};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        _exit(1);
    for (unsigned i = 0; i < list->n; i++)
        list->call[i].result = enter(list->abi, &list->call[i]);
    __asm__ volatile("int3");
    for (;;)
        ;
}

static int take_back(pid_t pid)
{
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
        return -1;
    regs.orig_rax = (unsigned long)-1L;
    regs.rax = (unsigned long)-(long)TAKEN_BACK;
    return ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ? -1 : 0;
}

/* Until the child is through, or met an entry that this kernel does not have. */
static void trace(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int sig = WSTOPSIG(status);
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            if (take_back(pid) < 0)
                break;
        } else if (sig == SIGSTOP) {
            (void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
        } else {
            break;
        }
        (void)ptrace(PTRACE_CONT, pid, NULL, NULL);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
}

static const char *what_of(const struct asked *c)
{
    if (c->result == UNASKED)
        return "none";
    if (c->result == -TAKEN_BACK)
        return "allowed";
    const char *name = c->result < 0 ? strerrorname_np((int)-c->result) : NULL;
    return name == NULL ? "odd" : name;
}

static void answer(struct list *list)
{
    static const uint32_t arch[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X86_64, SCMP_ARCH_X86};
    pid_t pid = fork();
    if (pid == 0)
        child_run(list);
    trace(pid);
    for (unsigned i = 0; i < list->n; i++) {
        const struct asked *c = &list->call[i];
        char *name = seccomp_syscall_resolve_num_arch(arch[list->abi], (int)c->nr);
        (void)fprintf(probe_out, "call %s %ld %s %s\n", abi_names[list->abi], c->nr,
                      name == NULL ? "?" : name, what_of(c));
        free(name);
    }
}

static struct list *new_list(void)
{
    struct list *list =
        mmap(NULL, sizeof(*list), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return list == MAP_FAILED ? NULL : list;
}

static void filter(char *const *arg)
{
    struct list *list = new_list();
    unsigned long from = probe_number(arg[1]), to = probe_number(arg[2]);
    if (list == NULL || to >= from + CALLS_MAX)
        return;
    list->abi = strcmp(arg[0], "i386") == 0  ? ABI_I386
                : strcmp(arg[0], "x32") == 0 ? ABI_X32
                                             : ABI_64;
    for (unsigned long nr = from; nr <= to; nr++) {
        bool is_socket = nr == SYS_socket || nr == SYS_socketpair;
        list->call[list->n++] =
            (struct asked){.nr = (long)nr, .arg = {is_socket ? AF_UNIX : 0}, .result = UNASKED};
    }
    answer(list);
    (void)munmap(list, sizeof(*list));
}

static void decide(char *const *arg)
{
    struct list *list = new_list();
    char *rest = arg[0], *word, *part;
    while (list != NULL && list->n < CALLS_MAX && (word = strsep(&rest, " ")) != NULL) {
        struct asked *c = &list->call[list->n++];
        c->result = UNASKED;
        c->nr = seccomp_syscall_resolve_name(strsep(&word, ","));
        for (unsigned i = 0; i < 3 && (part = strsep(&word, ",")) != NULL; i++)
            c->arg[i] = probe_number(part);
    }
    if (list == NULL)
        return;
    answer(list);
    (void)munmap(list, sizeof(*list));
}

const struct probe_question probe_filter[] = {
    {"filter", 3, filter}, {"decide", 1, decide}, {NULL, 0, NULL}};
