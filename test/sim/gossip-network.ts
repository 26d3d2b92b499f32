import { gossipFanout } from "#mesh/gossip/spreader.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { errorText, WeaveError } from "#src/errors.js";
import { type Random, sample } from "#src/random.js";
import { seededRandom, VirtualClock } from "./virtual-time.js";

/** How bad the network is. */
export interface Weather {
  /** Of 1,000 messages. */
  readonly lost: number;
  readonly doubled: number;
  /** Milliseconds; a message takes from 1 to this, so that later ones overtake. */
  readonly delay: number;
}

/** A host's process ends here, as by a power cut. */
export class PowerCut extends Error {}

/** A peer: its gossiper, while its process runs, and what it believes of the others. */
export class SimNode {
  readonly index: number;
  readonly name: PeerName;
  readonly signer: Signer;
  gossiper: Gossiper | undefined;
  /** The peers that it believes to be reachable: some time behind the truth. */
  view: Set<PeerName> = new Set();
  group = 0;
  /** Grows with each start: timers and messages of an earlier life are dropped. */
  life = 0;

  constructor(index: number) {
    this.index = index;
    this.name = `02:00:00:00:${hex(index >> 8)}:${hex(index & 255)}`;
    this.signer = makeSigner(seededRandom(4_000_000 + index).bytes(32));
  }
}

/**
 * Gossipers on a network in memory, on a virtual clock; their messages are relayed as the mesh does it, and are lost,
 * duplicated and delayed according to the weather. All random choices follow from the seed.
 */
export class GossipNetwork<Node extends SimNode> {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly hosts: Node[] = [];
  weather: Weather;
  /** Milliseconds until peers notice which others are reachable. */
  noticeMs = 0;
  repairMs = 5_000;
  bytes = 0;
  messages = 0;
  /** Errors of gossipers that received a message; the mesh would reject the message. */
  readonly errors: string[] = [];
  /** Called after every event at a host. */
  check: (host: Node) => void = () => {};

  constructor(seed: number, weather: Weather) {
    this.random = seededRandom(seed);
    this.weather = weather;
  }

  /** What a host knows of the others. */
  peers(host: Node): KnownPeers {
    const identity = (peer: PeerName) => this.hosts.find(({ name }) => name === peer)?.signer.identity;
    return { reachable: () => host.view, nickname: (peer) => peer, identity, pinnedIdentity: identity };
  }

  /** The sending end of a host's channel, for this life of it. */
  channel(host: Node): GossipChannel {
    const { life } = host;
    const alive = () => host.life === life && host.gossiper !== undefined;
    return {
      unicast: (to, payload) => {
        const target = this.hosts.find(({ name }) => name === to);
        if (target === undefined || !alive() || !host.view.has(to)) return false;
        this.#send(host, target, payload, (gossiper) => gossiper.onUnicast(host.name, payload, host.name));
        return true;
      },
      broadcast: () => {},
      gossip: (payload) => {
        if (alive()) this.#spread(host, host, payload, undefined);
      },
    };
  }

  /** Sends a message in the name of another host. */
  forge(from: Node, to: Node, payload: Uint8Array, claimed: PeerName): void {
    this.#send(from, to, payload, (gossiper) => {
      try {
        gossiper.onUnicast(claimed, payload, from.name);
      } catch (error) {
        // The mesh counts a malformed message; any other error is one.
        if (!(error instanceof WeaveError) || error.code !== "WEAVE_MESSAGE_MALFORMED") throw error;
      }
    });
  }

  /** To be called when a host's process has begun, with its gossiper set. */
  protected began(host: Node): void {
    this.#repairLater(host, host.life);
    this.#noticeAll();
  }

  /** Ends the process of a host abruptly. */
  kill(host: Node): void {
    host.life++;
    host.gossiper = undefined;
    host.view = new Set();
    this.#noticeAll();
  }

  /** Hosts of different groups cannot reach one another. */
  partition(group: (index: number) => number): void {
    for (const host of this.hosts) host.group = group(host.index);
    this.#noticeAll();
  }

  /** @param noticed whether all peers notice it immediately */
  heal(noticed = false): void {
    this.partition(() => 0);
    if (noticed) for (const host of this.hosts) if (host.gossiper !== undefined) this.#look(host);
  }

  connected(a: Node, b: Node): boolean {
    return a.gossiper !== undefined && b.gossiper !== undefined && a.group === b.group;
  }

  async run(ms: number): Promise<void> {
    await this.clock.run(ms);
  }

  /** Runs something at a host; a power cut ends there. */
  protected guarded(host: Node, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof PowerCut)) this.errors.push(`${host.name}: ${errorText(error)}`);
    }
    this.check(host);
  }

  /** Each peer notices a change after a random delay. */
  #noticeAll(): void {
    for (const host of this.hosts) {
      const life = host.life;
      const look = () => {
        if (host.life === life && host.gossiper !== undefined) this.#look(host);
      };
      if (this.noticeMs === 0) look();
      else this.clock.after(this.random.below(this.noticeMs), look);
    }
  }

  #look(host: Node): void {
    const before = host.view;
    host.view = new Set(this.hosts.filter((other) => other !== host && this.connected(host, other)).map((o) => o.name));
    this.viewChanged(host, before);
    // New neighbours exchange their states.
    for (const name of host.view) if (!before.has(name)) this.#sendState(host, name);
  }

  protected viewChanged(_host: Node, _before: ReadonlySet<PeerName>): void {}

  #repairLater(host: Node, life: number): void {
    this.clock.after(1 + this.random.below(this.repairMs), () => {
      if (host.life !== life) return;
      const [name] = sample(this.random, [...host.view], 1);
      if (name !== undefined) this.#sendState(host, name);
      this.#repairLater(host, life);
    });
  }

  #sendState(host: Node, to: PeerName): void {
    const target = this.hosts.find(({ name }) => name === to)!;
    const payload = host.gossiper!.state();
    if (payload === undefined) return;
    this.#send(host, target, payload, (gossiper) => this.#gossip(target, host, host, payload, gossiper));
  }

  /** As the mesh does: to some neighbours, which pass on the part that is new to them. */
  #spread(from: Node, origin: Node, payload: Uint8Array, except: Node | undefined): void {
    const neighbours = this.hosts.filter(({ name }) => from.view.has(name) && name !== except?.name);
    for (const next of sample(this.random, neighbours, gossipFanout(from.view.size + 1)))
      this.#send(from, next, payload, (gossiper) => this.#gossip(next, from, origin, payload, gossiper));
  }

  #gossip(at: Node, from: Node, origin: Node, payload: Uint8Array, gossiper: Gossiper): void {
    const news = gossiper.onGossip(origin.name, payload, from.name);
    for (const each of newsOf(news)) this.#spread(at, origin, each, from);
  }

  #send(from: Node, to: Node, payload: Uint8Array, deliver: (gossiper: Gossiper) => void): void {
    this.bytes += payload.length;
    this.messages++;
    const { lost, doubled, delay } = this.weather;
    if (this.random.below(1_000) < lost) return;
    const copies = this.random.below(1_000) < doubled ? 2 : 1;
    const lives = [from.life, to.life];
    for (let i = 0; i < copies; i++) {
      this.clock.after(1 + this.random.below(delay), () => {
        if (from.life !== lives[0] || to.life !== lives[1] || !this.connected(from, to)) return;
        const { gossiper } = to;
        if (gossiper !== undefined) this.guarded(to, () => deliver(gossiper));
      });
    }
  }
}

/** The payloads of what a gossiper passes on. */
export function newsOf(news: ReturnType<Gossiper["onGossip"]>): Uint8Array[] {
  if (news === undefined) return [];
  return news instanceof Uint8Array ? [news] : news.map(({ payload }) => payload);
}

const hex = (value: number) => value.toString(16).padStart(2, "0");
