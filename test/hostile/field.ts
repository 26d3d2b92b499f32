import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import type { Lab } from "#test/lab/lab.js";
import { cpuSeconds, rssMegabytes } from "#test/lab/measure.js";
import { Background, type Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

const PROGRAM = new URL("./program.js", import.meta.url).pathname;
const NEWCOMER = new URL("./newcomer.js", import.meta.url).pathname;
/** Connections of an honest newcomer in each round. */
const JOINS = 3;
export const PASSWORD = "hostile-peers-know-this-password";
const MESH_PORT = "6783";
/** Addresses of the attacker. */
const SOURCES = 20;
/** Limit for what honest peers do meanwhile; the machine is busy with the attack itself. */
const HONEST_MS = 30_000;

/** What an attack cost its first victim, and what its honest neighbours could do meanwhile. */
export interface Outcome {
  readonly attack: string;
  readonly seconds: number;
  /** What the attacker has done. */
  readonly done: Readonly<Record<string, number | string>>;
  /** Share of one core that the victim's router used. */
  readonly cpu: number;
  /** Memory of the victim before, at its most, and at the end, in MB. */
  readonly rss: { readonly before: number; readonly most: number; readonly after: number };
  /** Milliseconds that each deed of the honest peers took. */
  readonly honest: Readonly<Record<string, number>>;
  /** New lines of the victim's status and metrics about peers that mean harm. */
  readonly noted: readonly string[];
}

/** Three honest hosts with a container each, and an attacker on the same wire. */
export class Field {
  readonly #lab: Lab;
  readonly #containers: Namespace[] = [];
  readonly #sources: string[] = [];
  /** The longest connection of an honest newcomer during the attack, and its steps. */
  #longest: { readonly ms: number; readonly steps: readonly string[] } = { ms: 0, steps: [] };
  #names = 0;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  get honest(): Host[] {
    return this.#lab.hosts.slice(0, 3);
  }
  get victim(): Host {
    return this.#lab.hosts[0];
  }
  get attacker(): Host {
    return this.#lab.hosts[3];
  }

  async setUp(): Promise<void> {
    const { honest, attacker } = this;
    for (let i = 0; i < SOURCES; i++) {
      const address = `10.99.0.${101 + i}`;
      await attacker.must("ip", "address", "add", `${address}/24`, "dev", attacker.device);
      this.#sources.push(address);
    }
    const [first] = honest;
    const options = ["--password", PASSWORD, "--ipalloc-init", "consensus=3"];
    await Promise.all(honest.map((host) => host.launch(...options, ...(host === first ? [] : [first.address]))));
    for (const host of honest) await connected(host, 2, 60_000);
    for (const host of honest) this.#containers.push((await host.attachAny("c")).container);
    await this.#ping();
  }

  /**
   * Runs an attack, and what honest peers do beside it.
   *
   * @param named an attack; with `@1` from one address, otherwise from twenty
   * @throws when honest peers cannot go on
   */
  async run(named: string, seconds: number): Promise<Outcome> {
    const { victim } = this;
    const [attack, sources = SOURCES] = named.split("@");
    const pid = victim.routerPid!;
    const before = rssMegabytes(pid);
    const began = performance.now();
    const cpu = cpuSeconds(pid);
    this.#longest = { ms: 0, steps: [] };
    const notedBefore = new Set(await this.#noted());
    const child = this.attacker.spawn([
      process.execPath,
      PROGRAM,
      attack,
      String(seconds),
      PASSWORD,
      this.honest.map(({ address }) => `${address}:${MESH_PORT}`).join(),
      this.#sources.slice(0, Number(sources)).join(),
    ]);
    const attacker = new Background(child);
    await attacker.ready;
    const watch = watchMemory(pid);
    const honest: Record<string, number> = {};
    try {
      do {
        for (const [deed, ms] of Object.entries(await this.#deeds()))
          honest[deed] = Math.max(honest[deed] ?? 0, Math.round(ms));
        await sleep(500);
      } while (performance.now() - began < seconds * 1_000);
      const done = JSON.parse(await attacker.result) as Record<string, number | string>;
      const used = (cpuSeconds(pid) - cpu) / ((performance.now() - began) / 1_000);
      assert.equal(victim.routerPid, pid, `${attack}: the victim's router has ended`);
      assert.deepEqual(await this.#established(), [2, 2, 2], `${attack}: the honest peers are not connected`);
      return {
        attack: named,
        seconds,
        done,
        cpu: used,
        rss: { before, most: watch.end(), after: rssMegabytes(pid) },
        honest,
        noted: [
          ...(await this.#noted()).filter((line) => !notedBefore.has(line)),
          `the longest connection of an honest newcomer: ${this.#longest.steps.join(", ")}`,
        ],
      };
    } finally {
      attacker.kill();
      watch.end();
    }
  }

  /** A ping between containers, a name, an address: each as a user does it. */
  async #deeds(): Promise<Record<string, number>> {
    const [first, second] = this.honest;
    const name = `name${this.#names++}`;
    const answer = `192.0.2.${1 + (this.#names % 250)}`;
    return {
      join: Math.max(...(await this.#joins())),
      ping: await timed(() => this.#ping()),
      name: await timed(async () => {
        await second.ok("dns-add", answer, "-h", `${name}.weave.local`);
        await until(`${name} is known`, async () => (await first.ok("dns-lookup", name)).includes(answer), HONEST_MS);
      }),
      address: await timed(async () => {
        const container = await first.container(`d${this.#names}`);
        await first.ok("attach", `netns:${container.ns}`);
        await first.ok("detach", `netns:${container.ns}`);
        await this.#lab.removeNamespace(container.ns);
      }),
    };
  }

  /** Milliseconds of connections of an honest peer to the victim. */
  async #joins(): Promise<number[]> {
    const target = `${this.victim.address}:${MESH_PORT}`;
    const joining = new Background(this.honest[1].spawn([process.execPath, NEWCOMER, PASSWORD, target, String(JOINS)]));
    await joining.ready;
    const { times, steps } = JSON.parse(await joining.result) as { times: number[]; steps: string[] };
    const ms = Math.max(...times);
    if (ms > this.#longest.ms) this.#longest = { ms, steps };
    return times;
  }

  async #ping(): Promise<void> {
    const [from] = this.#containers;
    for (const to of this.#containers.slice(1)) {
      const address = await addressOf(to);
      await until(`a ping to ${address} is answered`, async () => (await from.ping(address)) > 0, HONEST_MS);
    }
  }

  /** Connections of each honest host to the others. */
  async #established(): Promise<number[]> {
    const others = new Set(this.honest.map(({ peerName }) => peerName));
    return Promise.all(
      this.honest.map(async (host) => {
        const { stdout } = await host.weave("status", "connections");
        const lines = stdout.split("\n").filter((line) => line.includes(" established "));
        return lines.filter((line) => [...others].some((name) => line.includes(name))).length;
      }),
    );
  }

  /** What the victim's status and metrics say about peers that mean harm. */
  async #noted(): Promise<string[]> {
    const status = await this.victim.ok("status");
    const { body } = await this.victim.api("GET", "/metrics");
    const metrics = /^weave_(messages_quarantined|neighbour_pauses|connections_refused|identities_refused)\S* [^0].*/gm;
    return [
      ...[...status.matchAll(/^ *(SlowedPeer|NameConflict|Conflict|Equivocation|Rejected)\S*: .*/gm)].map(([line]) =>
        line.trim(),
      ),
      ...[...body.matchAll(metrics)].map(([line]) => line),
    ];
  }
}

async function timed(run: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await run();
  return performance.now() - began;
}

async function addressOf(container: Namespace): Promise<string> {
  const [, address] = /inet (10\.[\d.]+)/.exec(await container.must("ip", "-4", "address", "show")) ?? [];
  return address;
}

/** Samples the memory of a process. `end` returns the most of it, in MB. */
function watchMemory(pid: number): { end(): number } {
  let most = 0;
  const sample = () => {
    try {
      most = Math.max(most, rssMegabytes(pid));
    } catch {
      // The process has ended: the caller notices.
    }
  };
  const timer = setInterval(sample, 200);
  return {
    end() {
      clearInterval(timer);
      sample();
      return most;
    },
  };
}

/** One line of text about an outcome. */
export function outcomeText({ attack, done, cpu, rss, honest, noted }: Outcome): string {
  const list = (values: Readonly<Record<string, number | string>>, unit = "") =>
    Object.entries(values)
      .map(([key, value]) => `${key} ${value}${unit}`)
      .join(", ");
  return [
    `${attack.padEnd(18)} CPU ${(100 * cpu).toFixed(0)} %, memory ${rss.before.toFixed(0)} → ${rss.most.toFixed(0)} MB (at the end ${rss.after.toFixed(0)}); honest at most: ${list(honest, " ms")}; attacker: ${list(done)}`,
    ...noted.map((line) => `                     ${line}`),
  ].join("\n");
}
