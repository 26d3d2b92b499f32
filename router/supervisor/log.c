#include "log.h"

#include <linux/time.h>

/* Bytes of lines that wait for a disk with room. */
#define LOG_BYTES (64 * KB)

const char *log_file;
BUFFER(log_lines, LOG_BYTES);

long call3(long number, long a, long b, long c) { return system_call(number, a, b, c, 0, 0); }

long open_file(const char *path, int flags) {
    return system_call(__NR_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0600, 0);
}

void close_file(long fd) { call3(__NR_close, fd, 0, 0); }

void drop_first(struct buffer *from, size_t n) {
    from->n -= n;
    for (size_t i = 0; i < from->n; i++) from->at[i] = from->at[i + n];
}

/* Civil date of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static void add_date(struct buffer *to, long day) {
    long shifted = day + 719468, era = shifted / 146097, of_era = shifted % 146097;
    long year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    long of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    long from_march = (5 * of_year + 2) / 153, month = from_march < 10 ? from_march + 3 : from_march - 9;
    add_number(to, (unsigned long)(year_of_era + era * 400 + (month <= 2)));
    add(to, month < 10 ? "-0" : "-");
    add_number(to, (unsigned long)month);
    long of_month = of_year - (153 * from_march + 2) / 5 + 1;
    add(to, of_month < 10 ? "-0" : "-");
    add_number(to, (unsigned long)of_month);
}

static void add_two(struct buffer *to, const char *before, long value) {
    add(to, before);
    if (value < 10) add(to, "0");
    add_number(to, (unsigned long)value);
}

/* The time of day in ISO 8601, as in the router's lines. */
static void add_time(struct buffer *to) {
    struct timespec time = {0, 0};
    call3(__NR_clock_gettime, 0 /* CLOCK_REALTIME */, (long)&time, 0);
    add_date(to, time.tv_sec / 86400);
    add_two(to, "T", time.tv_sec / 3600 % 24);
    add_two(to, ":", time.tv_sec / 60 % 60);
    add_two(to, ":", time.tv_sec % 60);
    long ms = time.tv_nsec / 1000000;
    add(to, ms < 10 ? ".00" : ms < 100 ? ".0" : ".");
    add_number(to, (unsigned long)ms);
    add(to, "Z");
}

/* Length of the valid UTF-8 character at the start of a text that ends with zero; 0 if there is none (RFC 3629). */
static size_t character(const unsigned char *at) {
    size_t more = at[0] < 0x80 ? 0 : at[0] < 0xc2 ? 9 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : at[0] < 0xf5 ? 3 : 9;
    if (more == 9) return 0;
    for (size_t i = 1; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    /* Overlong forms, U+D800 to U+DFFF, and what lies above U+10FFFF. */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)) return 0;
    if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) return 0;
    return more + 1;
}

/* Adds a text as the content of a JSON string; bytes that are no UTF-8 become U+FFFD. */
static void add_json(struct buffer *to, const char *text) {
    static const char hex[] = "0123456789abcdef";
    for (size_t n; *text; text += n ? n : 1) {
        n = character((const unsigned char *)text);
        if (n == 0) {
            add(to, "\xef\xbf\xbd");
        } else if (*text == '"' || *text == '\\') {
            add(to, "\\");
            add_bytes(to, text, 1);
        } else if (*text == '\n') {
            add(to, "\\n");
        } else if ((unsigned char)*text < ' ') {
            add(to, "\\u00");
            add_bytes(to, &hex[*text >> 4], 1);
            add_bytes(to, &hex[*text & 15], 1);
        } else {
            add_bytes(to, text, n);
        }
    }
}

/* Opens the log, in its folder, which may have been removed. The router may have put the file aside: it is opened for each write. */
static long open_log(void) {
    /* A pipe without a reader must not block (fifo(7)). */
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK;
    long fd = open_file(log_file, flags);
    if (fd != -ENOENT) return fd;
    static char bytes[4096];
    struct buffer folder = {bytes, 0, sizeof bytes, 0};
    add(&folder, log_file);
    while (folder.n > 0 && folder.at[folder.n - 1] != '/') folder.n--;
    if (folder.n == 0 || !terminate(&folder)) return fd;
    call3(__NR_mkdirat, AT_FDCWD, (long)folder.at, 0700);
    return open_file(log_file, flags);
}

int log_waits(void) { return log_lines.n > 0; }

void write_log(void) {
    if (log_lines.n == 0) return;
    long fd = open_log();
    if (fd < 0) return;
    long written = call3(__NR_write, fd, (long)log_lines.at, (long)log_lines.n);
    if (written > 0) drop_first(&log_lines, (size_t)written);
    close_file(fd);
}

void report(const char *level, const char *message, const char *reason, const char *number_name, long number) {
    size_t before = log_lines.n;
    add(&log_lines, "{\"level\":\"");
    add(&log_lines, level);
    add(&log_lines, "\",\"time\":\"");
    add_time(&log_lines);
    if (reason) {
        add(&log_lines, "\",\"why\":\"");
        add_json(&log_lines, reason);
    }
    if (number_name) {
        add(&log_lines, "\",\"");
        add(&log_lines, number_name);
        add(&log_lines, "\":");
        add_number(&log_lines, (unsigned long)number);
        add(&log_lines, ",\"msg\":\"");
    } else {
        add(&log_lines, "\",\"msg\":\"");
    }
    add(&log_lines, message);
    add(&log_lines, "\"}\n");
    if (log_lines.full) {
        log_lines.n = before;
        log_lines.full = 0;
    }
    write_log();
}
