import { Bootstrap, type Init } from "#ipam/agreement/bootstrap.js";
import { OtherRanges } from "#ipam/agreement/other-ranges.js";
import { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import { RingState } from "#ipam/agreement/ring-state.js";
import { Takeovers } from "#ipam/agreement/takeover.js";
import { ContestedAddresses } from "#ipam/allocation/contested-addresses.js";
import { Donors } from "#ipam/allocation/donors.js";
import { LeaseTable } from "#ipam/allocation/lease-table.js";
import { Requests } from "#ipam/allocation/requests.js";
import { type Reason, type Waiter, WaitQueue } from "#ipam/allocation/wait-queue.js";
import { MessageHandler } from "#ipam/message-handler.js";
import type { Parts } from "#ipam/parts.js";
import { contains } from "#ipam/ring/interval.js";
import type { Ring } from "#ipam/ring/ring.js";
import type { Space } from "#ipam/ring/space.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { peerText, type Surroundings } from "#ipam/surroundings.js";
import { encodeMessage, ringSummary } from "#ipam/wire/ipam-message.js";
import type { GossipChannel } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Deadlines, repeats and repairs are looked at this often. */
const TICK_MS = 1_000;

/** The mesh's channel that allocators talk on. */
export const IPAM_CHANNEL = "IPallocation";

export interface AllocatorDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly init: Init;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  /** Milliseconds since the Unix epoch as the network has it; our own clock's by default. */
  readonly time?: () => number;
}

/**
 * This peer's part of address allocation: hands out addresses of its own ranges, and gets ranges from others. No I/O of
 * its own.
 *
 *     requests ── what users ask for          conversation ── what peers say
 *          │  leases: who holds what here        │
 *          │  waiting: what must wait              │  bootstrap: the first ring
 *          └──────▶ state: the ring ◀──────────────┤  roll call, take-overs, contested addresses, otherRanges
 *                   and our space in it            │  donors: whom to ask for space
 */
export class Allocator {
  readonly requests: Requests;
  /** What the mesh tells. */
  readonly gossiper: MessageHandler;
  readonly #parts: Parts;
  readonly #timer: Timer;
  #channel: GossipChannel | undefined;
  #left = false;

  /** @throws WEAVE_STORE when what is stored is damaged */
  constructor(options: AllocatorDeps) {
    const { range, clock, store, init } = options;
    const env: Surroundings = {
      time: () => clock.wall(),
      ...options,
      unicast: (to, message) => this.#channel?.unicast(to, encodeMessage(range.text, message)) ?? false,
      gossip: (message) => this.#channel?.gossip(encodeMessage(range.text, message)),
    };
    const waiting = new WaitQueue(clock);
    const retry = () => waiting.retry();
    const leases = new LeaseTable(store);
    const state = new RingState(env, leases, retry);
    const participants = () => this.#participants();
    this.#parts = {
      env,
      state,
      leases,
      waiting,
      bootstrap: new Bootstrap(env, init, participants, (genesis) => this.gossiper.begin(genesis)),
      donors: new Donors(env),
      takeovers: new Takeovers(env, state, leases, participants),
      contested: new ContestedAddresses(env, state, leases),
      otherRanges: new OtherRanges(env),
      ownershipCheck: new OwnershipCheck(env, state, participants, retry),
    };
    this.requests = new Requests(this.#parts);
    this.gossiper = new MessageHandler(this.#parts);
    if (state.ring?.spans.some(({ value }) => value.owner !== env.self)) this.#parts.ownershipCheck.begin();
    this.#timer = every(clock, TICK_MS, () => this.#tick());
  }

  /** Gives the sending end of our channel. */
  open(channel: GossipChannel): void {
    this.#channel = channel;
    // The operator named the peers: there is nothing to wait for.
    if (this.#parts.bootstrap.mode === "seed" && this.ring === undefined) this.#parts.bootstrap.want();
  }

  stop(): void {
    const { bootstrap, waiting, state, env } = this.#parts;
    this.#timer.cancel();
    bootstrap.stop();
    waiting.cancel("the router stops");
    try {
      state.flush();
    } catch (error) {
      env.log.warn("the ring could not be written", { why: errorText(error) });
    }
  }

  // ── What operators do ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes over what a dead peer owned. Any number of peers may do it, at the same time too.
   *
   * @param who name or nickname
   * @param force also a peer that is within reach
   * @returns the number of addresses claimed; `agreed` resolves when they may be handed out
   * @throws WEAVE_IPAM_PEER_ALIVE; WEAVE_STORE
   */
  removePeer(who: string, force = false): { count: bigint; agreed: Promise<void> } {
    const { env, takeovers } = this.#parts;
    const peer = this.ownerCalled(who);
    if (peer === undefined || peer === env.self || this.#left) return { count: 0n, agreed: Promise.resolve() };
    if (this.isReachable(peer) && !force) {
      throw new WeaveError("WEAVE_IPAM_PEER_ALIVE", `${this.peerText(peer)} is within reach, and not dead`, {
        next: "Run 'weave reset' on that host: it hands its addresses over. If it has just died, wait until 'weave status peers' shows it no more.",
      });
    }
    const count = takeovers.claim(peer);
    env.log.info("addresses taken over", { from: this.peerText(peer), count: Number(count) });
    return { count, agreed: takeovers.settled() };
  }

  /**
   * Hands everything over to another peer, before this one leaves for good (`reset`). All waits end, and nothing is handed
   * out any more.
   *
   * @returns the heir; undefined when there is none, or nothing to hand over
   * @throws WEAVE_STORE
   */
  leave(): PeerName | undefined {
    this.#left = true;
    this.requests.leave();
    const { state } = this.#parts;
    const heir = state.own.length === 0 ? undefined : this.#heir();
    if (heir === undefined) return undefined;
    const handedOver = state.own.map(({ start, end, value }) => {
      // Whoever inherits a claim inherits the waiting for agreement: it must know whose it was.
      const from = value.pending ? value.from : value.owner;
      return { start, end, value: state.successor(value, { owner: heir, cause: "reset", from }) };
    });
    state.decide(handedOver, heir);
    return heir;
  }

  // ── What is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  get self(): PeerName {
    return this.#parts.env.self;
  }

  get range(): Subnet {
    return this.#parts.env.range;
  }

  get ring(): Ring | undefined {
    return this.#parts.state.ring;
  }

  /** What is ours to hand out. */
  get space(): Space {
    return this.#parts.state.space;
  }

  get leases(): LeaseTable {
    return this.#parts.leases;
  }

  get waiters(): readonly Waiter[] {
    return this.#parts.waiting.all;
  }

  /** How the election stands, as long as there is no ring. */
  get election(): ReturnType<Bootstrap["status"]> {
    return this.ring === undefined ? this.#parts.bootstrap.status() : undefined;
  }

  /** What the first division of the range waits for; undefined when it is made, or when nobody has asked for an address. */
  get awaited(): Reason | undefined {
    return this.election === undefined ? undefined : this.#parts.bootstrap.reason();
  }

  get contested(): ReturnType<ContestedAddresses["status"]> {
    return this.#parts.contested.status();
  }

  /** Peers with another range. */
  get otherRanges(): Reason[] {
    return this.#parts.otherRanges.status(ringSummary(this.ring));
  }

  /** Peers whose word is awaited before addresses that were taken over may be handed out. */
  get takeover(): Takeovers["status"] {
    return this.#parts.takeovers.status;
  }

  /** Peers that could not be asked when addresses were taken over. */
  get settledWithout(): ReadonlySet<PeerName> {
    return this.#parts.takeovers.settledWithout;
  }

  /** Of these, those of the last time. */
  get notAsked(): readonly PeerName[] {
    return this.#parts.takeovers.notAsked;
  }

  /** Whether this peer came back, heard nobody, and hands out all the same. */
  get unheard(): boolean {
    return this.#parts.ownershipCheck.unheard;
  }

  /** Held addresses within the range. */
  get activeCount(): number {
    let count = 0;
    for (const [address] of this.leases.addresses()) if (contains(this.range, address)) count++;
    return count;
  }

  peerText(peer: PeerName): string {
    return peerText(this.#parts.env, peer);
  }

  isReachable(peer: PeerName): boolean {
    const { self, peers } = this.#parts.env;
    return peer === self || peers.reachable().has(peer);
  }

  /** Who is that, by name or nickname? Undefined where nobody owns anything under it. */
  ownerCalled(who: string): PeerName | undefined {
    const owners = [...(this.ring?.shares().keys() ?? [])];
    const { peers } = this.#parts.env;
    return owners.find((owner) => peers.nickname(owner) === who) ?? owners.find((owner) => owner === who);
  }

  // ── Inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const { env, state, waiting, takeovers, contested, donors, otherRanges } = this.#parts;
    try {
      this.requests.tick();
      takeovers.tick();
      contested.tick();
      donors.tidy();
      otherRanges.tidy();
      state.flush();
      state.tidy();
      this.gossiper.tick();
    } catch (error) {
      // A full disk, say: what could not be written has not happened, and is tried again.
      env.log.error("IPAM could not do its regular work", { why: errorText(error) });
    }
    waiting.retry();
  }

  /** Peers that answer: those that own something, and those that have spoken. Not those with another range. */
  #participants(): Set<PeerName> {
    const known = new Set([...(this.ring?.shares().keys() ?? []), ...this.gossiper.participants]);
    known.delete(this.self);
    for (const peer of this.#parts.otherRanges.peers()) known.delete(peer);
    return known;
  }

  /** As the original: whoever is likeliest to make use of it. */
  #heir(): PeerName | undefined {
    const owners = [...(this.ring?.shares().keys() ?? [])].filter((peer) => peer !== this.self);
    const choices = [
      owners.filter((peer) => this.isReachable(peer)),
      [...this.gossiper.participants].filter((peer) => this.isReachable(peer)),
      owners,
    ];
    const choice = choices.find((candidates) => candidates.length > 0);
    return choice?.[this.#parts.env.random.below(choice.length)];
  }
}
