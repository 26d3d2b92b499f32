import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rssMegabytes } from "#test/lab/measure.js";
import { Namespace } from "#test/lab/namespace.js";

const REMOVE_MS = 3_000;
const SLEEP = new Int32Array(new SharedArrayBuffer(4));

/**
 * A group of processes (cgroups(7), version 2), with all that they start. The kernel counts its CPU time in nanoseconds by the
 * scheduler, that of ended processes included; no controller is needed for that.
 */
export class ControlGroup {
  readonly folder: string;

  protected constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder);
  }

  below(name: string): ControlGroup {
    return new ControlGroup(join(this.folder, name));
  }

  /** Takes a process with what it starts from now on. */
  add(pid: number): void {
    writeFileSync(join(this.folder, "cgroup.procs"), String(pid));
  }

  /** The same command, which begins by entering this group. */
  command(command: readonly string[]): string[] {
    return ["sh", "-c", `echo $$ >${join(this.folder, "cgroup.procs")} && exec "$@"`, "sh", ...command];
  }

  /** Its processes, without those of groups below it. */
  get pids(): number[] {
    return pidsOf(this.folder);
  }

  /** As {@link pids}, with those of groups below it. */
  get allPids(): number[] {
    return this.#folders().flatMap(pidsOf);
  }

  #folders(folder = this.folder): string[] {
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [folder, ...below.flatMap(({ name }) => this.#folders(join(folder, name)))];
  }

  /** CPU time of all its processes until now, and of groups below it, in seconds. */
  get cpuSeconds(): number {
    return microseconds(readFileSync(join(this.folder, "cpu.stat"), "utf8")) / 1e6;
  }

  /** Resident memory of all its processes in MB; what two of them share counts twice, as in ps(1). */
  get rssMegabytes(): number {
    return this.pids.reduce((sum, pid) => sum + rssMegabytes(pid), 0);
  }

  /** Ends its processes, and removes it with the groups below it. Without a wait for events: also a program that ends can call it. */
  remove(): void {
    if (!existsSync(this.folder)) return;
    for (const folder of this.#folders().reverse()) removeFolder(folder);
  }
}

const pidsOf = (folder: string): number[] => {
  const lines = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n");
  return lines.filter((line) => line !== "").map(Number);
};

/** @throws Error: a process does not end */
function removeFolder(folder: string): void {
  for (const end = performance.now() + REMOVE_MS; ; Atomics.wait(SLEEP, 0, 0, 20)) {
    for (const pid of pidsOf(folder)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      // Its last process is still ending.
      if (performance.now() > end) throw error;
    }
  }
}

/** The group of this process itself. */
export class OwnGroup extends ControlGroup {
  readonly #before: string;

  /**
   * Makes a group directly below the root, and moves this process into it.
   *
   * @throws Error: this machine has no hierarchy of version 2
   */
  constructor(name: string) {
    const mount = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .find(([, , type]) => type === "cgroup2")?.[1];
    if (mount === undefined) throw new Error("no cgroup2 is mounted, by which the bench counts CPU time");
    const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "/";
    super(join(mount, name));
    this.#before = join(mount, path);
    this.add(process.pid);
  }

  /** This process returns to where it was; all others end. */
  override remove(): void {
    if (!existsSync(this.folder)) return;
    writeFileSync(join(this.#before, "cgroup.procs"), String(process.pid));
    super.remove();
  }
}

/** `usage_usec` of a file cpu.stat. @throws Error when it has none */
export function microseconds(cpuStat: string): number {
  const [, value] = /^usage_usec (\d+)$/m.exec(cpuStat) ?? [];
  if (value === undefined) throw new Error(`cpu.stat without usage_usec: ${cpuStat.slice(0, 80)}`);
  return Number(value);
}

/** A network namespace whose programs run in a group. */
export class GroupedNamespace extends Namespace {
  readonly #group: ControlGroup;

  constructor(namespace: Namespace, group: ControlGroup) {
    super(namespace.ns);
    this.#group = group;
  }

  protected override get enter(): readonly string[] {
    return this.#group.command(["ip", "netns", "exec", this.ns]);
  }
}
