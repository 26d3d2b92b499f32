import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ControlGroup, GroupedNamespace } from "#test/bench/control-group.js";
import { Host, type HostOptions } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { must, type Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** What an overlay is measured between. */
export interface Ends {
  readonly from: Namespace;
  readonly to: Namespace;
  /** Of `to`, as `from` reaches it. */
  readonly address: string;
}

/** How long an overlay may take until a ping passes; tinc probes its path for some seconds first. */
const FIRST_PING_MS = 30_000;

/** A host whose programs run in a group: those of the overlay, and the short ones that set it up. */
class GroupedHost extends Host {
  readonly group: ControlGroup;

  constructor(options: HostOptions, group: ControlGroup) {
    super(options);
    this.group = group;
  }

  // First the group: `ip netns exec` mounts another /sys.
  protected override get enter(): readonly string[] {
    return this.group.command(super.enter);
  }
}

/** Two hosts on one wire for one overlay alone: no other one is running meanwhile. */
export class Bed {
  readonly lab: Lab<GroupedHost>;
  /** Programs that measure, and those that keep processors busy. */
  readonly programs: ControlGroup;
  readonly #group: ControlGroup;
  readonly #leftovers: string[] = [];

  private constructor(lab: Lab<GroupedHost>, group: ControlGroup) {
    this.lab = lab;
    this.#group = group;
    this.programs = group.below("programs");
  }

  /** @param group of the benchmark; this one's processes are in groups below it */
  static async create(group: ControlGroup, name: string): Promise<Bed> {
    const own = group.below(name);
    try {
      return new Bed(await Lab.createWith(2, (options) => new GroupedHost(options, own.below(options.name))), own);
    } catch (error) {
      own.remove();
      throw error;
    }
  }

  async dispose(): Promise<void> {
    await this.lab.dispose();
    this.#group.remove();
    for (const path of this.#leftovers) rmSync(path, { force: true });
  }

  /** A file outside of the lab that a program of the overlay makes, and does not remove when it is ended. */
  leaves(path: string): void {
    this.#leftovers.push(path);
  }

  /** Programs of the overlay, for each host. */
  get routers(): readonly ControlGroup[] {
    return this.lab.hosts.map(({ group }) => group);
  }

  /** Starts a program of the overlay on a host. It runs until the bed is disposed of; what it prints is ignored. */
  start(host: Host, ...command: string[]): void {
    const child = host.spawn(command);
    child.stdout!.resume();
    child.stderr!.resume();
  }

  /** A folder for files of a host, below the one of the lab. */
  folder(host: Host): string {
    const folder = join(this.lab.folder, "bench", host.name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** Both ends, where programs that measure are counted as such. Resolves when a ping has been answered. */
  async reached({ from, to, address }: Ends): Promise<Ends> {
    const answered = async () => (await from.ping(address, { count: 1, wait: 0.2 })) === 1;
    await until(`a ping to ${address} is answered`, answered, FIRST_PING_MS);
    return { from: new GroupedNamespace(from, this.programs), to: new GroupedNamespace(to, this.programs), address };
  }
}

/** Whether a program is on the path of root. */
export const found = (program: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${program}`], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  }).status === 0;

/** Two containers on bridges of their own, each with `port` of its host: what every overlay of layer 2 is given. */
export async function bridged(hosts: readonly Host[], mtu: number, port: string): Promise<Ends> {
  const containers: Namespace[] = [];
  for (const [i, host] of hosts.entries()) {
    const container = await host.container("b");
    await host.must("ip", "link", "add", "benchbr", "type", "bridge");
    await host.must("ip", "link", "add", "benchc", "type", "veth", "peer", "name", "eth0", "netns", container.ns);
    for (const name of [port, "benchc"]) await host.must("ip", "link", "set", name, "master", "benchbr", "up");
    await host.must("ip", "link", "set", "benchbr", "up");
    await container.must("ip", "link", "set", "eth0", "mtu", String(mtu), "up");
    await container.must("ip", "address", "add", `10.77.0.${i + 1}/24`, "dev", "eth0");
    containers.push(container);
  }
  return { from: containers[0], to: containers[1], address: "10.77.0.2" };
}

/** The network of host n's container, where an overlay of layer 3 routes. */
export const routedNetwork = (n: number): string => `10.78.${n}.0/24`;

/**
 * Two containers with networks of their own, between which the hosts route: what every overlay of layer 3 is given. With `device` the
 * host's route to the other network leads into it; without, the overlay has made one.
 */
export async function routed(hosts: readonly Host[], mtu: number, device?: (index: number) => string): Promise<Ends> {
  const containers: Namespace[] = [];
  for (const [i, host] of hosts.entries()) {
    const container = await host.container("b");
    const network = `10.78.${i + 1}`;
    await host.must("sysctl", "-qw", "net.ipv4.ip_forward=1");
    await host.must("ip", "link", "add", "benchc", "type", "veth", "peer", "name", "eth0", "netns", container.ns);
    await host.must("ip", "link", "set", "benchc", "mtu", String(mtu), "up");
    await host.must("ip", "address", "add", `${network}.1/24`, "dev", "benchc");
    await container.must("ip", "link", "set", "eth0", "mtu", String(mtu), "up");
    await container.must("ip", "address", "add", `${network}.2/24`, "dev", "eth0");
    await container.must("ip", "route", "add", "default", "via", `${network}.1`);
    if (device !== undefined) await host.must("ip", "route", "add", routedNetwork(2 - i), "dev", device(i));
    containers.push(container);
  }
  return { from: containers[0], to: containers[1], address: "10.78.2.2" };
}

/** Waits until a program has made its interface. */
export const interfaceExists = (host: Host, name: string): Promise<void> =>
  until(`${host.name} has ${name}`, async () => (await host.run("ip", "link", "show", name)).code === 0);

/** Runs a program with a short input. @returns what it prints @throws Error: it failed */
export const fed = (input: string, program: string, ...args: string[]): Promise<string> =>
  must("sh", "-c", 'printf "%s" "$1" | { shift; "$@"; }', "sh", input, program, ...args);
