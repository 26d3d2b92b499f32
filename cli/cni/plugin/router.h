/* One request to the router's control socket. */
#ifndef ROUTER_H
#define ROUTER_H

#include "../../../src/freestanding/system.h"

/* Bytes of a plugin's name, which is that of its file, with a zero. */
#define PLUGIN_MAX 256

enum reply {
    ANSWERED,
    /* Nothing listens at the socket. */
    ABSENT,
    /* No answer in time. */
    SILENT,
    /* The connection ended before the answer was complete. */
    BROKEN,
    /* The answer is no HTTP, or larger than its limit. */
    MALFORMED,
};

struct answer {
    int status;
    /* The plugin to delegate to, and the command for it; "" if there is none. */
    char plugin[PLUGIN_MAX], command[16];
    const char *body;
    size_t body_size;
};

/* Path of a file in the router's run folder; 0 if it does not fit into `max` bytes. */
int run_path(char *to, size_t max, const char *file);
/* Sends the body to /cni/KIND. The answer's body stays until the next request. */
enum reply send_request(const char *kind, const struct buffer *body, long deadline, struct answer *answer);

#endif
