/* Error objects (SPEC.md of CNI, section 5). */
#ifndef ERROR_H
#define ERROR_H

#include "../../../src/freestanding/system.h"

enum code {
    INVALID_ENVIRONMENT = 4,
    IO_FAILURE = 5,
    CANNOT_DECODE = 6,
    TRY_LATER = 11,
    NOT_AVAILABLE = 50,
    LIMITED_CONNECTIVITY = 51,
};

/* The version of CNI that the configuration names. */
extern char cni_version[16];

/* Adds an error object. @param details what to do, or "" */
void add_error(struct buffer *to, int code, const char *message, const char *details);
/* Prints an error object on standard output, and ends with 1. */
__attribute__((noreturn)) void fail_with(int code, const char *message, const char *details);

#endif
