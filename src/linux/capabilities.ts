/**
 * The capabilities that a router keeps, each with the test or reason that needs it: the one list for all kinds of processes. Its copies are
 * in packaging/systemd/weave.service and packaging/plugin/config.json (test/unit/src/linux/capabilities.test.ts compares them).
 */
export const ROUTER_CAPABILITIES = {
  CHOWN: { number: 0, reason: "the proxy's socket gets the owner and group of Docker's" },
  DAC_OVERRIDE: { number: 1, reason: "hosts files and sockets in folders of other users" },
  FOWNER: { number: 3, reason: "modes of these files" },
  NET_BIND_SERVICE: { number: 10, reason: "weaveDNS answers on port 53" },
  NET_ADMIN: { number: 12, reason: "interfaces, routes, firewall, kernel parameters, sizes of socket buffers" },
  NET_RAW: { number: 13, reason: "announcements of addresses by ARP, captures, the firewall's tables by iptables" },
  SYS_PTRACE: { number: 19, reason: "/proc/PID/ns of the processes of other users" },
  SYS_ADMIN: { number: 21, reason: "entering network namespaces (setns), making that of the tunnels (unshare)" },
  SYS_NICE: { number: 23, reason: "priority of the frame path (--datapath-nice)" },
} as const;

const ALL_NAMES = [
  ...["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"],
  ...["LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"],
  ...["SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"],
  ...["SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"],
  ...["MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"],
  "CHECKPOINT_RESTORE",
];
export const SETPCAP = 8;

/** A set of capabilities: bit n is capability n (linux/capability.h). */
export type CapabilitySet = bigint;

/** The set of {@link ROUTER_CAPABILITIES}. */
export const KEPT: CapabilitySet = Object.values(ROUTER_CAPABILITIES).reduce(
  (set, { number }) => set | (1n << BigInt(number)),
  0n,
);

/** The numbers in a set. */
export function capabilityNumbers(set: CapabilitySet): number[] {
  const numbers: number[] = [];
  for (let number = 0; set >> BigInt(number) > 0n; number++) if ((set >> BigInt(number)) & 1n) numbers.push(number);
  return numbers;
}

/** The names in a set, without `CAP_`. A capability of a newer kernel has its number as name. */
export const capabilityNames = (set: CapabilitySet): string[] =>
  capabilityNumbers(set).map((number) => ALL_NAMES[number] ?? `${number}`);
