import { writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { WeaveError } from "#src/errors.js";
import { errno, errnoName, libc } from "#src/linux/native/libc.js";
import { exitNow } from "#src/linux/native/process.js";

// asm-generic/fcntl.h, linux/sched.h
const O_RDONLY_CLOEXEC = 0x80000;
const CLONE_NEWNET = 0x4000_0000;
/** EX_OSERR of sysexits.h. */
const EXIT_STATUS = 71;

/** The namespace of the process, as opened before it was left the first time. */
let home: number | undefined;

/** A network namespace: its path, or a descriptor; undefined: the process's own. */
export type NamespaceRef = string | number | undefined;

/**
 * Calls `work` in a network namespace, on this thread alone: a socket that it makes, or a program that it starts, belongs to that
 * namespace for ever. `work` must end with its call: a promise would go on in the process's own namespace.
 *
 * @throws WEAVE_NAMESPACE when it cannot be entered; what `work` throws
 */
export function inNamespace<Result>(namespace: NamespaceRef, work: () => Result): Result {
  if (namespace === undefined) return work();
  const fd = typeof namespace === "number" ? namespace : openNamespace(namespace);
  try {
    return away(ownNamespace(), () => libc.setns(fd, CLONE_NEWNET), work);
  } finally {
    if (fd !== namespace) libc.close(fd);
  }
}

/**
 * Makes a network namespace.
 *
 * @returns a descriptor, which alone keeps it until something else does: a process, a name
 * @throws WEAVE_NAMESPACE when the kernel refuses
 */
export const makeNamespace = (): number =>
  away(
    ownNamespace(),
    () => libc.unshare(CLONE_NEWNET),
    () => openNamespace(OWN_NAMESPACE),
  );

/**
 * Calls `work` in a new network namespace, on this thread alone, which can be any: no other thread may enter namespaces otherwise. Sockets
 * that it opens keep the namespace.
 *
 * @throws WEAVE_NAMESPACE when the kernel refuses; what `work` throws
 */
export function inNewNamespace<Result>(work: () => Result): Result {
  const back = openNamespace(OWN_NAMESPACE);
  try {
    return away(back, () => libc.unshare(CLONE_NEWNET), work);
  } finally {
    libc.close(back);
  }
}

/** The network namespace of this thread. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** Opens a network namespace: it exists for as long as the descriptor is open. @throws WEAVE_NAMESPACE */
export function openNamespace(path: string): number {
  const fd = libc.open(path, O_RDONLY_CLOEXEC);
  if (fd < 0)
    throw new WeaveError("WEAVE_NAMESPACE", `cannot open the network namespace ${path}: ${errnoName(errno())}`);
  return fd;
}

/** Calls `work` with a descriptor of a namespace, until its promise is settled. @throws WEAVE_NAMESPACE; what `work` throws */
export async function withNamespace<Result>(namespace: NamespaceRef, work: (fd: number) => Promise<Result>) {
  if (typeof namespace === "number") return work(namespace);
  if (namespace === undefined) return work(ownNamespace());
  const fd = openNamespace(namespace);
  try {
    return await work(fd);
  } finally {
    libc.close(fd);
  }
}

/** A descriptor of the process's own namespace, which stays open. @throws WEAVE_NAMESPACE */
function ownNamespace(): number {
  if (!isMainThread) throw new WeaveError("WEAVE_NATIVE", "only the main thread enters network namespaces");
  home ??= openNamespace(OWN_NAMESPACE);
  return home;
}

/** @param back the namespace in which this thread is */
function away<Result>(back: number, leave: () => number, work: () => Result): Result {
  // A process that may not return must not leave.
  if (libc.setns(back, CLONE_NEWNET) < 0 || leave() < 0)
    throw new WeaveError("WEAVE_NAMESPACE", `cannot enter a network namespace: ${errnoName(errno())}`, {
      next: "The router lacks CAP_SYS_ADMIN: a container needs --privileged, or --cap-add SYS_ADMIN beside NET_ADMIN.",
    });
  try {
    return work();
  } finally {
    if (libc.setns(back, CLONE_NEWNET) < 0) stranded();
  }
}

/** Every later socket would be in the wrong namespace. Another start begins in the right one. */
function stranded(): never {
  try {
    writeSync(2, `weave: cannot return to the process's own network namespace: ${errnoName(errno())}\n`);
  } catch {
    // Standard error has no reader.
  }
  exitNow(EXIT_STATUS);
}
