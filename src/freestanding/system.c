#include "system.h"

#include <linux/time.h>

char **environment;

/* docker/wait/wait.c has the same for more architectures and three arguments, in one file of its own: it must stay small. */
#if defined(__x86_64__)
long system_call(long n, long a, long b, long c, long d, long e) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return r;
}
__asm__(".global _start\n_start:\nxor %ebp,%ebp\nmov %rsp,%rdi\nand $-16,%rsp\ncall begin\n");
#elif defined(__aarch64__)
long system_call(long n, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".global _start\n_start:\nmov x29,#0\nmov x0,sp\nand sp,x0,#-16\nb begin\n");
#else
#error "no system calls known for this architecture"
#endif

/* The compiler calls these two by itself. */
void *memcpy(void *to, const void *from, size_t n) {
    char *a = to;
    const char *b = from;
    while (n--) *a++ = *b++;
    return to;
}
void *memset(void *to, int byte, size_t n) {
    char *a = to;
    while (n--) *a++ = (char)byte;
    return to;
}

void leave(int status) {
    for (;;) system_call(__NR_exit_group, status, 0, 0, 0, 0);
}

size_t length(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

int same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

int begins(const char *text, const char *start) {
    while (*start && *text == *start) text++, start++;
    return *start == 0;
}

size_t shown(const char *text) {
    size_t n = length(text);
    return n > 200 ? 200 : n;
}

void add_bytes(struct buffer *to, const char *bytes, size_t n) {
    if (n > to->max - to->n) {
        n = to->max - to->n;
        to->full = 1;
    }
    memcpy(to->at + to->n, bytes, n);
    to->n += n;
}

void add(struct buffer *to, const char *text) { add_bytes(to, text, length(text)); }

void add_number(struct buffer *to, unsigned long value) {
    char digits[20];
    size_t n = sizeof digits;
    do digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    add_bytes(to, digits + n, sizeof digits - n);
}

int terminate(struct buffer *text) {
    if (text->n == text->max || text->full) {
        text->at[text->max - 1] = 0;
        return 0;
    }
    text->at[text->n] = 0;
    return 1;
}

long parse_number(const char *text, size_t n, long max) {
    long value = 0;
    if (n == 0) return -1;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        value = value * 10 + (text[i] - '0');
        if (value > max) return -1;
    }
    return value;
}

long now(void) {
    struct timespec time = {0, 0};
    system_call(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, (long)&time, 0, 0, 0);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    system_call(__NR_nanosleep, (long)&time, 0, 0, 0, 0);
}

int wait_for(int fd, int events, long deadline) {
    for (;;) {
        long left = deadline - now();
        if (left <= 0) return 0;
        struct pollfd poll = {fd, (short)events, 0};
        struct timespec time = {left / 1000, left % 1000 * 1000000};
        long ready = system_call(__NR_ppoll, (long)&poll, 1, (long)&time, 0, 8);
        /* An error of poll itself is reported by the following read or write. */
        if (ready != 0 && ready != -EINTR) return 1;
    }
}

long write_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        long written = system_call(__NR_write, fd, (long)bytes, (long)n, 0, 0);
        if (written == -EINTR) continue;
        if (written <= 0) return written == 0 ? -EIO : written;
        bytes += written;
        n -= (size_t)written;
    }
    return 0;
}

const char *variable(const char *name) {
    size_t n = length(name);
    for (char **each = environment; *each; each++)
        if (begins(*each, name) && (*each)[n] == '=') return *each + n + 1;
    return "";
}
