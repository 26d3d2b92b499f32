import { addressText, parseSubnet } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import type { Invariants } from "./ipam-invariants.js";
import type { SimHost } from "./ipam-network.js";
import type { ScheduleState } from "./ipam-schedule-state.js";

/** The events of a schedule: users, faults and operators. */
export class Events {
  readonly #run: ScheduleState;
  readonly #invariants: Invariants;
  /** Number of containers so far. */
  #containers = 0;

  constructor(run: ScheduleState, invariants: Invariants) {
    this.#run = run;
    this.#invariants = invariants;
  }

  /** One random event. */
  next(): void {
    const { network } = this.#run;
    const { random } = network;
    const host = network.hosts[random.below(network.hosts.length)];
    const { mallory } = this.#run;
    for (let i = mallory === undefined ? 0 : random.below(4); i > 0; i--) mallory?.attack();
    // While it tries takeovers, all peers are up.
    const point = random.below(mallory?.takesOver ? 64 : 100);
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
    else if (this.#run.mistake(1)) this.#blunder(host);
  }

  /** Starts the router of a host. */
  start(host: SimHost): void {
    this.#run.trace(`start ${host.name}`);
    const allocator = this.#run.network.start(host);
    this.#run.off.delete(host);
    // As the router does: addresses of running containers are recorded, those of ended ones are freed.
    for (const { ident } of [...allocator.leases.all()])
      if (!host.containers.has(ident)) quietly(() => allocator.requests.freeAll(ident));
    for (const [ident, addresses] of host.containers) {
      for (const address of addresses) {
        quietly(() => allocator.requests.found(ident, { address, prefix: prefixOf(host) }, true));
      }
    }
  }

  // ── Containers ────────────────────────────────────────────────────────────────────────────────────────────────────

  #allocate(host: SimHost, count: number): void {
    const { allocator } = host;
    if (allocator === undefined) return;
    for (let i = 0; i < count && host.allocator === allocator; i++) {
      const ident = `c${this.#containers++}`;
      this.#run.trace(`allocate ${ident} at ${host.name}`);
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
    const address = start + 1n + BigInt(this.#run.network.random.below(Number(end - start - 2n)));
    const ident = `c${this.#containers++}`;
    this.#run.trace(`claim ${addressText(address)} for ${ident} at ${host.name}`);
    host.containers.set(ident, new Set());
    this.#expect(
      host,
      ident,
      allocator.requests.claim(ident, { address, prefix: prefixOf(host) }, { container: true }).then(() => address),
    );
  }

  /** The container has the address from the answer on; it ends when there is none. */
  #expect(host: SimHost, ident: string, address: Promise<bigint>): void {
    const { life } = host;
    const run = this.#run;
    address.then(
      (value) => {
        // The router died at this moment: the answer never arrived.
        if (host.life !== life || !host.containers.has(ident)) return;
        run.trace(`${host.name} gives ${addressText(value)} to ${ident}`);
        host.containers.get(ident)!.add(value);
        run.grants++;
        // It was removed, came back, and no peer was reachable to report it: the operator let two of them live.
        if (run.removed.has(host) && host.allocator?.unconfirmed) run.excused.add(value);
        this.#invariants.checkHolders(value);
      },
      (error) => {
        run.trace(`${ident} at ${host.name} gets no address: ${errorText(error)}`);
        if (host.containers.get(ident)?.size === 0) host.containers.delete(ident);
      },
    );
  }

  #stopContainer(host: SimHost): void {
    const [[ident, addresses] = []] = [...host.containers].slice(-1);
    if (ident === undefined || addresses === undefined) return;
    this.#run.trace(`stop ${ident} at ${host.name}`);
    host.containers.delete(ident);
    const { allocator } = host;
    if (allocator === undefined) return;
    const { random } = this.#run.network;
    // It may have requested its addresses by name, and will again: others get them last.
    if (random.below(3) === 0) allocator.requests.avoid(addresses);
    if (random.below(2) === 0) allocator.requests.scheduleRelease(ident);
    else quietly(() => allocator.requests.freeAll(ident));
  }

  // ── Faults ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The router dies: now, or at one of its next writes. */
  #crash(host: SimHost): void {
    if (host.allocator === undefined) return;
    const { random } = this.#run.network;
    if (random.below(3) === 0) {
      this.#run.trace(`kill ${host.name}`);
      this.#kill(host);
    } else {
      host.disk.cut = { writes: 1 + random.below(3), after: random.below(2) === 0 };
      this.#run.trace(`${host.name} will lose power ${host.disk.cut.after ? "after" : "before"} a write`);
    }
  }

  #kill(host: SimHost): void {
    this.#run.network.kill(host);
    dropEmpty(host);
  }

  /** The whole host goes, with its containers. */
  #powerOff(host: SimHost): void {
    const { network, off } = this.#run;
    const running = network.hosts.filter(({ allocator }) => allocator !== undefined).length;
    if (host.allocator === undefined || running < 3) return;
    this.#run.trace(`power off ${host.name}`);
    network.kill(host);
    host.containers.clear();
    off.set(host, false);
  }

  /** A host or router that is down comes up again. */
  #revive(): void {
    const { network, gone, off, kind } = this.#run;
    const { random } = network;
    const down = network.hosts.filter((host) => host.allocator === undefined && !gone.has(host));
    const host = down[random.below(down.length)];
    if (host === undefined) return;
    // A removed host gives up its addresses when another peer reports it. Without a reachable peer two of them live.
    if (off.get(host) === true && kind !== "mistakes") network.heal();
    const others = network.hosts.filter((other) => other !== host && !gone.has(other));
    if (kind === "disks" && random.below(2) === 0 && others.every(({ allocator }) => allocator !== undefined)) {
      network.heal(true);
      this.#run.trace(`${host.name} has a new disk`);
      host.disk.contents = new Map();
    }
    dropEmpty(host);
    this.start(host);
  }

  #split(): void {
    const { random, hosts } = this.#run.network;
    const groups = 2 + random.below(2);
    const of = hosts.map(() => random.below(groups));
    this.#run.trace(`partition ${of.join("")}`);
    this.#run.network.partition((index) => of[index]);
  }

  // ── Operators ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Removes a dead host, on several peers at the same time. */
  #remove(): void {
    const { network, off, gone, removed, kind } = this.#run;
    const { random, hosts } = network;
    const dead = [...off.keys()];
    const peer = dead[random.below(dead.length)];
    const issuers = hosts.filter(({ allocator }) => allocator !== undefined).slice(0, 1 + random.below(3));
    if (peer === undefined || issuers.length === 0) return;
    // An operator who does this while others are unreachable is warned; see `mistakes`.
    if (kind !== "mistakes" && hosts.some((host) => host.allocator === undefined && host !== peer && !gone.has(host)))
      return;
    if (kind !== "mistakes") network.heal(true);
    off.set(peer, true);
    removed.add(peer);
    for (const { allocator, name } of issuers) {
      this.#run.trace(`rmpeer ${peer.name} at ${name}`);
      quietly(() => allocator?.removePeer(peer.name, kind === "mistakes"));
    }
  }

  /** `weave reset`: the containers of the host go first. */
  #leave(host: SimHost): void {
    const { network, gone } = this.#run;
    const running = network.hosts.filter(({ allocator }) => allocator !== undefined).length;
    if (host.allocator === undefined || running < 4 || network.hosts.some(({ group }) => group !== 0)) return;
    this.#run.trace(`reset ${host.name}`);
    for (const ident of [...host.containers.keys()]) {
      host.containers.delete(ident);
      quietly(() => host.allocator?.requests.freeAll(ident));
    }
    const { allocator } = host;
    quietly(() => allocator?.leave());
    // The command waits for the heir's answer; here it has long enough.
    gone.add(host);
    network.clock.after(30_000, () => {
      if (host.allocator === allocator) this.#kill(host);
    });
  }

  #blunder(host: SimHost): void {
    const { network, gone } = this.#run;
    const { random, hosts } = network;
    const kind = random.below(3);
    if (kind === 0) {
      const peer = hosts[random.below(hosts.length)];
      this.#run.trace(`rmpeer ${peer.name} at ${host.name}, by force`);
      quietly(() => host.allocator?.removePeer(peer.name, true));
    } else if (host.allocator !== undefined) {
      const old = kind === 1 ? structuredClone(host.disk.contents) : new Map();
      this.#run.trace(`${host.name} will come back with ${kind === 1 ? "an old disk" : "a new disk"}`);
      network.clock.after(random.below(20_000), () => {
        if (host.allocator === undefined || gone.has(host)) return;
        this.#kill(host);
        host.disk.contents = old;
        this.start(host);
      });
    }
  }
}

const prefixOf = ({ range }: SimHost): number => Number(range.split("/")[1]);

/** Containers that wait for an address end with the router. */
function dropEmpty(host: SimHost): void {
  for (const [ident, addresses] of host.containers) if (addresses.size === 0) host.containers.delete(ident);
}

/** Ignores errors: the router lost power at this write, or had nothing to free. */
function quietly(run: () => unknown): void {
  try {
    run();
  } catch {}
}
