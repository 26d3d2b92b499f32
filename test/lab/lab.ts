import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Host, type HostOptions } from "#test/lab/host.js";
import { execute, must, Namespace } from "#test/lab/namespace.js";

let labs = 0;

/** Several hosts on one wire, on one machine. Everything has names of its own, and is gone after {@link dispose}. */
export class Lab<H extends Host = Host> {
  readonly folder: string;
  readonly #prefix: string;
  readonly #namespaces: string[] = [];
  readonly hosts: H[] = [];
  readonly #onExit = () => this.#clean();

  private constructor(prefix: string) {
    this.#prefix = prefix;
    this.folder = mkdtempSync(join(tmpdir(), "weave-lab-"));
    // Also when the test itself crashes.
    process.once("exit", this.#onExit);
  }

  /** A wire, and `count` hosts on it: h1 at 10.99.0.1 and so on. */
  static create(count: number, options: { mtu?: number } = {}): Promise<Lab> {
    return Lab.createWith(count, (host) => new Host(host), options);
  }

  /** As {@link create}, with hosts of another kind. */
  static async createWith<H extends Host>(
    count: number,
    make: (options: HostOptions) => H,
    options: { mtu?: number } = {},
  ): Promise<Lab<H>> {
    // Short, as it begins the names of namespaces; its own for each lab, so that what one leaves does not hurt the next.
    const lab = new Lab<H>(`wl${(process.pid % 46_656).toString(36)}${(labs++).toString(36)}`);
    const wire = await lab.#namespace("wire");
    await must("ip", "-n", wire, "link", "add", "wire", "type", "bridge");
    await must("ip", "-n", wire, "link", "set", "wire", "up");
    for (let i = 1; i <= count; i++) await lab.#host(i, wire, options.mtu ?? 1_500, make);
    return lab;
  }

  async #host(index: number, wire: string, mtu: number, make: (options: HostOptions) => H): Promise<void> {
    const name = `h${index}`;
    const ns = await this.#namespace(name);
    const address = `10.99.0.${index}`;
    const [port, device] = [`p${index}`, "eth0"];
    await must(
      "ip",
      "link",
      "add",
      port,
      "netns",
      wire,
      "mtu",
      String(mtu),
      "type",
      "veth",
      "peer",
      "name",
      device,
      "netns",
      ns,
      "mtu",
      String(mtu),
    );
    await must("ip", "-n", wire, "link", "set", port, "master", "wire", "up");
    // Addresses that IPv6 makes by itself, seconds later, would blur what a test compares.
    // Below its smallest MTU (RFC 8200) a link has none, nor the switch for them.
    if (mtu >= 1_280) await must("ip", "netns", "exec", ns, "sysctl", "-qw", `net.ipv6.conf.${device}.disable_ipv6=1`);
    await must("ip", "-n", ns, "link", "set", device, "up");
    await must("ip", "-n", ns, "address", "add", `${address}/24`, "dev", device);
    const folder = join(this.folder, name);
    mkdirSync(folder);
    this.hosts.push(
      make({
        ns,
        name,
        address,
        device,
        folder,
        container: async (label) => new Namespace(await this.#namespace(`${name}${label}`)),
      }),
    );
  }

  async #namespace(label: string): Promise<string> {
    const ns = `${this.#prefix}-${label}`;
    await must("ip", "netns", "add", ns);
    this.#namespaces.push(ns);
    await must("ip", "-n", ns, "link", "set", "lo", "up");
    return ns;
  }

  /** The wire's own namespace, to watch it or to cut it: the port of host n is `pN`. */
  get wire(): Namespace {
    return new Namespace(`${this.#prefix}-wire`);
  }

  /** A container ends. */
  async removeNamespace(ns: string): Promise<void> {
    this.#namespaces.splice(this.#namespaces.indexOf(ns), 1);
    await execute("ip", ["netns", "delete", ns]);
  }

  async dispose(): Promise<void> {
    process.off("exit", this.#onExit);
    for (const host of this.hosts) await host.weave("stop");
    this.#clean();
  }

  #clean(): void {
    for (const host of this.hosts) {
      host.end();
      for (const pid of [host.supervisorPid, host.routerPid]) {
        if (pid !== undefined) process.kill(pid, "SIGKILL");
      }
    }
    for (const ns of this.#namespaces.splice(0)) {
      // Programs of the test that still run in it; they were started by us.
      const pids = spawnSync("ip", ["netns", "pids", ns], { encoding: "utf8" }).stdout ?? "";
      for (const pid of pids.split("\n").filter((line) => line !== "")) {
        try {
          process.kill(Number(pid), "SIGKILL");
        } catch {
          // Gone by itself.
        }
      }
      spawnSync("ip", ["netns", "delete", ns]);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a test in a lab of `count` hosts, which is gone afterwards, whatever happens. */
export async function inLab(
  count: number,
  run: (lab: Lab) => Promise<void>,
  options: { mtu?: number } = {},
): Promise<void> {
  const lab = await Lab.create(count, options);
  try {
    await run(lab);
  } finally {
    await lab.dispose();
  }
}
