/*
 * /.weave/w COMMAND ARGS…: waits until the container's interface `ethwe` is ready, then executes COMMAND in its place.
 *
 * It runs in containers of any kind, so it uses no libc, no dynamic linker, no /proc, no /sys and no privileges. The interface is
 * ready when it is up and has the flag IFF_DYNAMIC, which weave sets after addresses and routes. build.sh builds it for every
 * architecture that Docker runs on; programs.ts contains the programs.
 */

#define ETHWE "ethwe"
#define IFF_UP 0x1
#define IFF_DYNAMIC 0x8000
#define SIOCGIFFLAGS 0x8913
#define AF_UNIX 1
#define SOCK_DGRAM 2
#define SOCK_CLOEXEC 02000000
#define ENOENT 2
#define EACCES 13
#define ENOTDIR 20
#define PATH_MAX 4096
/* Interval between checks: short beside the start of a program, long beside the cost of a check. */
#define POLL_NS 2000000

/* A system call by its number, with up to three arguments; returns the negative errno on failure. */
#if defined(__x86_64__)
enum { SYS_write = 1, SYS_ioctl = 16, SYS_nanosleep = 35, SYS_socket = 41, SYS_execve = 59, SYS_exit = 60 };
static long call(long n, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
__asm__(".global _start\n_start:\nxor %ebp,%ebp\nmov %rsp,%rdi\nand $-16,%rsp\ncall begin\n");
#elif defined(__aarch64__)
enum { SYS_ioctl = 29, SYS_write = 64, SYS_exit = 93, SYS_nanosleep = 101, SYS_socket = 198, SYS_execve = 221 };
static long call(long n, long a, long b, long c) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
__asm__(".global _start\n_start:\nmov x29,#0\nmov x0,sp\nand sp,x0,#-16\nb begin\n");
#elif defined(__arm__)
enum { SYS_exit = 1, SYS_write = 4, SYS_execve = 11, SYS_ioctl = 54, SYS_nanosleep = 162, SYS_socket = 281 };
static long call(long n, long a, long b, long c) {
    register long r7 __asm__("r7") = n, r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
    __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
    return r0;
}
__asm__(".arm\n.global _start\n_start:\nmov r0,sp\nbic sp,sp,#7\nb begin\n");
#elif defined(__riscv)
enum { SYS_ioctl = 29, SYS_write = 64, SYS_exit = 93, SYS_nanosleep = 101, SYS_socket = 198, SYS_execve = 221 };
static long call(long n, long a, long b, long c) {
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}
__asm__(".global _start\n_start:\nmv a0,sp\nandi sp,sp,-16\nj begin\n");
#elif defined(__powerpc64__)
enum { SYS_exit = 1, SYS_write = 4, SYS_execve = 11, SYS_ioctl = 54, SYS_nanosleep = 162, SYS_socket = 326 };
static long call(long n, long a, long b, long c) {
    register long r0 __asm__("r0") = n, r3 __asm__("r3") = a, r4 __asm__("r4") = b, r5 __asm__("r5") = c;
    /* The kernel reports an error by a bit of the condition register, with a positive errno. */
    __asm__ volatile("sc\nbns+ 1f\nneg 3,3\n1:"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5)
                     :
                     : "memory", "cr0", "r6", "r7", "r8", "r9", "r10", "r11", "r12");
    return r3;
}
/* The kernel passes the address of _start in r12; the base of all data (r2) is computed from it. */
__asm__(".global _start\n_start:\naddis 2,12,.TOC.-_start@ha\naddi 2,2,.TOC.-_start@l\nmr 3,1\nclrrdi 1,1,4\nli 0,0\nstdu 1,-32(1)\nb begin\n");
#elif defined(__s390x__)
enum { SYS_exit = 1, SYS_write = 4, SYS_execve = 11, SYS_ioctl = 54, SYS_nanosleep = 162, SYS_socket = 359 };
static long call(long n, long a, long b, long c) {
    register long r1 __asm__("r1") = n, r2 __asm__("r2") = a, r3 __asm__("r3") = b, r4 __asm__("r4") = c;
    __asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4) : "memory");
    return r2;
}
__asm__(".global _start\n_start:\nlgr %r2,%r15\naghi %r15,-160\nxc 0(8,%r15),0(%r15)\njg begin\n");
#else
#error "no system calls known for this architecture"
#endif

static unsigned long length(const char *text) {
    unsigned long n = 0;
    while (text[n]) n++;
    return n;
}

static int same(const char *a, const char *b, unsigned long n) {
    while (n && *a == *b) a++, b++, n--;
    return n == 0;
}

static void print_error(const char *text) { call(SYS_write, 2, (long)text, (long)length(text)); }

__attribute__((noreturn)) static void leave(int status) {
    for (;;) call(SYS_exit, status, 0, 0);
}

/* Layout of `struct ifreq` (netdevice(7)): a name of 16 bytes, then the flags; the rest is the size of its largest member. */
struct request {
    char name[16];
    short flags;
    char rest[30];
};

static void wait_for_interface(void) {
    /* The request works on any socket (net/core/dev_ioctl.c). A Unix socket is used because no sandbox forbids it. */
    long fd = call(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    static const struct {
        long seconds, nanoseconds;
    } pause = {0, POLL_NS};
    for (;;) {
        static struct request query = {ETHWE, 0, {0}};
        int wanted = IFF_UP | IFF_DYNAMIC;
        /* Without a socket the interface cannot be checked. A command that starts too early is better than one that never starts. */
        if (fd < 0) return;
        if (call(SYS_ioctl, fd, SIOCGIFFLAGS, (long)&query) == 0 && (query.flags & wanted) == wanted) return;
        call(SYS_nanosleep, (long)&pause, 0, 0);
    }
}

static const char *search_path(char **env) {
    for (; *env; env++)
        if (same(*env, "PATH=", 5)) return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Executes the command in place of this program; searches PATH as execvp(3) does. Returns the negative errno on failure. */
static long execute(char **argv, char **env) {
    static char file[PATH_MAX];
    const char *command = argv[0];
    long worst = -ENOENT;
    for (const char *c = command; *c; c++)
        if (*c == '/') return call(SYS_execve, (long)command, (long)argv, (long)env);
    for (const char *at = search_path(env);; at++) {
        unsigned long n = 0, size = length(command);
        while (*at && *at != ':') {
            if (n < PATH_MAX - 1) file[n] = *at;
            n++, at++;
        }
        if (n + size + 2 <= PATH_MAX) {
            /* An empty part is the working directory. */
            if (n) file[n++] = '/';
            for (unsigned long i = 0; i <= size; i++) file[n + i] = command[i];
            long result = call(SYS_execve, (long)file, (long)argv, (long)env);
            /* The error of a file that was found is more useful than "not found". */
            if (result != -ENOENT && result != -ENOTDIR) worst = result;
            if (worst != -ENOENT && worst != -EACCES) return worst;
        }
        if (!*at) return worst;
    }
}

__attribute__((noreturn, used)) void begin(long *stack) {
    char **argv = (char **)(stack + 1);
    char **env = argv + stack[0] + 1;
    if (stack[0] < 2) {
        print_error("weave: No command specified\n");
        leave(1);
    }
    wait_for_interface();
    long result = execute(argv + 1, env);
    print_error("weave: exec: \"");
    print_error(argv[1]);
    print_error(result == -ENOENT ? "\": executable file not found in $PATH\n" : "\": cannot be executed\n");
    /* The shells' statuses: 127 for a command that is not found, 126 for one that cannot be executed. */
    leave(result == -ENOENT ? 127 : 126);
}
