import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";
import { slowLaunch } from "./slow-launch.js";
import { checksumErrors, transfer } from "./transfer.js";

/** Not every kernel has VLAN interfaces; segments with tags are tested without one in test/unit/router/super-frame.test.ts. */
export const vlans = (() => {
  // Not on the loopback interface, which takes none on any kernel.
  const probe = "ip link add weave-probe type bridge && ip link add link weave-probe name weave-vlan type vlan id 7";
  const made = spawnSync("sh", ["-c", probe]);
  spawnSync("ip", ["link", "delete", "weave-probe"]);
  return made.status === 0;
})();

/** Two hosts with a container each, connected, which reach each other by IPv4, IPv6 and, if there are such, in a VLAN. */
export class Pair {
  readonly lab: Lab;
  readonly h1: Host;
  readonly h2: Host;
  c1!: Namespace;
  c2!: Namespace;

  private constructor(lab: Lab) {
    this.lab = lab;
    [this.h1, this.h2] = lab.hosts;
  }

  /** @param options.isSlow whether routers may take minutes to start */
  static async create(
    options: { mtu?: number; launch?: readonly string[]; launch2?: readonly string[]; isSlow?: boolean } = {},
  ): Promise<Pair> {
    const { launch = [], launch2 = launch, isSlow = false } = options;
    const start = (host: Host, args: readonly string[]) => (isSlow ? slowLaunch(host, ...args) : host.launch(...args));
    const pair = new Pair(await Lab.create(2, options));
    try {
      await start(pair.h1, launch);
      await start(pair.h2, launch2);
      pair.c1 = await pair.h1.attach("c", "10.32.0.1/12");
      pair.c2 = await pair.h2.attach("c", "10.32.0.2/12");
      for (const [i, container] of [pair.c1, pair.c2].entries()) {
        await container.must("ip", "address", "add", `fd00::${i + 1}/64`, "dev", "ethwe", "nodad");
        if (!vlans) continue;
        await container.must("ip", "link", "add", "link", "ethwe", "name", "tagged", "type", "vlan", "id", "7");
        await container.must("ip", "link", "set", "tagged", "up");
        await container.must("ip", "address", "add", `10.48.0.${i + 1}/24`, "dev", "tagged");
      }
      await pair.h2.ok("connect", pair.h1.address);
      await pair.reached(isSlow ? 120 : undefined);
      return pair;
    } catch (error) {
      await pair.lab.dispose();
      throw error;
    }
  }

  async reached(seconds = 15): Promise<void> {
    const answered = async () => (await this.c1.ping("10.32.0.2", { count: 1, wait: 0.5 })) === 1;
    await until("a ping is answered", answered, seconds * 1_000);
  }

  /** Sends `bytes` each way by IPv4 and by IPv6, and some in the VLAN. */
  async carries(bytes: number): Promise<void> {
    await transfer(this.c1, this.c2, "10.32.0.2", bytes);
    await transfer(this.c2, this.c1, "fd00::1", bytes);
    if (vlans) await transfer(this.c1, this.c2, "10.48.0.2", Math.ceil(bytes / 4));
    for (const container of [this.c1, this.c2]) assert.equal(await checksumErrors(container), 0);
  }

  async drops(host: Host): Promise<Record<string, number>> {
    return JSON.parse(await host.report("{{json .Router.Drops}}"));
  }

  connections(host: Host): Promise<string> {
    return host.ok("status", "connections");
  }
}
