import { WeaveError } from "#src/errors.js";
import { Errno, errno, errnoName, libc } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";

/**
 * A filter of system calls (seccomp(2)) for the router and the programs that it starts: `ip`, `nft`, `iptables`, `nsenter`, `conntrack`.
 *
 * It denies what none of them ever needs, and what would turn a router that is taken over into one that rules the host's kernel, its
 * processes or its file systems. A list of what is allowed would break with each version of Node, glibc or a program of the host;
 * weave.service has one of systemd (SystemCallFilter=), beside this.
 */

/** A system call by its numbers on x86-64 and arm64 (asm/unistd_64.h, asm-generic/unistd.h); undefined: the architecture has none. */
type Numbers = readonly [x64: number | undefined, arm64: number | undefined];

/** What is denied, by the reason. */
export const DENIED: Readonly<Record<string, Readonly<Record<string, Numbers>>>> = {
  "code in the kernel": {
    kexec_load: [246, 104],
    kexec_file_load: [320, 294],
    init_module: [175, 105],
    finit_module: [313, 273],
    delete_module: [176, 106],
    create_module: [174, undefined],
    query_module: [178, undefined],
    get_kernel_syms: [177, undefined],
    bpf: [321, 280],
  },
  "memory and descriptors of other processes": {
    ptrace: [101, 117],
    process_vm_readv: [310, 270],
    process_vm_writev: [311, 271],
    process_madvise: [440, 440],
    pidfd_getfd: [438, 438],
    kcmp: [312, 272],
  },
  // The rest of a mount namespace, chroot and file handles leave a container or a read-only file system.
  "mounts, roots and file handles": {
    mount: [165, 40],
    umount2: [166, 39],
    pivot_root: [155, 41],
    chroot: [161, 51],
    open_tree: [428, 428],
    move_mount: [429, 429],
    fsopen: [430, 430],
    fsconfig: [431, 431],
    fsmount: [432, 432],
    fspick: [433, 433],
    mount_setattr: [442, 442],
    open_by_handle_at: [304, 265],
    fanotify_init: [300, 262],
  },
  "keys of the kernel": { add_key: [248, 217], request_key: [249, 218], keyctl: [250, 219] },
  // CAP_SYS_NICE is kept for the nice values of frame threads. A real-time policy would take a core from the host.
  "real-time policies": { sched_setscheduler: [144, 119], sched_setparam: [142, 118] },
  // userfaultfd and perf events serve exploits of the kernel; io_uring does calls that no filter sees.
  "surface of the kernel": {
    userfaultfd: [323, 282],
    perf_event_open: [298, 241],
    io_uring_setup: [425, 425],
    lookup_dcookie: [212, 18],
    nfsservctl: [180, 42],
    uselib: [134, undefined],
    _sysctl: [156, undefined],
    modify_ldt: [154, undefined],
    personality: [135, 92],
  },
  "the machine": {
    reboot: [169, 142],
    swapon: [167, 224],
    swapoff: [168, 225],
    settimeofday: [164, 170],
    clock_settime: [227, 112],
    clock_adjtime: [305, 266],
    adjtimex: [159, 171],
    iopl: [172, undefined],
    ioperm: [173, undefined],
    syslog: [103, 116],
    acct: [163, 89],
    quotactl: [179, 60],
    quotactl_fd: [443, 443],
    vhangup: [153, 58],
  },
};

/**
 * What is denied when the frame threads have started. They request their time slice by sched_setattr(2), whose policy is in memory, which
 * a filter cannot read.
 */
export const DENIED_AFTER_START: typeof DENIED = { "real-time policies": { sched_setattr: [314, 274] } };

/** The calls of the frame path and the event loop. A kernel before 5.11 runs the filter for each call: these end it first. */
const FREQUENT: readonly Numbers[] = [
  [46, 211], // sendmsg
  [47, 212], // recvmsg
  [299, 243], // recvmmsg
  [0, 63], // read
  [1, 64], // write
  [20, 66], // writev
  [7, 73], // poll, ppoll
  [202, 98], // futex
  [281, 22], // epoll_pwait
];

/** Calls that are allowed for network namespaces alone, with the argument that has the flags. */
const CLONE: Numbers = [56, 220];
const UNSHARE: Numbers = [272, 97];
const SETNS: Numbers = [308, 268];
/** Its flags are in memory, which a filter cannot read. glibc falls back to clone when it does not exist. */
const CLONE3: Numbers = [435, 435];
// linux/sched.h
const CLONE_NEWNET = 0x4000_0000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID. */
const OTHER_NAMESPACES = 0x3e02_0000;
/** CLONE_NEWTIME; in clone(2) the bit belongs to the signal. */
const CLONE_NEWTIME = 0x80;

// linux/audit.h
const ARCHITECTURES = { x64: 0xc000_003e, arm64: 0xc000_00b7 } as const;
type Architecture = keyof typeof ARCHITECTURES;
/** Numbers from here on are calls of x86-64's second interface (x32). */
const X32 = 0x4000_0000;

// linux/seccomp.h: struct seccomp_data is { int nr; u32 arch; u64 instruction_pointer; u64 args[6] }, here little-endian.
const AT_NUMBER = 0;
const AT_ARCH = 4;
const AT_ARGUMENTS = 16;
const RETURN_ALLOW = 0x7fff_0000;
const RETURN_ERRNO = 0x0005_0000;
const ENOSYS = 38;

// linux/bpf_common.h: loads of a word at a fixed offset, jumps that compare with a constant, return of a constant.
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** An instruction: code, jump if true, jump if false, constant. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

type Label = "allow" | "deny" | "absent" | "clone" | "unshare" | "setns";

/** Makes the filter of an architecture. @param denied the calls that it denies, beside those about namespaces */
export function seccompProgram(arch: Architecture, denied = DENIED): Instruction[] {
  const numbersOf = (calls: readonly Numbers[]) =>
    calls.map(([x64, arm64]) => (arch === "x64" ? x64 : arm64)).filter((number) => number !== undefined);
  const program: (readonly [code: number, k: number, ifTrue?: Label])[] = [];
  const labels = new Map<Label, number>();
  const jumpTo = (label: Label, calls: readonly Numbers[]) => {
    for (const number of numbersOf(calls)) program.push([JUMP_EQUAL, number, label]);
  };
  const at = (label: Label, ...instructions: typeof program) => {
    labels.set(label, program.length);
    program.push(...instructions);
  };
  const argument = (index: number) => [LOAD, AT_ARGUMENTS + 8 * index] as const;
  const answer = (value: number) => [RETURN, value] as const;
  program.push([LOAD, AT_NUMBER]);
  if (arch === "x64") program.push([JUMP_GREATER_EQUAL, X32, "deny"]);
  jumpTo("allow", FREQUENT);
  for (const calls of Object.values(denied)) jumpTo("deny", Object.values(calls));
  jumpTo("absent", [CLONE3]);
  jumpTo("clone", [CLONE]);
  jumpTo("unshare", [UNSHARE]);
  jumpTo("setns", [SETNS]);
  at("allow", answer(RETURN_ALLOW));
  at("deny", answer(RETURN_ERRNO | Errno.EPERM));
  at("absent", answer(RETURN_ERRNO | ENOSYS));
  const allow = answer(RETURN_ALLOW);
  const deny = answer(RETURN_ERRNO | Errno.EPERM);
  // Backward jumps do not exist: each branch ends with answers of its own.
  at("clone", argument(0), [JUMP_SET, OTHER_NAMESPACES], allow, deny);
  at("unshare", argument(0), [JUMP_SET, OTHER_NAMESPACES | CLONE_NEWTIME], allow, deny);
  at("setns", argument(1), [JUMP_EQUAL, CLONE_NEWNET], deny, allow);
  const body = program.map(([code, k, label], index): Instruction => {
    if (code !== JUMP_EQUAL && code !== JUMP_GREATER_EQUAL && code !== JUMP_SET) return [code, 0, 0, k];
    // Without a label: over the next instruction.
    return [code, label === undefined ? 1 : labels.get(label)! - index - 1, 0, k];
  });
  return [
    [LOAD, 0, 0, AT_ARCH],
    [JUMP_EQUAL, 1, 0, ARCHITECTURES[arch]],
    [RETURN, 0, 0, RETURN_ERRNO | Errno.EPERM],
    ...body,
  ];
}

const SYS_SECCOMP = { x64: 317, arm64: 277 } as const;
const SET_MODE_FILTER = 1;
/** The filter is for all threads of the process. */
const FLAG_TSYNC = 1;
/** Without it, kernels before 5.16 turn off speculation for the process, which makes it slower (Linux 4.17). */
const FLAG_SPEC_ALLOW = 4;
const INSTRUCTION_BYTES = 8;

/**
 * Installs a filter for all threads of this process, and for the programs that it starts, beside those that it has. The process must have
 * no_new_privs.
 *
 * @param denied the calls that it denies
 * @throws WEAVE_NATIVE with the reason when the kernel refuses
 */
export function installSeccompFilter(denied = DENIED): void {
  const arch = process.arch;
  if (arch !== "x64" && arch !== "arm64")
    throw new WeaveError("WEAVE_NATIVE", `no filter of system calls for the architecture ${arch}`);
  const program = seccompProgram(arch, denied);
  const memory = new Memory(16 + program.length * INSTRUCTION_BYTES);
  program.forEach(([code, jt, jf, k], index) => {
    const offset = 16 + index * INSTRUCTION_BYTES;
    memory.view.setUint16(offset, code, true);
    memory.view.setUint8(offset + 2, jt);
    memory.view.setUint8(offset + 3, jf);
    memory.view.setUint32(offset + 4, k, true);
  });
  // struct sock_fprog: u16 count, padding, pointer.
  memory.view.setUint16(0, program.length, true);
  memory.pointer(8, 16, program.length * INSTRUCTION_BYTES);
  const install = (flags: number) =>
    Number(libc.syscall(SYS_SECCOMP[arch], SET_MODE_FILTER, flags, memory.at(0, 16), 0, 0, 0));
  let result = install(FLAG_TSYNC | FLAG_SPEC_ALLOW);
  if (result < 0 && errno() === Errno.EINVAL) result = install(FLAG_TSYNC);
  const code = errno();
  memory.free();
  if (result > 0) throw new WeaveError("WEAVE_NATIVE", `thread ${result} has a filter of its own`);
  if (result < 0) throw new WeaveError("WEAVE_NATIVE", `the kernel has no filter of system calls: ${errnoName(code)}`);
}
