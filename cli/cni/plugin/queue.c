#include "queue.h"

#include "router.h"

#define PATH_MAX 4096
/* More containers than a host runs. */
#define RELEASES_MAX 1024

/* FNV-1a, 64 bits. */
static unsigned long hash(const struct buffer *body) {
    unsigned long value = 0xcbf29ce484222325UL;
    for (size_t i = 0; i < body->n; i++) value = (value ^ (unsigned char)body->at[i]) * 0x100000001b3UL;
    return value;
}

/* struct linux_dirent64 (getdents64(2)). */
struct entry {
    unsigned long inode, offset;
    unsigned short bytes;
    unsigned char type;
    char name[];
};

/* Counts the files of a folder whose names do not begin with a dot. */
static long count_files(long folder) {
    static char entries[32 * KB] __attribute__((aligned(8)));
    long count = 0;
    for (;;) {
        long n = system_call(__NR_getdents64, folder, (long)entries, sizeof entries, 0, 0);
        if (n < 0) return n;
        if (n == 0) return count;
        for (long at = 0; at < n;) {
            struct entry *each = (struct entry *)(entries + at);
            if (each->name[0] != '.') count++;
            at += each->bytes;
        }
    }
}

/* Makes a folder that may exist. */
static long make_folder(const char *path, int mode) {
    long made = system_call(__NR_mkdirat, AT_FDCWD, (long)path, mode, 0, 0);
    return made == -EEXIST ? 0 : made;
}

static long open_folder(void) {
    static char path[PATH_MAX];
    if (!run_path(path, sizeof path, "")) return -ENAMETOOLONG;
    long made = make_folder(path, 0755);
    if (made < 0) return made;
    if (!run_path(path, sizeof path, "/cni-releases")) return -ENAMETOOLONG;
    made = make_folder(path, 0700);
    return made < 0 ? made : system_call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0);
}

/* Writes a new file with its content on disk. */
static long write_file(long folder, const char *name, const struct buffer *body) {
    long fd = system_call(__NR_openat, folder, (long)name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600, 0);
    if (fd < 0) return fd;
    long written = write_all((int)fd, body->at, body->n);
    if (written == 0) written = system_call(__NR_fsync, fd, 0, 0, 0, 0);
    long closed = system_call(__NR_close, fd, 0, 0, 0, 0);
    return written < 0 ? written : closed;
}

long queue_release(const char *kind, const struct buffer *body) {
    static const char HEX[] = "0123456789abcdef";
    char name_bytes[32], partial_bytes[48];
    struct buffer name = {name_bytes, 0, sizeof name_bytes, 0}, partial = {partial_bytes, 0, sizeof partial_bytes, 0};
    unsigned long value = hash(body);
    for (int shift = 60; shift >= 0; shift -= 4) add_bytes(&name, HEX + (value >> shift & 15), 1);
    add(&name, ".");
    add(&name, kind);
    terminate(&name);
    add(&partial, ".");
    add_number(&partial, (unsigned long)system_call(__NR_getpid, 0, 0, 0, 0, 0));
    terminate(&partial);
    long folder = open_folder();
    if (folder < 0) return folder;
    long result = count_files(folder);
    if (result >= RELEASES_MAX && system_call(__NR_faccessat, folder, (long)name.at, 0, 0, 0) != 0) result = -ENOSPC;
    if (result >= 0) {
        result = write_file(folder, partial.at, body);
        if (result == 0) result = system_call(__NR_renameat2, folder, (long)partial.at, folder, (long)name.at, 0);
        if (result < 0) system_call(__NR_unlinkat, folder, (long)partial.at, 0, 0, 0);
        else system_call(__NR_fsync, folder, 0, 0, 0, 0);
    }
    system_call(__NR_close, folder, 0, 0, 0, 0);
    return result;
}
