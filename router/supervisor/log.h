/* The router's log, to which the supervisor adds its lines, and the files and buffers that it needs. */
#ifndef LOG_H
#define LOG_H

#include "../../src/freestanding/system.h"

/* Delay of the next attempt to write the log after an error. */
#define LOG_RETRY_MS 1000

/* The path of the log. */
extern const char *log_file;

/* Adds a line of the form of the router's lines, with a reason and a number unless they are 0. A line for which there is no room is dropped. */
void report(const char *level, const char *message, const char *reason, const char *number_name, long number);
/* Writes the lines that wait; what cannot be written waits on. */
void write_log(void);
int log_waits(void);

/* A system call of at most three arguments. */
long call3(long number, long a, long b, long c);
/* Opens a file; one that is made is for its owner alone. */
long open_file(const char *path, int flags);
void close_file(long fd);
void drop_first(struct buffer *from, size_t n);

#endif
