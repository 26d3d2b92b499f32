import koffi from "koffi";

/**
 * The native functions, bound once. Addresses are JavaScript numbers (`uintptr_t`, below 2^53), the cheapest form in koffi. Only
 * modules of this folder call these functions; they check every address against its memory first.
 */
const lib = koffi.load(null);
const PTR = "uintptr_t";

export const libc = {
  mmap: lib.func("mmap", PTR, [PTR, PTR, "int", "int", "int", PTR]),
  munmap: lib.func("munmap", "int", [PTR, PTR]),
  open: lib.func("open", "int", ["str", "int"]),
  close: lib.func("close", "int", ["int"]),
  read: lib.func("read", "long", ["int", PTR, PTR]),
  write: lib.func("write", "long", ["int", PTR, PTR]),
  writev: lib.func("writev", "long", ["int", PTR, "int"]),
  memmove: lib.func("memmove", PTR, [PTR, PTR, PTR]),
  ioctl: lib.func("ioctl", "int", ["int", "uint32_t", PTR]),
  fcntl: lib.func("fcntl", "int", ["int", "int", PTR]),
  setns: lib.func("setns", "int", ["int", "int"]),
  unshare: lib.func("unshare", "int", ["int"]),
  poll: lib.func("poll", "int", [PTR, "uint32_t", "int"]),
  eventfd: lib.func("eventfd", "int", ["uint32_t", "int"]),
  socket: lib.func("socket", "int", ["int", "int", "int"]),
  interfaceIndex: lib.func("if_nametoindex", "uint32_t", ["str"]),
  bind: lib.func("bind", "int", ["int", PTR, "uint32_t"]),
  setsockopt: lib.func("setsockopt", "int", ["int", "int", "int", PTR, "uint32_t"]),
  getsockopt: lib.func("getsockopt", "int", ["int", "int", "int", PTR, PTR]),
  recvfrom: lib.func("recvfrom", "long", ["int", PTR, PTR, "int", PTR, PTR]),
  sendto: lib.func("sendto", "long", ["int", PTR, PTR, "int", PTR, "uint32_t"]),
  sendmsg: lib.func("sendmsg", "long", ["int", PTR, "int"]),
  recvmsg: lib.func("recvmsg", "long", ["int", PTR, "int"]),
  clock_gettime: lib.func("clock_gettime", "int", ["int", PTR]),
  _exit: lib.func("_exit", "void", ["int"]),
  /** `argv` and `envp` end with null. */
  execve: lib.func("int execve(const char *path, const char **argv, const char **envp)"),
  prctl: lib.func("prctl", "int", ["int", PTR, PTR, PTR, PTR]),
  capset: lib.func("capset", "int", [PTR, PTR]),
  setrlimit: lib.func("setrlimit", "int", ["int", PTR]),
  socketpair: lib.func("socketpair", "int", ["int", "int", "int", PTR]),
  madvise: lib.func("madvise", "int", [PTR, PTR, "int"]),
  mallopt: lib.func("mallopt", "int", ["int", "int"]),
  malloc_trim: lib.func("malloc_trim", "int", [PTR]),
  setpriority: lib.func("setpriority", "int", ["int", "uint32_t", "int"]),
  syscall: lib.func("syscall", "long", ["long", PTR, PTR, PTR, PTR, PTR, PTR]),
  recvmmsg: lib.func("recvmmsg", "int", ["int", PTR, "uint32_t", "int", PTR]),
} as const;

/**
 * OpenSSL's cipher functions, from the Node executable or the shared library that it is linked with. Undefined where the process
 * does not export these symbols.
 */
export const libcrypto = bindCrypto();

function bindCrypto() {
  try {
    return {
      newContext: lib.func("EVP_CIPHER_CTX_new", PTR, []),
      freeContext: lib.func("EVP_CIPHER_CTX_free", "void", [PTR]),
      aes256gcm: lib.func("EVP_aes_256_gcm", PTR, []),
      init: lib.func("EVP_CipherInit_ex", "int", [PTR, PTR, PTR, PTR, PTR, "int"]),
      control: lib.func("EVP_CIPHER_CTX_ctrl", "int", [PTR, "int", "int", PTR]),
      cipher: lib.func("EVP_Cipher", "int", [PTR, PTR, PTR, "uint32_t"]),
    } as const;
  } catch {
    return undefined;
  }
}

/** Returns errno of the last native call. */
export function errno(): number {
  return koffi.errno();
}

/** Makes an ArrayBuffer over native memory. */
export function viewOf(address: number, size: number): ArrayBuffer {
  return koffi.view(BigInt(address), size) as ArrayBuffer;
}

/** Linux errno values that this project distinguishes (asm-generic/errno-base.h, asm-generic/errno.h). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ENOBUFS: 105,
} as const;

const NAMES = new Map<number, string>(Object.entries(Errno).map(([name, value]) => [value, name]));

/** Returns the name of an errno value: `EAGAIN`, or `errno 42` for a value that is not in {@link Errno}. */
export function errnoName(value: number): string {
  return NAMES.get(value) ?? `errno ${value}`;
}
