import type { Allocator } from "#ipam/allocator.js";
import { overlap, sizeOf } from "#ipam/ring/interval.js";
import { addressText, parseSubnet } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import type { Random } from "#src/random.js";
import { IpamNetwork, type SimHost } from "./ipam-network.js";

/**
 * What happens in a schedule.
 *
 * - `faults`: power cuts before and after writes, restarts, partitions, loss, delay, doubling, reordering, hosts that die
 *   and are removed by several peers at once, hosts that leave. No address may ever be held twice.
 * - `disks`: as well, routers that come back with an empty disk while all others are within reach. None twice either.
 * - `mistakes`: as well, what operators should not do: live peers removed, old disks restored, empty ones in a partition,
 *   different seeds, different ranges. Addresses may be held twice: then `status` must name them, and all else must hold.
 */
export type Class = "faults" | "disks" | "mistakes";

const RANGES = ["10.32.0.0/28", "10.32.0.0/26", "10.32.0.0/24", "10.32.0.0/20"];
/** Faults and operations of one schedule. */
const STEPS = 40;
/** What is under way comes to an end in this time, once nothing disturbs it. */
const QUIET_MS = 180_000;

export class Violation extends Error {}

/** Runs one schedule. @throws Violation when an invariant does not hold */
export async function runSchedule(seed: number, kind: Class, peers?: number): Promise<Schedule> {
  const schedule = new Schedule(seed, kind, peers);
  await schedule.run();
  return schedule;
}

export class Schedule {
  readonly network: IpamNetwork;
  readonly #kind: Class;
  readonly #trace: string[] = [];
  /** Hosts that are off, and whether an operator has removed them. */
  readonly #off = new Map<SimHost, boolean>();
  readonly #gone = new Set<SimHost>();
  readonly #removed = new Set<SimHost>();
  readonly #excused = new Set<bigint>();
  #containers = 0;
  #violation: Violation | undefined;
  grants = 0;
  doubles = new Set<bigint>();

  constructor(seed: number, kind: Class, peers?: number) {
    this.#kind = kind;
    this.network = new IpamNetwork(seed, { lost: 0, doubled: 0, delay: 1 });
    const { random } = this.network;
    const calm = random.below(4) === 0;
    this.network.weather = calm
      ? { lost: 0, doubled: 0, delay: 5 }
      : { lost: random.below(200), doubled: random.below(100), delay: 1 + random.below(400) };
    this.network.noticeMs = calm ? 0 : random.below(4_000);
    const count = peers ?? peerCount(random);
    const range = RANGES[random.below(RANGES.length)];
    const seeded = random.below(4) === 0;
    const quorum = Math.floor(count / 2) + 1;
    for (let i = 0; i < count; i++) {
      const observer = !seeded && i >= quorum && random.below(5) === 0;
      this.network.add(
        observer ? { mode: "observer" } : { mode: "consensus", quorum: () => quorum },
        this.#mistake(10) ? RANGES[random.below(RANGES.length)] : range,
      );
    }
    if (seeded) {
      for (const host of this.network.hosts) {
        const names = this.network.hosts
          .slice(0, this.#mistake(4) ? 1 + random.below(count) : 3)
          .map(({ name }) => name);
        host.init = { mode: "seed", peers: names };
      }
    }
    this.network.check = (host) => this.#checkHost(host);
  }

  async run(): Promise<void> {
    const { network } = this;
    const { random } = network;
    for (const host of network.hosts) this.#start(host);
    for (let step = 0; step < STEPS; step++) {
      this.#act();
      await network.run(random.below(3) === 0 ? random.below(10_000) : random.below(500));
      if (this.#violation !== undefined) throw this.#violation;
    }
    await this.#quiet();
    this.#checkEnd();
    if (this.#violation !== undefined) throw this.#violation;
  }

  // ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #act(): void {
    const { network } = this;
    const { random } = network;
    const host = network.hosts[random.below(network.hosts.length)];
    const point = random.below(100);
    if (point < 45) this.#allocate(host, 1 + random.below(4));
    else if (point < 58) this.#stopContainer(host);
    else if (point < 64) this.#claim(host);
    else if (point < 72) this.#crash(host);
    else if (point < 80) this.#revive();
    else if (point < 85) this.#split();
    else if (point < 89) network.heal();
    else if (point < 93) this.#powerOff(host);
    else if (point < 97) this.#remove();
    else if (point < 98) this.#leave(host);
    else if (this.#mistake(1)) this.#blunder(host);
  }

  #start(host: SimHost): void {
    this.#say(`start ${host.name}`);
    const allocator = this.network.start(host);
    this.#off.delete(host);
    // As the router does: what runs on the host is claimed, and what runs no more is freed.
    for (const { ident } of [...allocator.leases.all()])
      if (!host.containers.has(ident)) this.#quietly(() => allocator.requests.freeAll(ident));
    for (const [ident, addresses] of host.containers) {
      for (const address of addresses) {
        this.#quietly(() => allocator.requests.found(ident, { address, prefix: prefixOf(host) }, true));
      }
    }
  }

  #allocate(host: SimHost, count: number): void {
    const { allocator } = host;
    if (allocator === undefined) return;
    for (let i = 0; i < count && host.allocator === allocator; i++) {
      const ident = `c${this.#containers++}`;
      this.#say(`allocate ${ident} at ${host.name}`);
      host.containers.set(ident, new Set());
      this.#expect(
        host,
        ident,
        allocator.requests.allocate(ident, parseSubnet(host.range), { container: true }).then(({ address }) => address),
      );
    }
  }

  #claim(host: SimHost): void {
    const { allocator } = host;
    if (allocator === undefined) return;
    const { start, end } = parseSubnet(host.range);
    const address = start + 1n + BigInt(this.network.random.below(Number(end - start - 2n)));
    const ident = `c${this.#containers++}`;
    this.#say(`claim ${addressText(address)} for ${ident} at ${host.name}`);
    host.containers.set(ident, new Set());
    this.#expect(
      host,
      ident,
      allocator.requests.claim(ident, { address, prefix: prefixOf(host) }, { container: true }).then(() => address),
    );
  }

  /** The container gets the address when it is told; it ends when it gets none. */
  #expect(host: SimHost, ident: string, address: Promise<bigint>): void {
    const { life } = host;
    address.then(
      (value) => {
        // Told by a router that died at this moment: nobody was told.
        if (host.life !== life || !host.containers.has(ident)) return;
        this.#say(`${host.name} gives ${addressText(value)} to ${ident}`);
        host.containers.get(ident)!.add(value);
        this.grants++;
        // It was removed, came back, and found nobody to tell it so: the operator let two of them live.
        if (this.#removed.has(host) && host.allocator?.unconfirmed) this.#excused.add(value);
        this.#checkHolders(value);
      },
      (error) => {
        this.#say(`${ident} at ${host.name} gets nothing: ${errorText(error)}`);
        if (host.containers.get(ident)?.size === 0) host.containers.delete(ident);
      },
    );
  }

  #stopContainer(host: SimHost): void {
    const [[ident, addresses] = []] = [...host.containers].slice(-1);
    if (ident === undefined || addresses === undefined) return;
    this.#say(`stop ${ident} at ${host.name}`);
    host.containers.delete(ident);
    const { allocator } = host;
    if (allocator === undefined) return;
    // It may have asked for its addresses by name, and will again: others get them last.
    if (this.network.random.below(3) === 0) allocator.requests.avoid(addresses);
    if (this.network.random.below(2) === 0) allocator.requests.died(ident);
    else this.#quietly(() => allocator.requests.freeAll(ident));
  }

  /** The router dies: now, or at one of its next writes. */
  #crash(host: SimHost): void {
    if (host.allocator === undefined) return;
    const { random } = this.network;
    if (random.below(3) === 0) {
      this.#say(`kill ${host.name}`);
      this.#kill(host);
    } else {
      host.disk.cut = { writes: 1 + random.below(3), after: random.below(2) === 0 };
      this.#say(`${host.name} will lose power ${host.disk.cut.after ? "after" : "before"} a write`);
    }
  }

  #kill(host: SimHost): void {
    this.network.kill(host);
    for (const [ident, addresses] of host.containers) if (addresses.size === 0) host.containers.delete(ident);
  }

  /** The whole host goes, with its containers. */
  #powerOff(host: SimHost): void {
    const running = this.network.hosts.filter(({ allocator }) => allocator !== undefined).length;
    if (host.allocator === undefined || running < 3) return;
    this.#say(`power off ${host.name}`);
    this.network.kill(host);
    host.containers.clear();
    this.#off.set(host, false);
  }

  /** A host or router that is down comes up again. */
  #revive(): void {
    const { random } = this.network;
    const down = this.network.hosts.filter((host) => host.allocator === undefined && !this.#gone.has(host));
    const host = down[random.below(down.length)];
    if (host === undefined) return;
    // One that was removed obeys if it hears of it. Where it cannot, the operator let two of them live.
    if (this.#off.get(host) === true && this.#kind !== "mistakes") this.network.heal();
    const others = this.network.hosts.filter((other) => other !== host && !this.#gone.has(other));
    if (this.#kind === "disks" && random.below(2) === 0 && others.every(({ allocator }) => allocator !== undefined)) {
      this.network.heal(true);
      this.#say(`${host.name} has a new disk`);
      host.disk.contents = new Map();
    }
    for (const [ident, addresses] of host.containers) if (addresses.size === 0) host.containers.delete(ident);
    this.#start(host);
  }

  #split(): void {
    const { random, hosts } = this.network;
    const groups = 2 + random.below(2);
    const of = hosts.map(() => random.below(groups));
    // Where somebody was removed, a part that does not know must not be cut off with it.
    this.#say(`partition ${of.join("")}`);
    this.network.partition((index) => of[index]);
  }

  /** An operator removes a dead host: on several peers at once, as operators do. */
  #remove(): void {
    const { random, hosts } = this.network;
    const dead = [...this.#off.keys()];
    const peer = dead[random.below(dead.length)];
    const issuers = hosts.filter(({ allocator }) => allocator !== undefined).slice(0, 1 + random.below(3));
    if (peer === undefined || issuers.length === 0) return;
    // Who does this while others are out of reach is warned; see `mistakes`.
    if (
      this.#kind !== "mistakes" &&
      hosts.some((host) => host.allocator === undefined && host !== peer && !this.#gone.has(host))
    )
      return;
    if (this.#kind !== "mistakes") this.network.heal(true);
    this.#off.set(peer, true);
    this.#removed.add(peer);
    for (const { allocator, name } of issuers) {
      this.#say(`rmpeer ${peer.name} at ${name}`);
      this.#quietly(() => allocator?.removePeer(peer.name, this.#kind === "mistakes"));
    }
  }

  /** `weave reset`: the containers of the host go first. */
  #leave(host: SimHost): void {
    const running = this.network.hosts.filter(({ allocator }) => allocator !== undefined).length;
    if (host.allocator === undefined || running < 4 || this.network.hosts.some(({ group }) => group !== 0)) return;
    this.#say(`reset ${host.name}`);
    for (const ident of [...host.containers.keys()]) {
      host.containers.delete(ident);
      this.#quietly(() => host.allocator?.requests.freeAll(ident));
    }
    const { allocator } = host;
    this.#quietly(() => allocator?.leave());
    // The command waits for the heir's word; here it has long enough.
    this.#gone.add(host);
    this.network.clock.after(30_000, () => {
      if (host.allocator === allocator) this.#kill(host);
    });
  }

  #blunder(host: SimHost): void {
    const { random, hosts } = this.network;
    const kind = random.below(3);
    if (kind === 0) {
      const peer = hosts[random.below(hosts.length)];
      this.#say(`rmpeer ${peer.name} at ${host.name}, by force`);
      this.#quietly(() => host.allocator?.removePeer(peer.name, true));
    } else if (host.allocator !== undefined) {
      const old = kind === 1 ? structuredClone(host.disk.contents) : new Map();
      this.#say(`${host.name} will come back with ${kind === 1 ? "an old disk" : "a new disk"}`);
      this.network.clock.after(random.below(20_000), () => {
        if (host.allocator === undefined || this.#gone.has(host)) return;
        this.#kill(host);
        host.disk.contents = old;
        this.#start(host);
      });
    }
  }

  async #quiet(): Promise<void> {
    const { network } = this;
    for (const host of network.hosts) host.disk.cut = undefined;
    network.heal();
    network.weather = { lost: 0, doubled: 0, delay: 5 };
    network.noticeMs = 0;
    this.#say("all is quiet");
    for (const host of network.hosts) if (host.allocator === undefined && !this.#gone.has(host)) this.#start(host);
    network.heal();
    // Whoever died for good must be removed, or its part stays out of reach.
    await network.run(QUIET_MS);
  }

  // ── Invariants ────────────────────────────────────────────────────────────────────────────────────────────────────

  #checkHost(host: SimHost): void {
    if (this.network.errors.length > 0) this.#fail(this.network.errors[0]);
    if (host.allocator !== undefined) this.#checkRing(host, host.allocator);
  }

  /** The ring covers the range exactly once; own ranges = used ∪ free. */
  #checkRing(host: SimHost, { ring, range, space, leases }: Allocator): void {
    if (ring === undefined) return;
    let at = range.start;
    for (const { start, end } of ring.spans) {
      if (start !== at || end <= start) this.#fail(`the ring of ${host.name} does not cover the range once`);
      at = end;
    }
    if (at !== range.end) this.#fail(`the ring of ${host.name} does not reach the end`);
    let own = 0n;
    let used = 0n;
    for (const span of ring.ownedBy(host.name)) {
      if (span.value.pending) continue;
      own += sizeOf(span);
      for (const part of leases.used.within(span)) used += sizeOf(overlap(part, span)!);
    }
    if (own !== used + space.freeIn(range))
      this.#fail(`${host.name} owns ${own}, uses ${used}, has ${space.freeIn(range)} free`);
  }

  /** No address is held by two live containers. */
  #checkHolders(address: bigint): void {
    const holders = this.#holdersOf(address);
    if (holders.length < 2) return;
    this.doubles.add(address);
    // `rmpeer` said that somebody could not be asked, and named it.
    const named = this.network.hosts.filter((host) =>
      this.network.hosts.some(({ allocator }) => allocator?.settledWithout.has(host.name)),
    );
    if (named.some(({ name }) => holders.some((holder) => holder.endsWith(name)))) this.#excused.add(address);
    if (this.#kind !== "mistakes" && !this.#excused.has(address))
      this.#fail(`${addressText(address)} is held by ${holders.join(" and ")}`);
  }

  #holdersOf(address: bigint): string[] {
    return this.network.hosts.flatMap(({ name, containers }) =>
      [...containers].filter(([, addresses]) => addresses.has(address)).map(([ident]) => `${ident} at ${name}`),
    );
  }

  #checkEnd(): void {
    const running = this.network.hosts.filter((host) => host.allocator !== undefined && !this.#gone.has(host));
    for (const range of new Set(running.map((host) => host.range))) {
      const rings = running.filter((host) => host.range === range).map(({ allocator }) => allocator!.ring?.digest);
      if (new Set(rings).size > 1) this.#fail(`the rings of ${range} differ after all is quiet`);
    }
    for (const { name, containers, allocator } of running) {
      for (const [ident, addresses] of containers)
        for (const address of addresses)
          if (!this.#knows(allocator!, ident, address))
            this.#fail(`${name} has forgotten ${addressText(address)} of ${ident}`);
      for (const { ident } of allocator!.leases.all())
        if (!containers.has(ident)) this.#fail(`${name} has leaked what ${ident} held`);
      if (this.#kind !== "mistakes" && this.#excused.size === 0 && allocator!.contested.length > 0)
        this.#fail(`${name}: ${allocator!.contested[0].why}`);
      const awaited = running.filter((host) => allocator!.takeover?.waiting.includes(host.name));
      if (awaited.length > 0) this.#fail(`${name} waits for ever for the word of ${awaited[0].name}`);
      for (const waiter of allocator!.waiters) {
        if (waiter.kind !== "allocate") continue;
        const free = this.#freeFor(running);
        if (free > 0n && this.#kind !== "mistakes")
          this.#fail(`${waiter.ident} at ${name} waits for ${waiter.reason().why}, and ${free} are free`);
      }
    }
    for (const address of this.doubles) {
      if (this.#holdersOf(address).length < 2) continue;
      const named = running.some(({ allocator }) =>
        allocator!.contested.some((each) => each.address === addressText(address)),
      );
      const otherRanges = running.some(({ allocator }) => allocator!.otherRanges.length > 0);
      if (!named && !otherRanges)
        this.#fail(`${addressText(address)} is held by ${this.#holdersOf(address).join(" and ")}, and nobody says so`);
    }
  }

  #knows(allocator: Allocator, ident: string, address: bigint): boolean {
    return (
      allocator.leases.holderOf(address)?.ident === ident ||
      // A double that was found at a claim after the loss of a disk.
      this.doubles.has(address) ||
      this.#kind === "mistakes"
    );
  }

  /** Addresses that any running peer could give. */
  #freeFor(running: readonly SimHost[]): bigint {
    let free = 0n;
    for (const { allocator } of running) {
      const { start, end } = allocator!.range;
      free += allocator!.space.freeIn({ start: start + 1n, end: end - 1n });
    }
    return free;
  }

  #mistake(oneIn: number): boolean {
    return this.#kind === "mistakes" && this.network.random.below(oneIn) === 0;
  }

  #quietly(run: () => unknown): void {
    try {
      run();
    } catch {
      // The router lost power at this write, or had nothing to free.
    }
  }

  #say(text: string): void {
    this.#trace.push(`${(this.network.clock.now() / 1_000).toFixed(3).padStart(9)} ${text}`);
  }

  /** Remembered, and thrown by {@link run}: it may be found inside a callback that nobody waits for. */
  #fail(why: string): void {
    this.#violation ??= new Violation(`${why}\n${this.#trace.slice(-60).join("\n")}`);
  }
}

/** Mostly few, as few are enough for most that can go wrong; some tens now and then, and seldom a hundred. */
function peerCount(random: Random): number {
  const point = random.below(1_000);
  if (point === 0) return 100;
  return point < 20 ? 10 + random.below(30) : 3 + random.below(8);
}

const prefixOf = ({ range }: SimHost): number => Number(range.split("/")[1]);
