/*
 * weave-net and weave-ipam: the plugins of the Container Network Interface (CNI, its SPEC.md has the numbers of sections below). A runtime
 * starts one for each container, so it is a static program without libc, and starts within a millisecond. It sends the call to the router
 * (router/cni/) and prints the answer; what another plugin has to do for it, it runs by itself, because that one belongs to the host on
 * which the runtime is. It decides nothing else: docs/cni.md describes the plugins.
 *
 * build.sh builds it; programs.ts contains the programs.
 */
#include "delegate.h"
#include "error.h"
#include "json.h"
#include "queue.h"
#include "router.h"

/* Limit of a request: environment, configuration and the output of other plugins. */
#define REQUEST_MAX (1 * MB)
/* Delegations in one call: each plugin for ADD, and once more for its DEL. */
#define DELEGATIONS_MAX 8
/* Limits of a call. An ADD may have to wait for an address. */
#define ADD_MS 90000
#define DEL_MS 15000
#define OTHER_MS 30000
/* Time for which an ADD waits for a router that is being restarted, and for one that starts; interval of its attempts. */
#define RESTART_MS 5000
#define START_MS 30000
#define RETRY_MS 100
/* A runtime that does not end its configuration. */
#define INPUT_MS 10000

#define VERSIONS "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"

enum command { ADD, DEL, CHECK, STATUS, GC, VERSION, COMMANDS };
static const char *const COMMAND_NAMES[COMMANDS] = {"ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"};

BUFFER(request, REQUEST_MAX);
static struct value configuration;
static enum command command;
/* "net" or "ipam". */
static const char *kind;
/* The plugin whose ADD succeeded in this call; "" if there is none. */
static char added[PLUGIN_MAX];

static const char *base_name(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/') name = path + 1;
    return name;
}

static void choose_kind(const char *path) {
    const char *name = base_name(path);
    if (same(name, "weave-net")) kind = "net";
    else if (same(name, "weave-ipam")) kind = "ipam";
    else fail_with(INVALID_ENVIRONMENT, "this program must be called weave-net or weave-ipam", "'weave setup-cni' installs it under both names.");
}

static void choose_command(void) {
    const char *name = variable("CNI_COMMAND");
    for (command = ADD; command < COMMANDS; command++)
        if (same(name, COMMAND_NAMES[command])) return;
    BUFFER(message, 512);
    add(&message, "invalid CNI_COMMAND ");
    add_string(&message, name, shown(name));
    terminate(&message);
    fail_with(INVALID_ENVIRONMENT, message.at, "A container runtime runs this program, with one of ADD, DEL, CHECK, STATUS, GC and VERSION.");
}

/* The variables that the command needs (section 2). The router checks their values. */
static void check_variables(void) {
    BUFFER(missing, 256);
    if (command == ADD || command == DEL || command == CHECK) {
        if (!*variable("CNI_CONTAINERID")) add(&missing, " CNI_CONTAINERID");
        if (!*variable("CNI_IFNAME")) add(&missing, " CNI_IFNAME");
        if (command != DEL && !*variable("CNI_NETNS")) add(&missing, " CNI_NETNS");
    }
    if (missing.n == 0) return;
    BUFFER(message, 512);
    add(&message, "missing variables:");
    add_bytes(&message, missing.at, missing.n);
    terminate(&message);
    fail_with(INVALID_ENVIRONMENT, message.at, "");
}

/* Each variable of section 2 and a zero byte, then a zero byte. */
static void add_environment(void) {
    static const char *const NAMES[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *value = variable(NAMES[i]);
        if (!*value) continue;
        add(&request, NAMES[i]);
        add(&request, "=");
        add(&request, value);
        add_bytes(&request, "", 1);
    }
    add_bytes(&request, "", 1);
    if (request.full) fail_with(INVALID_ENVIRONMENT, "the variables of CNI are larger than 1 MB", "");
}

static void read_configuration(void) {
    size_t start = request.n;
    long deadline = now() + INPUT_MS;
    for (;;) {
        if (request.n == request.max) fail_with(CANNOT_DECODE, "the network configuration is larger than 1 MB", "");
        if (!wait_for(0, POLLIN, deadline)) fail_with(IO_FAILURE, "the network configuration on standard input has no end", "");
        long n = system_call(__NR_read, 0, (long)(request.at + request.n), (long)(request.max - request.n), 0, 0);
        if (n == -EINTR || n == -EAGAIN) continue;
        if (n < 0) fail_with(IO_FAILURE, "the network configuration cannot be read from standard input", "");
        if (n == 0) break;
        request.n += (size_t)n;
    }
    configuration = (struct value){request.at + start, request.n - start};
    struct value version;
    char text[sizeof cni_version];
    if (find_field(configuration, "cniVersion", &version) && plain_string(version, text, sizeof text))
        __builtin_memcpy(cni_version, text, sizeof text);
}

/* Answers VERSION, which needs no router. Its input may be missing: old runtimes send none. */
__attribute__((noreturn)) static void print_versions(void) {
    if (configuration.n > 0 && !is_object(configuration)) fail_with(CANNOT_DECODE, "standard input is no JSON object", "");
    BUFFER(versions, 256);
    add(&versions, "{\"cniVersion\":");
    add_string(&versions, cni_version, length(cni_version));
    add(&versions, ",\"supportedVersions\":" VERSIONS "}\n");
    leave(write_all(1, versions.at, versions.n) < 0);
}

BUFFER(printed, REQUEST_MAX);

/* Runs a delegate with the configuration, or with the input that the router chose for it. */
static int delegate(const char *plugin, const char *what, struct value input) {
    printed.n = 0;
    printed.full = 0;
    return run_delegate(plugin, what, input.at, input.n, &printed);
}

/* After a failed ADD nothing may stay, and the router is not there to request it. */
static void undo_delegation(void) {
    if (*added) delegate(added, "DEL", configuration);
    added[0] = 0;
}

/* Ends an ADD, CHECK, STATUS or GC that the router did not answer. */
__attribute__((noreturn)) static void fail_unanswered(enum reply reply) {
    char file[4096];
    int code = TRY_LATER;
    undo_delegation();
    if (command == STATUS) {
        /* The options of the last launch are in the run folder until the next boot, or until reset: containers may be attached. */
        int launched = run_path(file, sizeof file, "/launch.json") && system_call(__NR_faccessat, AT_FDCWD, (long)file, 0, 0, 0) == 0;
        code = launched ? LIMITED_CONNECTIVITY : NOT_AVAILABLE;
    }
    if (reply == ABSENT) fail_with(code, "the weave router does not run on this host", "'weave launch' starts it; 'weave status' shows why it ended.");
    if (reply == SILENT) fail_with(code, "the weave router does not answer in time", "'weave status' shows its state, and addresses that it waits for.");
    if (reply == MALFORMED) fail_with(code, "the answer of the weave router is malformed", "'weave setup-cni' and 'weave restart' bring plugin and router to one version.");
    fail_with(code, "the connection to the weave router failed", "'weave status' shows whether it runs.");
}

/* Whether an answer is an error object of CNI. */
static int is_error(const struct answer *answer) {
    struct value code, body = {answer->body, answer->body_size};
    return is_object(body) && find_field(body, "code", &code);
}

/* Reports the text of an answer that is not one of the CNI calls: of a router that starts, or of an older one. */
__attribute__((noreturn)) static void fail_with_text(const struct answer *answer) {
    undo_delegation();
    if (answer->status == 404)
        fail_with(IO_FAILURE, "the weave router of this host does not know CNI", "'weave restart' starts the installed version.");
    BUFFER(message, 2 * KB);
    add(&message, "the weave router answers ");
    add_number(&message, (unsigned long)answer->status);
    size_t n = answer->body_size;
    while (n > 0 && (answer->body[n - 1] == '\n' || answer->body[n - 1] == '\r')) n--;
    if (n > 0) add(&message, ": ");
    add_bytes(&message, answer->body, n > KB ? KB : n);
    /* A zero would end it. */
    for (size_t i = 0; i < message.n; i++)
        if (message.at[i] == 0) message.at[i] = '?';
    terminate(&message);
    int starting = answer->status == 503;
    int code = command == STATUS ? NOT_AVAILABLE : starting ? TRY_LATER : IO_FAILURE;
    fail_with(code, message.at, starting ? "" : "'weave setup-cni' and 'weave restart' bring plugin and router to one version.");
}

/* The plugin of another project that the configuration names for addresses. Returns 0 if there is none. */
static int foreign_ipam(char *plugin, size_t max) {
    struct value ipam, type;
    if (!same(kind, "net") || !find_field(configuration, "ipam", &ipam) || !find_field(ipam, "type", &type)) return 0;
    return plain_string(type, plugin, max) && *plugin && !same(plugin, "weave-ipam");
}

/* Ends a DEL without the router: its release is stored for the next one. @param delegated whether the delegate's DEL was run already */
__attribute__((noreturn)) static void queue_and_leave(size_t request_size, int delegated) {
    char plugin[PLUGIN_MAX];
    if (!is_object(configuration)) fail_with(CANNOT_DECODE, "the network configuration is no JSON object", "");
    if (!delegated && foreign_ipam(plugin, sizeof plugin) && delegate(plugin, "DEL", configuration) != 0) {
        /* Its error is that of this call: the runtime repeats it. */
        write_all(1, printed.at, printed.n);
        leave(1);
    }
    struct buffer body = {request.at, request_size, request_size, 0};
    long result = queue_release(kind, &body);
    if (result == 0) leave(0);
    if (result == -ENOSPC) fail_with(TRY_LATER, "too many releases wait for the weave router", "'weave launch' starts it; then repeat the call.");
    fail_with(IO_FAILURE, "the release cannot be stored for the weave router, which does not answer",
              "WEAVE_RUN_DIR (default /run/weave) must be a folder that root can write; 'weave launch' starts the router.");
}

/* Runs the plugin that the answer names, and adds its result to the request. That of an error only undoes: its result is ignored. */
static void run_delegation(const struct answer *answer) {
    struct value input = answer->status == 202 && answer->body_size > 0 ? (struct value){answer->body, answer->body_size} : configuration;
    int status = delegate(answer->plugin, answer->command, input);
    if (answer->status != 202) return;
    if (status == 0 && same(answer->command, "ADD")) __builtin_memcpy(added, answer->plugin, sizeof added);
    if (same(answer->command, "DEL")) added[0] = 0;
    add_bytes(&request, "", 1);
    add_number(&request, (unsigned long)status);
    add_bytes(&request, "", 1);
    add_bytes(&request, printed.at, printed.n);
    if (request.full) {
        undo_delegation();
        fail_with(IO_FAILURE, "the results of other plugins are larger than 1 MB", "");
    }
}

static int is_command(const char *name) {
    for (int i = 0; i < COMMANDS; i++)
        if (same(name, COMMAND_NAMES[i])) return 1;
    return 0;
}

__attribute__((noreturn)) static void print_answer(const struct answer *answer) {
    int good = answer->status == 200;
    if (write_all(1, answer->body, answer->body_size) < 0) leave(1);
    leave(good ? 0 : 1);
}

/* One request. An ADD repeats it while the router is being restarted. */
static enum reply request_answer(struct answer *answer) {
    long start = now(), limit = command == ADD ? ADD_MS : command == DEL ? DEL_MS : OTHER_MS;
    for (;;) {
        enum reply reply = send_request(kind, &request, start + limit, answer);
        int starting = reply == ABSENT || (reply == ANSWERED && answer->status == 503 && !is_error(answer));
        if (command != ADD || !starting || now() - start > (reply == ABSENT ? RESTART_MS : START_MS)) return reply;
        sleep_ms(RETRY_MS);
    }
}

__attribute__((noreturn)) static void exchange(void) {
    size_t request_size = request.n;
    int deleted = 0;
    for (int count = 0;; count++) {
        struct answer answer;
        enum reply reply = request_answer(&answer);
        struct value body = {answer.body, answer.body_size};
        int object = reply == ANSWERED && is_object(body), empty = reply == ANSWERED && body.n == 0;
        int delegates = reply == ANSWERED && is_command(answer.command) && answer.plugin[0];
        if (reply == ANSWERED && answer.status == 202 && delegates && (object || empty)) {
            if (count == DELEGATIONS_MAX) {
                undo_delegation();
                fail_with(IO_FAILURE, "the weave router delegates without end", "");
            }
            run_delegation(&answer);
            deleted |= same(answer.command, "DEL");
            continue;
        }
        int is_final = reply == ANSWERED && answer.status == 200 && (object || empty);
        int failed = reply == ANSWERED && answer.status >= 400 && is_error(&answer);
        if (failed && answer.status == 503 && command == DEL) failed = 0;
        if (failed && delegates) run_delegation(&answer);
        if (is_final || failed) print_answer(&answer);
        if (command == DEL) queue_and_leave(request_size, deleted);
        if (reply == ANSWERED && answer.status >= 400) fail_with_text(&answer);
        fail_unanswered(reply == ANSWERED ? MALFORMED : reply);
    }
}

__attribute__((noreturn, used)) void begin(long *stack) {
    char **arguments = (char **)(stack + 1);
    environment = arguments + stack[0] + 1;
    choose_kind(stack[0] > 0 ? arguments[0] : "");
    choose_command();
    if (command != VERSION) {
        check_variables();
        add_environment();
    }
    read_configuration();
    if (command == VERSION) print_versions();
    exchange();
}
