import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { WeaveError } from "#src/errors.js";
import { run } from "#src/linux/exec.js";
import { closeFd } from "#src/linux/native/files.js";
import { inNamespace, makeNamespace, openNamespace } from "#src/linux/native/namespace-entry.js";
import { isNetnsFile, namedNetns } from "#src/linux/netns/netns.js";
import { paths } from "#src/paths.js";
import { startTime } from "#src/process-start.js";

const NAME = "weave-tunnel";
/** File in the run folder with the holder's process id and start time. */
const HOLDER_FILE = "tunnel-holder";
/** 68 years: BusyBox's sleep knows no "infinity" everywhere. */
const HOLDER_SECONDS = 0x7fff_ffff;
const STANDARD_RUN_FOLDER = paths({}).run;

/** The name of the namespace of a router, by its run folder: several routers of one machine have one each. */
export function tunnelNamespaceName(runFolder: string): string {
  if (runFolder === STANDARD_RUN_FOLDER) return NAME;
  return `${NAME}-${createHash("sha256").update(runFolder).digest("hex").slice(0, 8)}`;
}

/**
 * The network namespace of the tunnels: WireGuard and the socket of its VXLAN device are in it, and nothing else. No address of it is one
 * of the host's, and no program of the host reaches the socket: what arrives there has come through WireGuard.
 *
 * A process that does nothing holds it, so that it outlives the router. systemd ends that process with the unit, and a container's engine
 * with the container: there `weave launch` gives it a name ({@link nameTunnelNamespace}), as mount(2) is denied to the router. A router that
 * starts finds either again.
 */
export class TunnelNamespace {
  readonly name: string;
  /** A descriptor, open until {@link close}. */
  readonly fd: number;
  readonly #runFolder: string;
  readonly #inode: number;

  private constructor(name: string, runFolder: string, fd: number) {
    this.name = name;
    this.#runFolder = runFolder;
    this.fd = fd;
    this.#inode = statSync(`/proc/self/fd/${fd}`).ino;
  }

  /** Finds the namespace of an earlier process, or makes one that something holds. @throws WEAVE_NAMESPACE, WEAVE_FILE */
  static ensure(runFolder: string): TunnelNamespace {
    const name = tunnelNamespaceName(runFolder);
    const path = findTunnelNamespace(runFolder);
    const namespace = new TunnelNamespace(name, runFolder, path === undefined ? makeNamespace() : openNamespace(path));
    try {
      namespace.hold();
    } catch (error) {
      namespace.close();
      throw error;
    }
    return namespace;
  }

  /** What keeps the namespace when the router ends; undefined: nothing, see {@link hold}. */
  get heldBy(): "name" | "process" | undefined {
    const named = namedNetns(this.name);
    if (isNetnsFile(named) && inodeOf(named) === this.#inode) return "name";
    const holder = readHolder(this.#runFolder);
    return holder !== undefined && inodeOf(`/proc/${holder}/ns/net`) === this.#inode ? "process" : undefined;
  }

  /** Has a process hold the namespace, if nothing does. @throws WEAVE_NAMESPACE, WEAVE_FILE */
  hold(): void {
    if (this.heldBy !== undefined) return;
    endTunnelHolder(this.#runFolder);
    // Its environment has no password of ours, and its folder keeps no file system mounted.
    const env = { PATH: `${process.env.PATH ?? ""}:/usr/bin:/bin` };
    const holder = inNamespace(this.fd, () =>
      spawn("sleep", [String(HOLDER_SECONDS)], { cwd: "/", detached: true, env, stdio: "ignore" }),
    );
    // A program that cannot be run has no process; the error event comes later.
    holder.on("error", () => {});
    holder.unref();
    const started = holder.pid === undefined ? undefined : startTime(holder.pid);
    if (started === undefined)
      throw new WeaveError(
        "WEAVE_NAMESPACE",
        "no process can hold the network namespace of the tunnels: there is no 'sleep'",
      );
    const file = holderFile(this.#runFolder);
    try {
      writeFileSync(file, `${holder.pid} ${started}\n`, { mode: 0o600 });
    } catch (cause) {
      holder.kill("SIGKILL");
      throw new WeaveError("WEAVE_FILE", `cannot write ${file}`, { cause });
    }
  }

  /** Closes the descriptor. Name or process keep the namespace. */
  close(): void {
    closeFd(this.fd);
  }
}

/** The path of the namespace of an earlier process; undefined if there is none. */
export function findTunnelNamespace(runFolder: string): string | undefined {
  const named = namedNetns(tunnelNamespaceName(runFolder));
  if (isNetnsFile(named)) return named;
  const holder = readHolder(runFolder);
  return holder === undefined ? undefined : `/proc/${holder}/ns/net`;
}

/**
 * Gives the namespace a name on the host, which keeps it when all processes of the router are ended; makes it if there is none. To be called
 * as root, by a process that may mount.
 *
 * @throws WEAVE_COMMAND_FAILED
 */
export async function nameTunnelNamespace(runFolder: string): Promise<void> {
  const name = tunnelNamespaceName(runFolder);
  if (isNetnsFile(namedNetns(name))) return;
  const holder = readHolder(runFolder);
  await onHost("ip", "netns", ...(holder === undefined ? ["add", name] : ["attach", name, String(holder)]));
}

/** Removes the namespace with all that is in it, for `weave reset`: to be called as root. @throws WEAVE_COMMAND_FAILED */
export async function removeTunnelNamespace(runFolder: string): Promise<void> {
  endTunnelHolder(runFolder);
  const name = tunnelNamespaceName(runFolder);
  if (!isNetnsFile(namedNetns(name))) return;
  await onHost("ip", "netns", "delete", name);
}

/** Runs a command whose mounts the host's processes see. */
async function onHost(...command: string[]): Promise<void> {
  const [tool, ...args] = isFirstMounts() ? command : ["nsenter", "--mount=/proc/1/ns/mnt", "--", ...command];
  await run(tool, args);
}

const holderFile = (runFolder: string): string => `${runFolder}/${HOLDER_FILE}`;

/** The holder's process id; undefined when it has ended, or another process has its id. */
function readHolder(runFolder: string): number | undefined {
  try {
    const [, pid, started] = /^([1-9]\d{0,9}) (\d{1,20})\n$/.exec(readFileSync(holderFile(runFolder), "utf8")) ?? [];
    return pid !== undefined && startTime(Number(pid)) === started ? Number(pid) : undefined;
  } catch {
    return undefined;
  }
}

/** Ends the process that holds the namespace, if there is one. Without a name the namespace ends with it. */
export function endTunnelHolder(runFolder: string): void {
  const holder = readHolder(runFolder);
  try {
    if (holder !== undefined) process.kill(holder, "SIGKILL");
  } catch {
    // It has ended since.
  }
  rmSync(holderFile(runFolder), { force: true });
}

const isFirstMounts = (): boolean => {
  const first = inodeOf("/proc/1/ns/mnt");
  return first === undefined || first === inodeOf("/proc/self/ns/mnt");
};

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
