import type { ChildProcess } from "node:child_process";
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { Host } from "#test/lab/host.js";

/** Attempts to remove cgroups, and the delay between them in ms. */
const REMOVAL = { tries: 400, delayMs: 25 };

/** A host with a namespace of processes of its own: all of them end with its first one. */
export abstract class BootedHost extends Host {
  /** The program of this machine that has started the first process. */
  protected starter: ChildProcess | undefined;
  /** The first process, as this machine counts; 0 while there is none. */
  protected pid = 0;

  /** The cgroups of the host in each hierarchy, which {@link end} removes. The host still runs. */
  protected abstract get cgroups(): readonly string[];

  /** A path of the host's, as this machine finds it. */
  path(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  override get runDir(): string {
    return this.path("/run/weave");
  }

  // What the host's own files call a process is another one on this machine.
  override get routerPid(): undefined {
    return undefined;
  }

  override get supervisorPid(): undefined {
    return undefined;
  }

  override end(): void {
    // Read while the host's files are there.
    const { cgroups } = this;
    if (this.pid !== 0) {
      try {
        process.kill(this.pid, "SIGKILL");
      } catch {
        // Gone already.
      }
    }
    this.starter?.kill("SIGKILL");
    // The kernel takes a moment to end all processes; only then can their cgroups be removed.
    for (let tries = 0; tries < REMOVAL.tries && !cgroups.every(isRemoved); tries++)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVAL.delayMs);
  }
}

/** Removes a cgroup and all below it. @returns false if processes are left in one */
function isRemoved(top: string): boolean {
  if (!existsSync(top)) return true;
  try {
    for (const folder of [...foldersBelow(top), top]) rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}

/** All folders below one, the deepest first. */
const foldersBelow = (top: string): string[] =>
  readdirSync(top, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [...foldersBelow(join(top, entry.name)), join(top, entry.name)]);
