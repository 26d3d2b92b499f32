/* Releases (DEL) that wait for a router. */
#ifndef QUEUE_H
#define QUEUE_H

#include "../../../src/freestanding/system.h"

/*
 * Stores the body of a DEL in the folder cni-releases of the run folder: the router repeats it at its start, before each call,
 * and regularly. Equal bodies are one file. Returns 0; -ENOSPC when there are too many; else the negative errno.
 */
long queue_release(const char *kind, const struct buffer *body);

#endif
