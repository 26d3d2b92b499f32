#include "json.h"

static size_t skip_space(struct value text, size_t at) {
    while (at < text.n && (text.at[at] == ' ' || text.at[at] == '\n' || text.at[at] == '\r' || text.at[at] == '\t')) at++;
    return at;
}

/* The index after a string that begins at `at`; 0 if there is none. */
static size_t skip_string(struct value text, size_t at) {
    if (at >= text.n || text.at[at] != '"') return 0;
    for (at++; at < text.n; at++) {
        if (text.at[at] == '\\') at++;
        else if (text.at[at] == '"') return at + 1;
    }
    return 0;
}

/* The index after a value that begins at `at`; 0 if there is none. Brackets are counted, not distinguished. */
static size_t skip_value(struct value text, size_t at) {
    size_t first = at, depth = 0;
    while (at < text.n) {
        char c = text.at[at];
        if (c == '"') {
            at = skip_string(text, at);
            if (at == 0) return 0;
            if (depth == 0) return at;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') {
            if (depth == 0) return at > first ? at : 0;
            if (--depth == 0) return at + 1;
        } else if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t')) return at > first ? at : 0;
        at++;
    }
    return depth == 0 && at > first ? at : 0;
}

static int is_field(struct value text, size_t at, size_t end, const char *name) {
    size_t n = length(name);
    if (end - at != n + 2) return 0;
    for (size_t i = 0; i < n; i++)
        if (text.at[at + 1 + i] != name[i]) return 0;
    return 1;
}

int find_field(struct value object, const char *name, struct value *found) {
    size_t at = skip_space(object, 0);
    if (at >= object.n || object.at[at] != '{') return 0;
    for (at++;; at++) {
        size_t key = skip_space(object, at);
        size_t end = skip_string(object, key);
        if (end == 0) return 0;
        at = skip_space(object, end);
        if (at >= object.n || object.at[at] != ':') return 0;
        size_t value = skip_space(object, at + 1);
        at = skip_value(object, value);
        if (at == 0) return 0;
        if (is_field(object, key, end, name)) {
            found->at = object.at + value;
            found->n = at - value;
            return 1;
        }
        at = skip_space(object, at);
        if (at >= object.n || object.at[at] != ',') return 0;
    }
}

int plain_string(struct value value, char *to, size_t max) {
    if (value.n < 2 || value.at[0] != '"' || value.n - 2 >= max) return 0;
    for (size_t i = 0; i < value.n - 2; i++) {
        char c = value.at[i + 1];
        int plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-' || c == '/';
        if (!plain) return 0;
        to[i] = c;
    }
    to[value.n - 2] = 0;
    return 1;
}

int is_object(struct value text) {
    size_t at = skip_space(text, 0);
    if (at >= text.n || text.at[at] != '{') return 0;
    size_t end = skip_value(text, at);
    return end != 0 && skip_space(text, end) == text.n;
}

/* Bytes of the UTF-8 character (RFC 3629) at the start; 0 if they are none. */
static size_t utf8(const unsigned char *at, size_t n) {
    size_t more = at[0] < 0x80 ? 0 : at[0] >= 0xc2 && at[0] < 0xe0 ? 1 : (at[0] & 0xf0) == 0xe0 ? 2 : at[0] >= 0xf0 && at[0] < 0xf5 ? 3 : n;
    if (more >= n) return 0;
    for (size_t i = 1; i <= more; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    /* Forms that are too long, halves of UTF-16 pairs, and numbers beyond the last one. */
    if (at[0] == 0xe0 && at[1] < 0xa0) return 0;
    if (at[0] == 0xed && at[1] >= 0xa0) return 0;
    if (at[0] == 0xf0 && at[1] < 0x90) return 0;
    if (at[0] == 0xf4 && at[1] >= 0x90) return 0;
    return more + 1;
}

void add_string(struct buffer *to, const char *bytes, size_t n) {
    static const char HEX[] = "0123456789abcdef";
    add(to, "\"");
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t wide = utf8((const unsigned char *)bytes + i, n - i);
        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', (char)c};
            add_bytes(to, escaped, 2);
        } else if (c == '\n') {
            add(to, "\\n");
        } else if (c < 0x20) {
            char escaped[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};
            add_bytes(to, escaped, 6);
        } else if (wide == 0) {
            add(to, "?");
        } else {
            add_bytes(to, bytes + i, wide);
        }
        i += wide ? wide : 1;
    }
    add(to, "\"");
}
