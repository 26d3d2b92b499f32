/* System calls and text, for a program without libc. Every call returns the negative errno on failure, as the kernel does. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <asm/errno.h>
#include <asm/poll.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <stddef.h>

#define KB 1024UL
#define MB (1024UL * KB)

/* Bytes in a buffer of fixed size. What does not fit is left out, and `full` is set. */
struct buffer {
    char *at;
    size_t n, max;
    int full;
};
#define BUFFER(name, bytes)         \
    static char name##_bytes[bytes]; \
    struct buffer name = {name##_bytes, 0, bytes, 0}

long system_call(long number, long a, long b, long c, long d, long e);
__attribute__((noreturn)) void leave(int status);

size_t length(const char *text);
int same(const char *a, const char *b);
int begins(const char *text, const char *start);
/* Length of a text that is shown to a user, which may be cut. */
size_t shown(const char *text);
void add_bytes(struct buffer *to, const char *bytes, size_t n);
void add(struct buffer *to, const char *text);
void add_number(struct buffer *to, unsigned long value);
/* Makes the bytes a C string, without counting the zero. Returns 0 if there is no room: the last byte is then lost. */
int terminate(struct buffer *text);
/* A decimal number of at most `max`; -1 for any other text. */
long parse_number(const char *text, size_t n, long max);

/* Monotonic time in ms. */
long now(void);
void sleep_ms(long ms);
/* Waits until a descriptor has an event. Returns 0 at the deadline. */
int wait_for(int fd, int events, long deadline);
/* Writes all bytes to a file or pipe. */
long write_all(int fd, const char *bytes, size_t n);

/* The environment. */
extern char **environment;
/* The value of a variable; "" if it is not set. */
const char *variable(const char *name);

#endif
