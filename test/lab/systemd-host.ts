import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Host, type HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { execute, type Result } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";

const project = new URL("../../../", import.meta.url).pathname;
const script = (name: string) => join(project, "test/lab", name);
/** Folder of the root file system with these packages beside those that systemd needs. */
const rootOf = (packages: readonly string[]) => join(project, ["build/cache/bookworm-systemd", ...packages].join("+"));
const BOOT_MS = 60_000;
/** The first debootstrap fetches 100 MB. */
const ROOT_MS = 600_000;

/** Nothing of this machine's environment reaches the host. */
const ENVIRONMENT = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"];

/** A host whose first process is a real systemd: Debian 12 in namespaces of its own, on the lab's wire. */
export class SystemdHost extends Host {
  #outer: ChildProcess | undefined;
  /** Of its systemd, as this machine counts. */
  #pid = 0;
  readonly #root: string;

  /** @param root folder of the root file system of all hosts, which is only read */
  constructor(options: HostOptions, root = rootOf([])) {
    // It has a file system of its own: all is where users have it.
    super({ ...options, environment: {} });
    this.weaveCommand = ["weave"];
    this.#root = root;
  }

  protected override get enter(): readonly string[] {
    return ["nsenter", "-t", String(this.#pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", ...ENVIRONMENT];
  }

  override runWith(env: NodeJS.ProcessEnv, ...command: string[]): Promise<Result> {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return super.runWith({}, ...(variables.length > 0 ? ["env", ...variables, ...command] : command));
  }

  /** A path of the host's, as this machine finds it; also before the first boot, for files that the boot shall find. */
  path(path: string): string {
    return this.#pid === 0 ? join(this.folder, "upper", path) : `/proc/${this.#pid}/root${path}`;
  }

  override get runDir(): string {
    return this.path("/run/weave");
  }

  /** Boots, and waits until systemd has started all it wants to. @returns its state: running or degraded */
  async boot(): Promise<string> {
    const command = [`--net=/run/netns/${this.ns}`, "--", script("systemd-host.sh"), this.#root, this.folder, this.ns];
    this.#outer = spawn("nsenter", command, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    this.#outer.stderr!.on("data", (text) => {
      errors += text;
    });
    const deadline = Date.now() + BOOT_MS;
    for (;;) {
      if (this.#outer.exitCode !== null) throw new Error(`${this.name} did not boot: ${errors}`);
      this.#pid = this.#init();
      if (this.#pid !== 0) {
        const state = (await this.run("systemctl", "is-system-running")).stdout.trim();
        if (state === "running" || state === "degraded") return state;
      }
      if (Date.now() > deadline) throw new Error(`${this.name} did not boot in time: ${errors}`);
      await sleep(100);
    }
  }

  /** The host loses power, or shuts down in order, and boots again: only what is on disk is left. */
  async reboot({ power = false } = {}): Promise<string> {
    const gone = new Promise((resolve) => this.#outer!.once("exit", resolve));
    if (power) process.kill(this.#pid, "SIGKILL");
    else await this.run("systemctl", "poweroff");
    const late = setTimeout(() => process.kill(this.#pid, "SIGKILL"), BOOT_MS);
    await gone;
    clearTimeout(late);
    this.#pid = 0;
    return this.boot();
  }

  /** The process that the scripts have become; 0 before. */
  #init(): number {
    try {
      const outer = this.#outer!.pid;
      const [child] = readFileSync(`/proc/${outer}/task/${outer}/children`, "utf8").trim().split(" ");
      return /systemd|init/.test(readFileSync(`/proc/${child}/comm`, "utf8")) ? Number(child) : 0;
    } catch {
      return 0;
    }
  }

  /** A property of a unit. */
  async property(unit: string, name: string): Promise<string> {
    return (await this.must("systemctl", "show", unit, `--property=${name}`, "--value")).trim();
  }

  journal(unit = "weave"): Promise<string> {
    return this.must("journalctl", "--unit", unit, "--no-pager", "--output", "cat");
  }

  // What the host's own files call a process is another one on this machine.
  override get routerPid(): undefined {
    return undefined;
  }

  override get supervisorPid(): undefined {
    return undefined;
  }

  /** All processes of the host end with its first one. */
  override end(): void {
    if (this.#pid !== 0) {
      try {
        process.kill(this.#pid, "SIGKILL");
      } catch {
        // Gone already.
      }
    }
    this.#outer?.kill("SIGKILL");
    this.#removeCgroups();
  }

  #removeCgroups(): void {
    const tops = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map((tree) => `${tree}/${this.ns}-systemd`);
    // The kernel takes a moment to end all processes; only then can their cgroups go.
    for (const top of tops)
      for (let tries = 0; tries < 50 && existsSync(top); tries++) {
        for (const folder of [...foldersBelow(top), top]) {
          try {
            rmdirSync(folder);
          } catch {
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
          }
        }
      }
  }
}

/** All folders below one, the deepest first. */
const foldersBelow = (top: string): string[] =>
  readdirSync(top, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => [...foldersBelow(join(top, entry.name)), join(top, entry.name)]);

/**
 * Makes the file system that hosts begin with, unless it is there.
 *
 * @param packages of Debian, beside those that systemd needs
 * @returns its folder
 */
export async function makeSystemdRoot(packages: readonly string[] = []): Promise<string> {
  const root = rootOf(packages);
  const made = await execute(script("systemd-root.sh"), [root, ...packages], {}, ROOT_MS);
  if (made.code !== 0) throw new Error(`the root file system could not be made: ${made.stderr}`);
  return root;
}

/**
 * A test on hosts with systemd, which are gone afterwards; skipped with its reason where that is impossible.
 *
 * @param prepare puts files on each host before its first boot
 */
export function systemdTest(
  name: string,
  { hosts: count, timeout, packages = [], prepare = async () => {} }: SystemdTestOptions,
  run: (lab: Lab<SystemdHost>) => Promise<void>,
): void {
  const skip = hostTestsImpossible() ?? programMissing("debootstrap", "debootstrap") ?? false;
  test(name, { skip, timeout: timeout + ROOT_MS }, async () => {
    const root = await makeSystemdRoot(packages);
    const lab = await Lab.createWith(count, (options) => new SystemdHost(options, root));
    try {
      await Promise.all(
        lab.hosts.map(async (host) => {
          await prepare(host);
          await host.boot();
        }),
      );
      await run(lab);
    } finally {
      await lab.dispose();
    }
  });
}

export interface SystemdTestOptions {
  readonly hosts: number;
  /** Milliseconds, without the time in which the root file system is made. */
  readonly timeout: number;
  /** Packages of Debian that the hosts have, too. */
  readonly packages?: readonly string[];
  readonly prepare?: (host: SystemdHost) => Promise<void>;
}
