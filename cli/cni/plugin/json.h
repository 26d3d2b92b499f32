/* As much of JSON (RFC 8259) as the client needs: to find a field, and to write a text. */
#ifndef JSON_H
#define JSON_H

#include "../../../src/freestanding/system.h"

/* A value within a document, still encoded. */
struct value {
    const char *at;
    size_t n;
};

/* Finds a field of an object. Returns 0 if the text is no object, or has no such field. */
int find_field(struct value object, const char *name, struct value *found);
/* Copies a string of letters, digits and `._-/` into a C string. Returns 0 for any other value, and for one that does not fit. */
int plain_string(struct value value, char *to, size_t max);
/* Whether a text is one whole object; not whether each value in it is well-formed. */
int is_object(struct value text);
/* Writes bytes as a string with its quotes. Bytes that are not UTF-8 become question marks. */
void add_string(struct buffer *to, const char *bytes, size_t n);

#endif
