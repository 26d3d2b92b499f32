#include "router.h"

#define AF_UNIX 1
#define SOCK_STREAM 1
#define MSG_NOSIGNAL 0x4000
/* struct sockaddr_un (unix(7)). */
struct address {
    unsigned short family;
    char path[108];
};
/* Interval between attempts to connect while the router's queue of connections is full. */
#define RETRY_MS 20
/* Limits of an answer. */
#define HEAD_MAX (16 * KB)
#define BODY_MAX (1 * MB)

BUFFER(received, HEAD_MAX + BODY_MAX);

int run_path(char *to, size_t max, const char *file) {
    const char *folder = variable("WEAVE_RUN_DIR");
    struct buffer path = {to, 0, max, 0};
    add(&path, *folder ? folder : "/run/weave");
    add(&path, file);
    return terminate(&path);
}

/* Returns a connected socket, or the negative errno. */
static long open_connection(long deadline) {
    struct address address = {AF_UNIX, {0}};
    if (!run_path(address.path, sizeof address.path, "/control.sock")) return -ENAMETOOLONG;
    long fd = system_call(__NR_socket, AF_UNIX, SOCK_STREAM | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    if (fd < 0) return fd;
    for (;;) {
        long result = system_call(__NR_connect, fd, (long)&address, sizeof address, 0, 0);
        if (result == 0) return fd;
        /* A Unix socket whose queue is full answers so, and poll(2) does not report when it no longer is (unix(7)). */
        if (result != -EAGAIN && result != -EINTR) {
            system_call(__NR_close, fd, 0, 0, 0, 0);
            return result;
        }
        if (now() >= deadline) {
            system_call(__NR_close, fd, 0, 0, 0, 0);
            return -ETIMEDOUT;
        }
        sleep_ms(RETRY_MS);
    }
}

/* Sends bytes. A router that rejects the request may answer and close before it has read all: that is no error here. */
static long send_all(int fd, const char *bytes, size_t n, long deadline) {
    while (n > 0) {
        long sent = system_call(__NR_sendto, fd, (long)bytes, (long)n, MSG_NOSIGNAL, 0);
        if (sent == -EINTR) continue;
        if (sent == -EPIPE || sent == -ECONNRESET) return 0;
        if (sent == -EAGAIN) {
            if (!wait_for(fd, POLLOUT, deadline)) return -ETIMEDOUT;
            continue;
        }
        if (sent <= 0) return -EIO;
        bytes += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Receives up to the end of the connection. */
static enum reply receive_all(int fd, long deadline) {
    received.n = 0;
    for (;;) {
        if (received.n == received.max) return MALFORMED;
        long n = system_call(__NR_read, fd, (long)(received.at + received.n), (long)(received.max - received.n), 0, 0);
        if (n == -EINTR) continue;
        if (n == -EAGAIN) {
            if (!wait_for(fd, POLLIN, deadline)) return SILENT;
            continue;
        }
        if (n < 0) return BROKEN;
        if (n == 0) return received.n == 0 ? BROKEN : ANSWERED;
        received.n += (size_t)n;
    }
}

/* Index after the empty line that ends the head; 0 if there is none. */
static size_t head_size(void) {
    for (size_t i = 3; i < received.n && i < HEAD_MAX; i++)
        if (received.at[i] == '\n' && received.at[i - 1] == '\r' && received.at[i - 2] == '\n') return i + 1;
    return 0;
}

/* Value of a header without the spaces around it; 0 for a line of another name. Names are compared without regard to case. */
static const char *header_value(const char *line, size_t *n, const char *name) {
    size_t i = 0;
    for (; name[i]; i++) {
        char c = i < *n ? line[i] : 0;
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c != name[i]) return 0;
    }
    if (i >= *n || line[i] != ':') return 0;
    i++;
    while (i < *n && (line[i] == ' ' || line[i] == '\t')) i++;
    size_t end = *n;
    while (end > i && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '\r')) end--;
    *n = end - i;
    return line + i;
}

static int copy_value(char *to, size_t max, const char *value, size_t n) {
    if (*to || n == 0 || n >= max) return 0;
    for (size_t i = 0; i < n; i++) {
        if (value[i] <= ' ' || value[i] > '~') return 0;
        to[i] = value[i];
    }
    to[n] = 0;
    return 1;
}

/* Reads one header. Returns 0 if its value is not valid. */
static int read_header(const char *line, size_t n, struct answer *answer, long *content_length) {
    size_t left = n;
    const char *value;
    if ((value = header_value(line, &left, "content-length"))) {
        if (*content_length >= 0) return 0;
        *content_length = parse_number(value, left, BODY_MAX);
        return *content_length >= 0;
    }
    /* An answer to HTTP/1.0 has no chunks (RFC 9112, 6.1). */
    left = n;
    if (header_value(line, &left, "transfer-encoding")) return 0;
    left = n;
    if ((value = header_value(line, &left, "weave-delegate"))) return copy_value(answer->plugin, sizeof answer->plugin, value, left);
    left = n;
    if ((value = header_value(line, &left, "weave-delegate-command")))
        return copy_value(answer->command, sizeof answer->command, value, left);
    return 1;
}

static enum reply parse_answer(struct answer *answer) {
    size_t head = head_size();
    char *at = received.at;
    /* HTTP/1.1 200 OK */
    if (head < 15 || !begins(at, "HTTP/1.") || at[8] != ' ' || at[12] != ' ') return MALFORMED;
    answer->status = (int)parse_number(at + 9, 3, 599);
    if (answer->status < 200) return MALFORMED;
    long content_length = -1;
    size_t line = 0;
    for (size_t i = 0; i < head; i++) {
        if (at[i] != '\n') continue;
        if (line > 0 && !read_header(at + line, i - line, answer, &content_length)) return MALFORMED;
        line = i + 1;
    }
    answer->body = at + head;
    answer->body_size = received.n - head;
    if (content_length < 0) return ANSWERED;
    if (answer->body_size > (size_t)content_length) return MALFORMED;
    return answer->body_size < (size_t)content_length ? BROKEN : ANSWERED;
}

enum reply send_request(const char *kind, const struct buffer *body, long deadline, struct answer *answer) {
    *answer = (struct answer){0};
    long fd = open_connection(deadline);
    if (fd == -ENOENT || fd == -ECONNREFUSED) return ABSENT;
    if (fd == -ETIMEDOUT) return SILENT;
    if (fd < 0) return BROKEN;
    BUFFER(head, 256);
    head.n = 0;
    add(&head, "POST /cni/");
    add(&head, kind);
    add(&head, " HTTP/1.0\r\nContent-Type: application/x-weave-cni\r\nContent-Length: ");
    add_number(&head, body->n);
    add(&head, "\r\n\r\n");
    long sent = send_all((int)fd, head.at, head.n, deadline);
    if (sent == 0) sent = send_all((int)fd, body->at, body->n, deadline);
    enum reply reply = sent == -ETIMEDOUT ? SILENT : sent < 0 ? BROKEN : receive_all((int)fd, deadline);
    system_call(__NR_close, fd, 0, 0, 0, 0);
    return reply == ANSWERED ? parse_answer(answer) : reply;
}
