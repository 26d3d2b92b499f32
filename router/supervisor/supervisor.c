/*
 * supervisor [--no-restart] [--restarted] [--replace] RUN LOG PROGRAM ARGUMENT…: keeps a router running. PROGRAM with its arguments starts
 * one, RUN is the run folder, LOG the router's log. `weave launch` starts the supervisor as a detached process, and `weave restart` with
 * `--restarted --replace`, which are passed to the first router: it uses the stored targets, and ends the supervisor and the router that run
 * before it.
 *
 * A router that has ended is started again, almost immediately the first time, then after increasing delays; so is one that cannot be started
 * for lack of the program (during an upgrade), memory or processes. A router that was not ready at its first start is not started again:
 * `weave launch` waits for it, and prints the reason.
 *
 * It is no part of the router's process, and a second Node.js would take 50 MB for it. linux-x64 and linux-arm64 beside this file are the
 * built programs (build.sh).
 */
#include <asm/signal.h>
#include <linux/poll.h>
#include <linux/signalfd.h>
#include <linux/time.h>
#include <linux/wait.h>

#include "log.h"

/* Delays before a router is started again: each is twice the one before. */
#define FIRST_DELAY_MS 50
#define LAST_DELAY_MS 30000
/* Run time after which a router counts as stable: the next delay is the first one again. */
#define STABLE_MS 60000
/* Time from SIGTERM to SIGKILL. A router stops within two seconds by itself. */
#define STOP_MS 3000
/* Time limit for the rest of standard error after the end of the router. */
#define REST_MS 200
/* Bytes kept of standard error: the end of an error that Node.js prints has the most information. */
#define WHY_BYTES 2048
#define MAX_WORDS 64
#define FOREVER __LONG_MAX__

static const char *run_folder, *program;
static char *words[MAX_WORDS + 3];
static int word_count;
static int restarts = 1, restarted, replaces;

static int signals;
/* The router's process id; 0 when none runs. */
static long router;
/* How the last one ended, as wait4(2) reports it. */
static int status;
/* The reading end of its standard error; -1 when it is closed. */
static int errors = -1;
/* When a router that does not stop is killed. */
static long kill_at = FOREVER;
static int stopping;

BUFFER(why, WHY_BYTES + 1);

/* The path of a file in the run folder; valid until the next call. */
static const char *in_run(const char *name) {
    static char bytes[4096];
    struct buffer path = {bytes, 0, sizeof bytes, 0};
    add(&path, run_folder);
    add(&path, "/");
    add(&path, name);
    return terminate(&path) ? path.at : "";
}

/* ---- files of the run folder ---- */

/* Whether a pid file (src/pid-file.ts) names a process. True, too, if it cannot be read: an unnecessary restart is better than none. */
static int names(const char *file, long pid) {
    long fd = open_file(in_run(file), O_RDONLY);
    if (fd < 0) return fd != -ENOENT;
    static char bytes[64], start_bytes[64];
    long n = call3(__NR_read, fd, (long)bytes, sizeof bytes - 1);
    close_file(fd);
    if (n < 0) return 1;
    bytes[n] = 0;
    struct buffer start = {start_bytes, 0, sizeof start_bytes, 0};
    add(&start, "{\"pid\":");
    add_number(&start, (unsigned long)pid);
    add(&start, ",");
    terminate(&start);
    return begins(bytes, start.at);
}

/* Whether the supervisor of this host is this process, and no other one. */
static int is_named(void) { return names("supervisor.pid", call3(__NR_getpid, 0, 0, 0)); }

/* Writes the reason of the end to a file, for `weave launch` and `weave status`. */
static void note(const char *prefix) {
    long fd = open_file(in_run("failure"), O_WRONLY | O_CREAT | O_TRUNC);
    if (fd >= 0) {
        write_all((int)fd, prefix, length(prefix));
        write_all((int)fd, why.at, length(why.at));
        write_all((int)fd, "\n", 1);
        close_file(fd);
    } else {
        report("warn", "cannot write why the router ended", 0, "errno", -fd);
    }
}

__attribute__((noreturn)) static void end(int code) {
    write_log();
    if (is_named()) call3(__NR_unlinkat, AT_FDCWD, (long)in_run("supervisor.pid"), 0);
    leave(code);
}

/* ---- the router's process ---- */

static const char *error_name(long error) {
    switch (error) {
    case ENOENT: return "ENOENT";
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case ENOMEM: return "ENOMEM";
    case EMFILE: return "EMFILE";
    case ENFILE: return "ENFILE";
    case ENOEXEC: return "ENOEXEC";
    case ETXTBSY: return "ETXTBSY";
    case E2BIG: return "E2BIG";
    case EIO: return "EIO";
    default: return 0;
    }
}

static const char *signal_name(int number) {
    static const char *const all[] = {
        "",        "SIGHUP",  "SIGINT",  "SIGQUIT", "SIGILL",   "SIGTRAP",   "SIGABRT", "SIGBUS",
        "SIGFPE",  "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2",  "SIGPIPE",   "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN",  "SIGTTOU", "SIGURG",
        "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};
    return number < (int)(sizeof all / sizeof *all) ? all[number] : "a signal";
}

static void cannot_start(long error) {
    why.n = 0;
    add(&why, "cannot start ");
    add_bytes(&why, program, shown(program));
    add(&why, ": ");
    if (error_name(error)) {
        add(&why, error_name(error));
    } else {
        add(&why, "error ");
        add_number(&why, (unsigned long)error);
    }
}

/* Becomes the router: of the child, which shares nothing with this process. */
__attribute__((noreturn)) static void become_router(int stderr_end) {
    static const unsigned long none = 0;
    system_call(__NR_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none, 0);
    call3(__NR_dup3, stderr_end, 2, 0);
    cannot_start(-call3(__NR_execve, (long)program, (long)words, (long)environment));
    write_all(2, why.at, why.n);
    leave(1);
}

static void start(void) {
    int ends[2];
    int count = word_count;
    if (restarted) words[count++] = "--restarted";
    if (replaces) words[count++] = "--replace";
    words[count] = 0;
    why.n = 0;
    long error = call3(__NR_pipe2, (long)ends, O_CLOEXEC, 0);
    if (error < 0) return cannot_start(-error);
    /* fork(2): arm64 has only this form. */
    long pid = system_call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) become_router(ends[1]);
    close_file(ends[1]);
    if (pid < 0) {
        close_file(ends[0]);
        return cannot_start(-pid);
    }
    call3(__NR_fcntl, ends[0], F_SETFL, O_NONBLOCK);
    errors = ends[0];
    router = pid;
}

static void stop(void) {
    if (stopping) return;
    stopping = 1;
    if (!router) return;
    call3(__NR_kill, router, SIGTERM, 0);
    kill_at = now() + STOP_MS;
}

static void take_signals(void) {
    static struct signalfd_siginfo info;
    while (call3(__NR_read, signals, (long)&info, sizeof info) == sizeof info)
        /* Not SIGHUP: the terminal of `weave launch` may close. */
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) stop();
    if (router && system_call(__NR_wait4, router, (long)&status, WNOHANG, 0, 0) == router) router = 0;
}

/* Reads standard error, of which the end is kept. */
static void take_errors(void) {
    static char bytes[WHY_BYTES];
    while (errors >= 0) {
        long n = call3(__NR_read, errors, (long)bytes, sizeof bytes);
        if (n == -EAGAIN || n == -EINTR) return;
        if (n <= 0) {
            close_file(errors);
            errors = -1;
            return;
        }
        if (why.n + (size_t)n > WHY_BYTES) drop_first(&why, why.n + (size_t)n - WHY_BYTES);
        add_bytes(&why, bytes, (size_t)n);
    }
}

/* Waits for a signal or for standard error, at most until `deadline`. */
static void wait_until(long deadline) {
    if (log_waits() && deadline > now() + LOG_RETRY_MS) deadline = now() + LOG_RETRY_MS;
    long left = deadline == FOREVER ? 0 : deadline - now();
    if (left < 0) left = 0;
    struct timespec time = {left / 1000, left % 1000 * 1000000};
    /* A negative descriptor is ignored. */
    struct pollfd wanted[] = {{signals, POLLIN, 0}, {errors, POLLIN, 0}};
    system_call(__NR_ppoll, (long)wanted, 2, deadline == FOREVER ? 0 : (long)&time, 0, 8);
    take_signals();
    take_errors();
    write_log();
}

/* Waits for the end of the router, and of its standard error. */
static void wait_for_end(void) {
    while (router) {
        wait_until(kill_at);
        if (!router || now() < kill_at) continue;
        report("warn", "the router did not end in time; it was killed", 0, "ms", STOP_MS);
        call3(__NR_kill, router, SIGKILL, 0);
        kill_at = FOREVER;
    }
    for (long deadline = now() + REST_MS; errors >= 0 && now() < deadline;) wait_until(deadline);
    if (errors >= 0) close_file(errors);
    errors = -1;
}

/* Makes `why` the reason of the end: the end of standard error or, if that is empty, status or signal. Returns the exit status. */
static int explain(int started) {
    while (why.n > 0 && (unsigned char)why.at[why.n - 1] <= ' ') why.n--;
    size_t blank = 0;
    while (blank < why.n && (unsigned char)why.at[blank] <= ' ') blank++;
    drop_first(&why, blank);
    int number = status & 0x7f, code = started && number == 0 ? status >> 8 & 0xff : 1;
    if (why.n == 0 && number == 0) {
        add(&why, "it ended with status ");
        add_number(&why, (unsigned long)code);
    } else if (why.n == 0) {
        add(&why, "it was ended by ");
        add(&why, signal_name(number));
    }
    terminate(&why);
    return code;
}

/* Runs the router until it needs no further start. */
__attribute__((noreturn)) static void supervise(void) {
    for (long delay = FIRST_DELAY_MS;;) {
        long began = now();
        start();
        long pid = router;
        wait_for_end();
        int code = explain(pid != 0);
        /* Status 0: the router received a signal to stop, and stopped cleanly. */
        if (stopping || code == 0) end(0);
        int ready = pid != 0 && names("router.pid", pid);
        /* A router that has not replaced its predecessor is not needed: that one runs on. */
        if (!restarts || !is_named() || !(restarted || ready)) {
            report("error", ready ? "the router has ended" : "the router did not start", why.at, 0, 0);
            note(ready ? "The router has ended: " : "");
            end(code);
        }
        if (now() - began >= STABLE_MS) delay = FIRST_DELAY_MS;
        report("error", "the router has ended; it is started again", why.at, "afterMs", delay);
        note("");
        for (long deadline = now() + delay; !stopping && now() < deadline;) wait_until(deadline);
        if (stopping) end(0);
        delay = delay * 2 > LAST_DELAY_MS ? LAST_DELAY_MS : delay * 2;
        restarted = 1;
        replaces = 0;
    }
}

__attribute__((noreturn)) static void usage(const char *problem) {
    write_all(2, problem, length(problem));
    leave(2);
}

__attribute__((noreturn, used)) void begin(long *stack) {
    char **argument = (char **)(stack + 1), **after = argument + stack[0];
    environment = after + 1;
    for (argument++; argument < after && begins(*argument, "--"); argument++) {
        if (same(*argument, "--no-restart")) restarts = 0;
        else if (same(*argument, "--restarted")) restarted = 1;
        else if (same(*argument, "--replace")) replaces = 1;
        else usage("supervisor: unknown option\n");
    }
    if (after - argument < 3) usage("supervisor [--no-restart] [--restarted] [--replace] RUN LOG PROGRAM ARGUMENT...\n");
    if (after - argument > MAX_WORDS) usage("supervisor: too many arguments\n");
    run_folder = *argument++;
    log_file = *argument++;
    program = *argument;
    while (argument < after) words[word_count++] = *argument++;
    /* What router and supervisor write is for root alone. */
    call3(__NR_umask, 077, 0, 0);
    /* Blocked signals are read from a descriptor. */
    unsigned long set = 1UL << (SIGTERM - 1) | 1UL << (SIGINT - 1) | 1UL << (SIGHUP - 1) | 1UL << (SIGCHLD - 1);
    system_call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof set, 0);
    signals = (int)system_call(__NR_signalfd4, -1, (long)&set, sizeof set, O_CLOEXEC | O_NONBLOCK, 0);
    if (signals < 0) usage("supervisor: cannot receive signals\n");
    supervise();
}
