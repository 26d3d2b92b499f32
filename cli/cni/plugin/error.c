#include "error.h"

#include "json.h"

char cni_version[16] = "1.1.0";

void add_error(struct buffer *to, int code, const char *message, const char *details) {
    add(to, "{\"cniVersion\":");
    add_string(to, cni_version, length(cni_version));
    add(to, ",\"code\":");
    add_number(to, (unsigned long)code);
    add(to, ",\"msg\":");
    add_string(to, message, length(message));
    if (*details) {
        add(to, ",\"details\":");
        add_string(to, details, length(details));
    }
    add(to, "}");
}

void fail_with(int code, const char *message, const char *details) {
    BUFFER(error, 16 * KB);
    add_error(&error, code, message, details);
    add(&error, "\n");
    write_all(1, error.at, error.n);
    leave(1);
}
