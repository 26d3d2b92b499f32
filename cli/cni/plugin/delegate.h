/* Execution of another CNI plugin (SPEC.md of CNI, section 4). */
#ifndef DELEGATE_H
#define DELEGATE_H

#include "../../../src/freestanding/system.h"

/*
 * Runs a plugin of CNI_PATH with another CNI_COMMAND. Adds what it prints to `output`.
 *
 * Returns its exit status: 128 and more for one that a signal ended, as in a shell. 127 for a plugin that is not there, 126 for one that
 * cannot run, 124 for one that was killed at its time limit: `output` has an error object then.
 */
int run_delegate(const char *plugin, const char *command, const char *input, size_t n, struct buffer *output);

#endif
