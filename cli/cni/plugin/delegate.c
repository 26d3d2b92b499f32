#include "delegate.h"

#include "error.h"

#include <linux/memfd.h>

#define PATH_MAX 4096
#define SIGCHLD 17
#define SIGKILL 9
#define WNOHANG 1
#define X_OK 1
/* A test sets other times. */
#ifndef DELEGATE_MS
/* Time limit of a plugin. A DHCP client may wait for its server. */
#define DELEGATE_MS 60000
/* Interval between checks whether a plugin has ended, while it prints nothing. */
#define CHECK_MS 10
#endif
#define VARIABLES_MAX 4096

static char *child_environment[VARIABLES_MAX + 1];

static int fail(int status, int code, const char *plugin, const char *what, struct buffer *output) {
    BUFFER(message, 512);
    message.n = 0;
    add(&message, "cannot delegate to the plugin ");
    add_bytes(&message, plugin, shown(plugin));
    terminate(&message);
    add_error(output, code, message.at, what);
    return status;
}

/* Finds an executable of that name in CNI_PATH. */
static int find_plugin(const char *plugin, char *file) {
    if (*plugin == 0 || same(plugin, ".") || same(plugin, "..")) return 0;
    for (const char *c = plugin; *c; c++)
        if (*c == '/') return 0;
    for (const char *at = variable("CNI_PATH"); *at;) {
        struct buffer path = {file, 0, PATH_MAX, 0};
        for (; *at && *at != ':'; at++) add_bytes(&path, at, 1);
        if (*at) at++;
        if (path.n == 0) continue;
        add(&path, "/");
        add(&path, plugin);
        if (terminate(&path) && system_call(__NR_faccessat, AT_FDCWD, (long)file, X_OK, 0, 0) == 0) return 1;
    }
    return 0;
}

/* The environment with another CNI_COMMAND. */
static int make_environment(const char *command) {
    BUFFER(entry, 64);
    entry.n = 0;
    add(&entry, "CNI_COMMAND=");
    add(&entry, command);
    size_t n = 0;
    if (!terminate(&entry)) return 0;
    child_environment[n++] = entry.at;
    for (char **each = environment; *each; each++) {
        if (begins(*each, "CNI_COMMAND=")) continue;
        if (n == VARIABLES_MAX) return 0;
        child_environment[n++] = *each;
    }
    child_environment[n] = 0;
    return 1;
}

/* The plugin's standard input: a file in memory, so that a plugin that does not read it delays nothing. */
static long open_input(const char *input, size_t n) {
    long fd = system_call(__NR_memfd_create, (long)"weave-cni", MFD_CLOEXEC, 0, 0, 0);
    if (fd < 0) return fd;
    if (write_all((int)fd, input, n) == 0 && system_call(__NR_lseek, fd, 0, 0, 0, 0) == 0) return fd;
    system_call(__NR_close, fd, 0, 0, 0, 0);
    return -EIO;
}

static long fork_process(void) {
    return system_call(__NR_clone, SIGCHLD, 0, 0, 0, 0);
}

__attribute__((noreturn)) static void become(char *file, long in, long out) {
    char *arguments[] = {file, 0};
    if (system_call(__NR_dup3, in, 0, 0, 0, 0) == 0 && system_call(__NR_dup3, out, 1, 0, 0, 0) == 1)
        system_call(__NR_execve, (long)file, (long)arguments, (long)child_environment, 0, 0);
    leave(126);
}

/* Reads what the plugin prints until it has ended. Returns its status, or -1 for one that was killed. */
static int collect(long child, int out, struct buffer *output) {
    long deadline = now() + DELEGATE_MS;
    int ended = 0, killed = 0, status = 0;
    for (;;) {
        int ready = wait_for(out, POLLIN, now() + CHECK_MS);
        if (ready) {
            if (output->n == output->max) output->full = 1;
            long n = output->full ? -EFBIG
                                  : system_call(__NR_read, out, (long)(output->at + output->n), (long)(output->max - output->n), 0, 0);
            if (n == -EINTR) continue;
            if (n > 0) {
                output->n += (size_t)n;
                /* The limit is also that of a plugin that prints without a pause. */
                if (now() < deadline) continue;
            }
            if (n < 0 && !ended) killed = 1;
        }
        /* All of its output was read: it was there before the end. */
        if (ended) break;
        if (killed || now() >= deadline) {
            killed = 1;
            system_call(__NR_kill, child, SIGKILL, 0, 0, 0);
        }
        long waited = system_call(__NR_wait4, child, (long)&status, killed ? 0 : WNOHANG, 0, 0);
        if (waited == -EINTR || waited == 0) {
            if (ready) sleep_ms(1);
            continue;
        }
        ended = 1;
        if (killed) break;
    }
    if (killed) return -1;
    return status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}

int run_delegate(const char *plugin, const char *command, const char *input, size_t n, struct buffer *output) {
    static char file[PATH_MAX];
    int ends[2];
    size_t before = output->n;
    if (!find_plugin(plugin, file)) return fail(127, 7, plugin, "There is no program of this name in the folders of CNI_PATH.", output);
    if (!make_environment(command)) return fail(126, 4, plugin, "The environment has too many variables.", output);
    long in = open_input(input, n);
    if (in < 0) return fail(126, 5, plugin, "A file in memory for its input could not be made.", output);
    if (system_call(__NR_pipe2, (long)ends, O_CLOEXEC, 0, 0, 0) < 0) {
        system_call(__NR_close, in, 0, 0, 0, 0);
        return fail(126, 5, plugin, "A pipe for its output could not be made.", output);
    }
    long child = fork_process();
    if (child == 0) become(file, in, ends[1]);
    system_call(__NR_close, in, 0, 0, 0, 0);
    system_call(__NR_close, ends[1], 0, 0, 0, 0);
    int status = child < 0 ? 126 : collect(child, ends[0], output);
    system_call(__NR_close, ends[0], 0, 0, 0, 0);
    if (status == -1) {
        int full = output->full;
        output->n = before;
        output->full = 0;
        return full ? fail(126, 5, plugin, "Its output is larger than 1 MB.", output)
                    : fail(124, 11, plugin, "It did not end within 60 s, and was killed.", output);
    }
    if (status == 126 && output->n == before) return fail(126, 5, plugin, "It cannot be executed.", output);
    return status;
}
