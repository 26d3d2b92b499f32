import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BootedHost } from "#test/lab/booted-host.js";
import { ROOT } from "#test/lab/docs/pages.js";
import type { HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { execute, type Result } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";

const script = (name: string) => join(ROOT, "test/lab", name);
/** Folder of the root file system with these packages beside those that systemd needs. */
const rootOf = (packages: readonly string[]) => join(ROOT, ["build/cache/bookworm-systemd", ...packages].join("+"));
/** Limit for a boot. An engine whose router is a container asks for the plugin for up to 37 s first. */
const BOOT_MS = 120_000;
/** The first debootstrap fetches 100 MB. */
const ROOT_MS = 600_000;

/** Nothing of this machine's environment reaches the host. */
const ENVIRONMENT = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"];

/** A host whose first process is a real systemd: Debian 12 in namespaces of its own, on the lab's wire. */
export class SystemdHost extends BootedHost {
  readonly #root: string;

  /** @param root folder of the root file system of all hosts, which is only read */
  constructor(options: HostOptions, root = rootOf([])) {
    // It has a file system of its own: all is where users have it.
    super({ ...options, environment: {} });
    this.weaveCommand = ["weave"];
    this.#root = root;
  }

  protected override get enter(): readonly string[] {
    return ["nsenter", "-t", String(this.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", ...ENVIRONMENT];
  }

  override runWith(env: NodeJS.ProcessEnv, ...command: string[]): Promise<Result> {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return super.runWith({}, ...(variables.length > 0 ? ["env", ...variables, ...command] : command));
  }

  /** Also before the first boot, for files that the boot shall find. */
  override path(path: string): string {
    return this.pid === 0 ? join(this.folder, "upper", path) : super.path(path);
  }

  /** Boots, and waits until systemd has started all it wants to. @returns its state: running or degraded */
  async boot(): Promise<string> {
    const command = [`--net=/run/netns/${this.ns}`, "--", script("systemd-host.sh"), this.#root, this.folder, this.ns];
    this.starter = spawn("nsenter", command, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    this.starter.stderr!.on("data", (text) => {
      errors += text;
    });
    const deadline = Date.now() + BOOT_MS;
    for (;;) {
      if (this.starter.exitCode !== null) throw new Error(`${this.name} did not boot: ${errors}`);
      this.pid = this.#init();
      if (this.pid !== 0) {
        const state = (await this.run("systemctl", "is-system-running")).stdout.trim();
        if (state === "running" || state === "degraded") return state;
      }
      if (Date.now() > deadline) throw new Error(`${this.name} did not boot in time: ${errors}`);
      await sleep(100);
    }
  }

  /** The host loses power, or shuts down in order, and boots again: only what is on disk is left. */
  async reboot({ power = false } = {}): Promise<string> {
    const gone = new Promise((resolve) => this.starter!.once("exit", resolve));
    if (power) process.kill(this.pid, "SIGKILL");
    else await this.run("systemctl", "poweroff");
    const late = setTimeout(() => process.kill(this.pid, "SIGKILL"), BOOT_MS);
    await gone;
    clearTimeout(late);
    this.pid = 0;
    return this.boot();
  }

  /** The process that the scripts have become; 0 before. */
  #init(): number {
    try {
      const starter = this.starter!.pid;
      const [child] = readFileSync(`/proc/${starter}/task/${starter}/children`, "utf8").trim().split(" ");
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

  protected override get cgroups(): readonly string[] {
    return ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map((tree) => `${tree}/${this.ns}-systemd`);
  }
}

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
