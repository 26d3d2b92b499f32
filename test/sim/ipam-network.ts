import { Allocator } from "#ipam/allocator.js";
import type { Init } from "#ipam/bootstrap.js";
import { parseSubnet } from "#ipam/subnet.js";
import type { GossipChannel } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import { textOf, WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";
import { type Random, sample } from "#src/random.js";
import { memoryStore, type Store } from "#src/store.js";
import { seededRandom, VirtualClock } from "./virtual-time.js";

/** How bad the network is. */
export interface Weather {
  /** Of 1,000 messages. */
  readonly lost: number;
  readonly doubled: number;
  /** Milliseconds; a message takes from 1 to this, so that later ones overtake. */
  readonly delay: number;
}

/** A router's process ends here, as by a power cut. */
class PowerCut extends Error {}

/** A disk whose host may lose power before or after a write. */
class Disk {
  contents = new Map<string, unknown>();
  full = false;
  /** Writes until the power goes, and whether the last one is still made. */
  cut: { writes: number; after: boolean } | undefined;

  open(alive: () => boolean, died: () => void): Store {
    const inner = memoryStore(this.contents);
    const write = (run: () => void): void => {
      if (!alive()) throw new PowerCut();
      if (this.full) throw new WeaveError("WEAVE_STORE", "the disk is full");
      const cut = this.cut;
      if (cut === undefined || --cut.writes > 0) return run();
      this.cut = undefined;
      if (cut.after) run();
      died();
      throw new PowerCut();
    };
    return {
      ...inner,
      put: (key, value) => write(() => inner.put(key, value)),
      remove: (key) => write(() => inner.remove(key)),
    };
  }
}

/** A host: containers that hold addresses, a disk, and a router process that may be running. */
export class SimHost {
  readonly index: number;
  readonly name: PeerName;
  readonly disk = new Disk();
  /** Running containers and what they were told is theirs. They run on when the router dies. */
  readonly containers = new Map<string, Set<bigint>>();
  init: Init;
  range: string;
  allocator: Allocator | undefined;
  /** Whom the router believes within reach: some time behind the truth. */
  view: Set<PeerName> = new Set();
  group = 0;
  /** Grows with each start: what belongs to an earlier life is dropped. */
  life = 0;

  constructor(index: number, init: Init, range: string) {
    this.index = index;
    this.name = `02:00:00:00:${hex(index >> 8)}:${hex(index & 255)}`;
    this.init = init;
    this.range = range;
  }
}

/** Allocators on a network in memory, on a virtual clock. The seed decides all that is left to chance. */
export class IpamNetwork {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly hosts: SimHost[] = [];
  weather: Weather;
  /** Milliseconds until peers notice who is within reach and who is not. */
  noticeMs = 0;
  repairMs = 5_000;
  bytes = 0;
  messages = 0;
  /** What allocators threw while hearing a message; the mesh would set the message aside. */
  readonly errors: string[] = [];
  /** Called after every event at a host. */
  check: (host: SimHost) => void = () => {};

  constructor(seed: number, weather: Weather) {
    this.random = seededRandom(seed);
    this.weather = weather;
  }

  add(init: Init, range = "10.32.0.0/24"): SimHost {
    const host = new SimHost(this.hosts.length, init, range);
    this.hosts.push(host);
    return host;
  }

  /** Starts the router of a host. */
  start(host: SimHost): Allocator {
    const life = ++host.life;
    const alive = () => host.life === life && host.allocator !== undefined;
    const channel: GossipChannel = {
      unicast: (to, payload) => {
        const target = this.hosts.find(({ name }) => name === to);
        if (target === undefined || !alive() || !host.view.has(to)) return false;
        this.#send(host, target, payload, (allocator) => allocator.gossiper.onUnicast(host.name, payload));
        return true;
      },
      broadcast: () => {},
      gossip: (payload) => {
        if (alive()) this.#spread(host, host, payload, undefined);
      },
    };
    const allocator = new Allocator({
      self: host.name,
      range: parseSubnet(host.range),
      init: host.init,
      clock: {
        now: () => this.clock.now(),
        wall: () => this.clock.wall(),
        after: (ms, run) =>
          this.clock.after(ms, () => {
            if (host.life === life) this.#guarded(host, run);
          }),
      },
      random: this.random,
      log: silentLog,
      store: host.disk.open(
        () => host.life === life,
        () => this.kill(host),
      ),
      peers: {
        reachable: () => host.view,
        nickname: (peer) => `h${Number.parseInt(peer.slice(-5).replace(":", ""), 16)}`,
      },
    });
    host.allocator = allocator;
    this.#guarded(host, () => allocator.open(channel));
    this.#repairLater(host, life);
    this.#noticeAll();
    return allocator;
  }

  /** Ends the router of a host without a word. Its containers run on. */
  kill(host: SimHost): void {
    host.life++;
    host.allocator = undefined;
    host.disk.cut = undefined;
    host.view = new Set();
    this.#noticeAll();
  }

  /** Hosts of different groups cannot hear one another. */
  partition(group: (index: number) => number): void {
    for (const host of this.hosts) host.group = group(host.index);
    this.#noticeAll();
  }

  /** @param noticed whether all know it at once */
  heal(noticed = false): void {
    this.partition(() => 0);
    if (noticed) for (const host of this.hosts) if (host.allocator !== undefined) this.#look(host);
  }

  connected(a: SimHost, b: SimHost): boolean {
    return a.allocator !== undefined && b.allocator !== undefined && a.group === b.group;
  }

  async run(ms: number): Promise<void> {
    await this.clock.run(ms);
  }

  /** Who notices a change does so after a while, each in its own time. */
  #noticeAll(): void {
    for (const host of this.hosts) {
      const life = host.life;
      const look = () => {
        if (host.life === life && host.allocator !== undefined) this.#look(host);
      };
      if (this.noticeMs === 0) look();
      else this.clock.after(this.random.below(this.noticeMs), look);
    }
  }

  #look(host: SimHost): void {
    const before = host.view;
    host.view = new Set(this.hosts.filter((other) => other !== host && this.connected(host, other)).map((o) => o.name));
    // New neighbours tell each other what they have.
    for (const name of host.view) if (!before.has(name)) this.#tellState(host, name);
  }

  #repairLater(host: SimHost, life: number): void {
    this.clock.after(1 + this.random.below(this.repairMs), () => {
      if (host.life !== life) return;
      const [name] = sample(this.random, [...host.view], 1);
      if (name !== undefined) this.#tellState(host, name);
      this.#repairLater(host, life);
    });
  }

  #tellState(host: SimHost, to: PeerName): void {
    const target = this.hosts.find(({ name }) => name === to)!;
    const payload = host.allocator!.gossiper.state();
    this.#send(host, target, payload, (allocator) => void this.#gossip(target, host, host, payload, allocator));
  }

  /** As the mesh does: to some neighbours, who pass on what is news to them. */
  #spread(from: SimHost, origin: SimHost, payload: Uint8Array, except: SimHost | undefined): void {
    const neighbours = this.hosts.filter(({ name }) => from.view.has(name) && name !== except?.name);
    const count = Math.ceil(Math.log2(from.view.size + 2)) + 2;
    for (const next of sample(this.random, neighbours, count))
      this.#send(from, next, payload, (allocator) => this.#gossip(next, from, origin, payload, allocator));
  }

  #gossip(at: SimHost, from: SimHost, origin: SimHost, payload: Uint8Array, allocator: Allocator): void {
    const news = allocator.gossiper.onGossip(origin.name, payload);
    if (news !== undefined) this.#spread(at, origin, news, from);
  }

  #send(from: SimHost, to: SimHost, payload: Uint8Array, deliver: (allocator: Allocator) => void): void {
    this.bytes += payload.length;
    this.messages++;
    const { lost, doubled, delay } = this.weather;
    if (this.random.below(1_000) < lost) return;
    const copies = this.random.below(1_000) < doubled ? 2 : 1;
    const lives = [from.life, to.life];
    for (let i = 0; i < copies; i++) {
      this.clock.after(1 + this.random.below(delay), () => {
        if (from.life !== lives[0] || to.life !== lives[1] || !this.connected(from, to)) return;
        const allocator = to.allocator;
        if (allocator !== undefined) this.#guarded(to, () => deliver(allocator));
      });
    }
  }

  #guarded(host: SimHost, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof PowerCut)) this.errors.push(`${host.name}: ${textOf(error)}`);
    }
    this.check(host);
  }
}

const hex = (value: number) => value.toString(16).padStart(2, "0");
