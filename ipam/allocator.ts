import { Bootstrap, type Init } from "#ipam/bootstrap.js";
import { type ContestedAddress, ContestedAddresses } from "#ipam/contested.js";
import { Donors } from "#ipam/donors.js";
import { GRACE_MS, type Holder, Holdings, MAX_IDENT } from "#ipam/holdings.js";
import { contains, type Interval, overlap } from "#ipam/interval.js";
import { decodeMessage, encodeMessage, fromWire, type Message, type RingSummary } from "#ipam/messages.js";
import { type Genesis, Ring, type Span } from "#ipam/ring.js";
import { RingState } from "#ipam/ring-state.js";
import { Rivals } from "#ipam/rivals.js";
import { RollCall } from "#ipam/roll-call.js";
import type { Space } from "#ipam/space.js";
import { addressText, hostsOf, type Lease, leaseText, type Subnet, subnetOf } from "#ipam/subnet.js";
import { type Directory, peerText, type Surroundings } from "#ipam/surroundings.js";
import { Takeovers } from "#ipam/takeover.js";
import { type Reason, type Waiter, Waiting, type WaitOptions } from "#ipam/waiting.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { textOf, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Deadlines, repeats and repairs are looked at this often. */
const TICK_MS = 1_000;
/** Tries to get one certain address from an owner that is not within reach. As the original. */
const CLAIM_TRIES = 5;
const CLAIM_RETRY_MS = 1_000;
/** Own neighbours in the ring that differ only in their history are made one when there are this many. */
const TIDY_ABOVE = 4;

export const CHANNEL = "IPallocation";
/** "No container": the address is filed under its own text. */
const ANONYMOUS = "_";

export interface AllocatorOptions {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly init: Init;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: Directory;
}

export interface HolderOptions extends WaitOptions {
  /** Whether the death of the holder frees the address. */
  readonly container?: boolean;
}

/**
 * This peer's part of address allocation: hands out addresses of its own ranges, and gets ranges from others. No I/O of
 * its own.
 */
export class Allocator implements Gossiper {
  readonly range: Subnet;
  readonly holdings: Holdings;
  readonly #state: RingState;
  readonly #env: Surroundings;
  readonly #init: Init;
  readonly #bootstrap: Bootstrap;
  readonly #waiting: Waiting;
  readonly #donors: Donors;
  readonly #takeovers: Takeovers;
  readonly #contested: ContestedAddresses;
  readonly #rivals: Rivals;
  readonly #rollCall: RollCall;
  readonly #timer: Timer;
  /** Peers that have said something on our channel. */
  readonly #participants = new Set<PeerName>();
  #channel: GossipChannel | undefined;
  #toldFree: number | undefined;
  #left = false;

  /** @throws WEAVE_STORE when what is stored is damaged */
  constructor(options: AllocatorOptions) {
    const { self, range, clock, random, log, store, peers } = options;
    this.range = range;
    this.#init = options.init;
    this.#env = {
      self,
      range,
      clock,
      random,
      log,
      store,
      peers,
      unicast: (to, message) => this.#channel?.unicast(to, encodeMessage(range.text, message)) ?? false,
      gossip: (message) => this.#channel?.gossip(encodeMessage(range.text, message)),
    };
    this.#waiting = new Waiting(clock);
    this.holdings = new Holdings(store);
    this.#state = new RingState(this.#env, this.holdings.used, () => this.#waiting.retry());
    this.#bootstrap = new Bootstrap(this.#env, options.init, (genesis) => this.#begin(genesis));
    this.#donors = new Donors(this.#env);
    this.#takeovers = new Takeovers(this.#env, this.#state, this.holdings, () => this.#known());
    this.#contested = new ContestedAddresses(this.#env, this.#state, this.holdings);
    this.#rivals = new Rivals(this.#env);
    this.#rollCall = new RollCall(
      this.#env,
      this.#state,
      () => this.#known(),
      () => this.#waiting.retry(),
    );
    if (this.#state.ring?.spans.some(({ value }) => value.owner !== self)) this.#rollCall.begin();
    this.#timer = every(clock, TICK_MS, () => this.#tick());
  }

  /** Gives the sending end of our channel. */
  open(channel: GossipChannel): void {
    this.#channel = channel;
    // The operator named the peers: there is nothing to wait for.
    if (this.#init.mode === "seed" && this.#state.ring === undefined) this.#bootstrap.want();
  }

  // ── What users ask for ────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * An address in a subnet for a holder: the one it has there, else the lowest free one. Waits for the ring and for space.
   *
   * @throws WEAVE_IPAM_RANGE when the subnet is outside our range; WEAVE_IPAM_WAIT, WEAVE_CANCELLED, WEAVE_STORE
   */
  async allocate(ident: string, subnet: Subnet, options: HolderOptions = {}): Promise<Lease> {
    checkIdent(ident);
    const bounds = overlap(hostsOf(subnet), this.range);
    if (bounds === undefined)
      throw new WeaveError("WEAVE_IPAM_RANGE", `range ${subnet.text} out of bounds: ${this.range.text}`, {
        next: "Ask for a subnet within the range that all hosts were launched with (--ipalloc-range).",
      });
    return this.#waiting.run(
      {
        kind: "allocate",
        ident,
        subject: subnet.text,
        attempt: () => this.#tryAllocate(ident, subnet, bounds, options.container ?? false),
        reason: () => this.#reason(bounds),
      },
      options,
    );
  }

  /**
   * Gives a certain address to a holder. One outside our range is only noted; one of another peer is asked for.
   *
   * @throws WEAVE_IPAM when it is in use, or is the address of its network, or broadcast; WEAVE_IPAM_WAIT, WEAVE_CANCELLED
   */
  async claim(ident: string, lease: Lease, options: HolderOptions = {}): Promise<void> {
    checkIdent(ident);
    const { address, prefix } = lease;
    const subnet = subnetOf(lease);
    if (prefix < 31 && !contains(hostsOf(subnet), address)) {
      const what = address === subnet.start ? "the network's own address" : "the broadcast address";
      throw new WeaveError("WEAVE_IPAM", `address ${addressText(address)} is ${what} of ${subnet.text}`, {
        next: "Choose one between the two.",
      });
    }
    const one = { start: address, end: address + 1n };
    let tries = 0;
    let triedAt = Number.NEGATIVE_INFINITY;
    const unreachable = (owner: PeerName): undefined => {
      const now = this.#env.clock.now();
      if (now - triedAt < CLAIM_RETRY_MS) return undefined;
      triedAt = now;
      if (++tries <= CLAIM_TRIES) return undefined;
      throw new WeaveError("WEAVE_IPAM", `${this.#ownedBy(address, owner)} - it is not within reach`, {
        next: `If that peer is dead for good: 'weave rmpeer ${owner}'.`,
      });
    };
    await this.#waiting.run(
      {
        kind: "claim",
        ident,
        subject: leaseText(lease),
        attempt: () => this.#tryClaim(ident, lease, options.container ?? false, unreachable),
        reason: () => this.#reason(one),
      },
      options,
    );
  }

  /** What a holder has in a subnet. */
  lookup(ident: string, subnet: Subnet): Lease[] {
    const hosts = hostsOf(subnet);
    return (this.holdings.get(ident)?.leases ?? []).filter(({ address }) => contains(hosts, address));
  }

  /** @throws WEAVE_IPAM when the holder does not have it; WEAVE_STORE */
  free(ident: string, address: bigint): void {
    this.holdings.remove(ident === ANONYMOUS ? addressText(address) : ident, address);
    this.#waiting.retry();
  }

  /** @throws WEAVE_IPAM when the holder has nothing; WEAVE_STORE */
  freeAll(ident: string): void {
    this.#waiting.cancel("it was freed", ident);
    this.holdings.removeAll(ident);
    this.#waiting.retry();
  }

  /** A container has died: what it waits for is cancelled, what it holds is freed after {@link GRACE_MS}. */
  died(ident: string): void {
    this.#waiting.cancel("the container died", ident);
    this.holdings.mark(ident, this.#env.clock.now());
  }

  /** A container runs (again). */
  alive(ident: string): void {
    this.holdings.mark(ident, undefined);
  }

  /** Resolves when there is a ring. @throws WEAVE_IPAM_WAIT, WEAVE_CANCELLED */
  async prime(options: WaitOptions = {}): Promise<void> {
    await this.#waiting.run(
      {
        kind: "prime",
        ident: "",
        subject: "",
        attempt: () => (this.#ready() === undefined ? undefined : true),
        reason: () => this.#reason(this.range),
      },
      options,
    );
  }

  // ── What operators do ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes over what a dead peer owned. Any number of peers may do it, at the same time too.
   *
   * @param who name or nickname
   * @param force also a peer that is within reach
   * @returns the number of addresses that became ours; `agreed` resolves when they may be handed out
   * @throws WEAVE_IPAM when the peer is alive; WEAVE_STORE
   */
  removePeer(who: string, force = false): { count: bigint; agreed: Promise<void> } {
    const { self, peers } = this.#env;
    const peer = this.ownerCalled(who);
    if (peer === undefined || peer === self || this.#left) return { count: 0n, agreed: Promise.resolve() };
    if (peers.reachable().has(peer) && !force) {
      throw new WeaveError("WEAVE_IPAM", `${peerText(this.#env, peer)} is within reach, and not dead`, {
        next: "Run 'weave reset' on that host: it hands its addresses over. If it has just died, wait until 'weave status peers' shows it no more.",
      });
    }
    const count = this.#takeovers.claim(peer);
    this.#env.log.info("addresses taken over", { from: peerText(this.#env, peer), count: Number(count) });
    return { count, agreed: this.#takeovers.settled() };
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
    this.#waiting.cancel("this peer leaves the network");
    const own = this.#state.own;
    const heir = own.length === 0 ? undefined : this.#heir();
    if (heir === undefined) return undefined;
    this.#state.decide(
      own.map(({ start, end, value }) => ({
        start,
        end,
        value: this.#state.successor(value, {
          owner: heir,
          cause: "reset",
          ...(value.pending ? { from: value.from } : {}),
        }),
      })),
      heir,
    );
    return heir;
  }

  stop(): void {
    this.#timer.cancel();
    this.#bootstrap.stop();
    this.#waiting.cancel("the router stops");
    try {
      this.#state.flush();
    } catch (error) {
      this.#env.log.warn("the ring could not be written", { why: textOf(error) });
    }
  }

  // ── What is shown ─────────────────────────────────────────────────────────────────────────────────────────────────

  get self(): PeerName {
    return this.#env.self;
  }

  get ring(): Ring | undefined {
    return this.#state.ring;
  }

  /** What is ours to hand out. */
  get space(): Space {
    return this.#state.space;
  }

  get waiters(): readonly Waiter[] {
    return this.#waiting.all;
  }

  get election(): ReturnType<Bootstrap["status"]> {
    return this.#state.ring === undefined ? this.#bootstrap.status() : undefined;
  }

  get contested(): ContestedAddress[] {
    return this.#contested.status();
  }

  get rivals(): Reason[] {
    return this.#rivals.status(this.#summary());
  }

  /** Peers whose word is awaited before addresses that were taken over may be handed out. */
  get takeover(): Takeovers["status"] {
    return this.#takeovers.status;
  }

  get settledWithout(): ReadonlySet<PeerName> {
    return this.#takeovers.settledWithout;
  }

  /** Whether this peer came back, heard nobody, and hands out all the same. */
  get unheard(): boolean {
    return this.#rollCall.unheard;
  }

  /** Held addresses within the range. */
  get activeCount(): number {
    let count = 0;
    for (const [address] of this.holdings.addresses()) if (contains(this.range, address)) count++;
    return count;
  }

  peerText(peer: PeerName): string {
    return peerText(this.#env, peer);
  }

  isReachable(peer: PeerName): boolean {
    return peer === this.#env.self || this.#env.peers.reachable().has(peer);
  }

  /** Who is that, by name or nickname? Undefined where nobody owns anything under it. */
  ownerCalled(who: string): PeerName | undefined {
    const owners = [...(this.#state.ring?.shares().keys() ?? [])];
    return owners.find((owner) => this.#env.peers.nickname(owner) === who) ?? owners.find((owner) => owner === who);
  }

  // ── Trying ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tryAllocate(ident: string, subnet: Subnet, bounds: Interval, container: boolean): Lease | undefined {
    const existing = this.holdings.leaseIn(ident, hostsOf(subnet));
    if (existing !== undefined) {
      this.holdings.mark(ident, undefined);
      return existing;
    }
    const ring = this.#ready();
    if (ring === undefined) return undefined;
    const address = this.#state.space.lowest(bounds);
    if (address === undefined) {
      this.#donors.ask(bounds, ring);
      return undefined;
    }
    const lease = { address, prefix: subnet.prefix };
    this.holdings.add(ident === ANONYMOUS ? addressText(address) : ident, lease, container);
    return lease;
  }

  #tryClaim(
    ident: string,
    lease: Lease,
    container: boolean,
    unreachable: (owner: PeerName) => undefined,
  ): true | undefined {
    const { address } = lease;
    const text = addressText(address);
    const holder = this.holdings.holderOf(address);
    if (holder !== undefined && !this.#yields(holder, ident, text)) {
      this.holdings.mark(holder.ident, undefined);
      return true;
    }
    if (!contains(this.range, address)) return this.#take(ident, lease, container, holder);
    const ring = this.#ready();
    if (ring === undefined) return undefined;
    const { owner, pending } = ring.at(address).value;
    if (owner === this.#env.self) return pending ? undefined : this.#take(ident, lease, container, holder);
    if (!this.#env.peers.reachable().has(owner)) return unreachable(owner);
    const one = { start: address, end: address + 1n };
    if (this.#donors.hasDenied(owner, one)) throw new WeaveError("WEAVE_IPAM", this.#ownedBy(address, owner));
    this.#donors.ask(one, ring);
    return undefined;
  }

  #take(ident: string, lease: Lease, container: boolean, dead: Holder | undefined): true {
    if (dead !== undefined) this.holdings.remove(dead.ident, lease.address);
    this.holdings.add(ident === ANONYMOUS ? addressText(lease.address) : ident, lease, container);
    return true;
  }

  /** Whether the holder of an address gives way to another one. False: they are the same. @throws WEAVE_IPAM */
  #yields(holder: Holder, ident: string, text: string): boolean {
    if (holder.ident === ident || ident === ANONYMOUS) return false;
    if (holder.died !== undefined) return true;
    if (holder.ident === text) throw new WeaveError("WEAVE_IPAM", `address ${text} already in use`);
    throw new WeaveError("WEAVE_IPAM", `address ${text} is already owned by ${holder.ident}`, {
      next: `'weave ipam explain ${text}' tells more.`,
    });
  }

  #ownedBy(address: bigint, owner: PeerName): string {
    const nickname = this.#env.peers.nickname(owner) ?? "?";
    return `address ${addressText(address)} is owned by other peer ${owner} (${nickname})`;
  }

  /** The ring, when it may be handed out from. @throws WEAVE_CANCELLED, WEAVE_IPAM_RANGE */
  #ready(): Ring | undefined {
    if (this.#left) throw new WeaveError("WEAVE_CANCELLED", "this peer has left the network ('weave reset')");
    const { ring } = this.#state;
    this.#rivals.check(this.#summary());
    if (ring === undefined) {
      this.#bootstrap.want();
      // It may have been made at once.
      return this.#state.ring;
    }
    return this.#rollCall.running ? undefined : ring;
  }

  /** Why whoever needs addresses in an interval must wait. */
  #reason(bounds: Interval): Reason {
    const { peers } = this.#env;
    const { ring } = this.#state;
    if (ring === undefined) return this.#bootstrap.reason();
    if (this.#rollCall.running) {
      return {
        why: "word from other peers: this one was away, and may have been removed (for some seconds at most)",
        next: "Nothing needs to be done.",
      };
    }
    const takeover = this.#takeovers.status;
    if (takeover !== undefined) {
      return {
        why: `${this.#names(takeover.waiting)} to agree that addresses were taken over ('weave rmpeer')`,
        next: `A peer that is dead for good: 'weave rmpeer ${takeover.waiting[0]}'. One that is alive answers by itself.`,
      };
    }
    const spans = ring.within(bounds);
    const away = [...new Set(spans.map(({ value }) => value.owner))].filter((owner) => !this.isReachable(owner));
    const { asked, denied } = this.#donors.progress(bounds);
    const size = spans
      .filter(({ value }) => away.includes(value.owner))
      .reduce((sum, { start, end }) => sum + end - start, 0n);
    const parts = [
      asked === undefined || !peers.reachable().has(asked) ? "" : `the answer of ${peerText(this.#env, asked)}`,
      `an address to become free in ${intervalText(bounds)}${denied > 0 ? `: ${denied} peers have none to give` : ""}`,
      away.length > 0 ? `${size} are owned by ${this.#names(away)}, out of reach` : "",
    ].filter((part) => part !== "");
    return {
      why: asked === undefined ? parts.join("; ") : parts[0],
      next:
        away.length > 0
          ? `If dead for good: 'weave rmpeer ${away[0]}'.`
          : "Free addresses, or ask for a larger subnet; 'weave status ipam' shows who owns what.",
    };
  }

  #names(peers: readonly PeerName[]): string {
    const shown = peers.slice(0, 5).map((peer) => peerText(this.#env, peer));
    return shown.join(", ") + (peers.length > shown.length ? ` and ${peers.length - shown.length} more` : "");
  }

  // ── Gossip ────────────────────────────────────────────────────────────────────────────────────────────────────────

  onUnicast(from: PeerName, payload: Uint8Array): void {
    const message = this.#open(from, payload);
    if (message !== undefined) this.#hear(from, message);
  }

  onBroadcast(from: PeerName, payload: Uint8Array): void {
    this.onUnicast(from, payload);
  }

  onGossip(from: PeerName, payload: Uint8Array): Uint8Array | undefined {
    const message = this.#open(from, payload);
    const news = message === undefined ? undefined : this.#hear(from, message);
    return news === undefined ? undefined : encodeMessage(this.range.text, news);
  }

  /** For new neighbours and for repair: little, as most know it already. */
  state(): Uint8Array {
    const electing = this.ring === undefined && this.#bootstrap.votes.size > 0;
    const message: Message = electing ? { kind: "election", votes: this.#bootstrap.votes } : this.#digest();
    return encodeMessage(this.range.text, message);
  }

  /** Reads a message of a peer that allocates from the same range; others are noted. @throws WEAVE_MESSAGE_MALFORMED */
  #open(from: PeerName, payload: Uint8Array): Message | undefined {
    if (from === this.#env.self) return undefined;
    const { range, body } = decodeMessage(payload);
    if (range !== this.range.text) {
      if (body.kind === "digest") this.#rivals.note(from, range, body.ring ?? undefined);
      return undefined;
    }
    this.#rivals.forget(from);
    this.#participants.add(from);
    return fromWire(body, this.range);
  }

  /** @returns what of it was news to us, to be passed on @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  #hear(from: PeerName, message: Message): Message | undefined {
    switch (message.kind) {
      case "digest":
        this.#compare(from, message.ring);
        return undefined;
      case "ring":
        this.#hearRing(from, message);
        return undefined;
      case "news":
        return this.#hearNews(from, message);
      case "election":
        if (this.#state.ring === undefined) this.#bootstrap.hear(message.votes);
        else this.#tellRing(from, false);
        return undefined;
      case "need":
        if (this.#state.ring === undefined) this.#bootstrap.needed();
        else this.#tellRing(from, false);
        return undefined;
      case "request":
        this.#give(from, message.bounds);
        return undefined;
      case "denied":
        this.#donors.denied(from, message.bounds);
        this.#waiting.retry();
        return undefined;
      case "hint": {
        const news = message.peer !== this.#env.self && this.#donors.hint(message.peer, message.version, message.free);
        if (news) this.#waiting.retry();
        return news ? message : undefined;
      }
      case "agree":
        if (this.#hearSpans(from, message)) this.#takeovers.answer(from, message);
        return undefined;
      case "agreed":
        if (this.#hearSpans(from, message)) {
          this.#rollCall.answered(from, message.id);
          this.#takeovers.answered(from, message);
        }
        return undefined;
      case "keep":
        this.#contested.leave(from, message.addresses);
        return undefined;
      case "kept":
        this.#contested.refused(from, message.held);
        return undefined;
    }
  }

  /** Somebody has told what it has. Who lacks something is told, or asked, in full. */
  #compare(from: PeerName, theirs: RingSummary | undefined): void {
    const { ring } = this.#state;
    if (ring === undefined) {
      if (theirs !== undefined) this.#env.unicast(from, this.#digest());
    } else if (theirs?.digest !== ring.digest) this.#tellRing(from, theirs !== undefined);
  }

  #tellRing(to: PeerName, ask: boolean): void {
    const { ring } = this.#state;
    if (ring !== undefined) this.#env.unicast(to, { kind: "ring", genesis: ring.genesis, spans: ring.spans, ask });
  }

  #hearRing(from: PeerName, { genesis, spans, ask }: Extract<Message, { kind: "ring" }>): void {
    const theirs = Ring.whole(this.range, genesis, spans);
    if (theirs === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "an IPAM ring does not cover its range exactly once");
    if (this.#state.ring?.id !== theirs.id) this.#adopt(theirs);
    else this.#tellNews(this.#state.hear(spans));
    if (this.#state.ring?.digest !== theirs.digest && (ask || this.#state.ring?.id !== theirs.id))
      this.#tellRing(from, false);
  }

  /** Another ring than ours, or the first that we hear of. */
  #adopt(theirs: Ring): void {
    if (!this.#state.losesTo(theirs)) return;
    // That we own a part of it already, and have no memory of how, means that our disk was lost. This begins before the
    // ring changes: on that whoever waits tries again.
    if (theirs.ownedBy(this.#env.self).length > 0 && !this.#bootstrap.voted) this.#rollCall.begin();
    this.#state.adopt(theirs);
    this.#env.gossip(this.#digest());
  }

  #hearNews(from: PeerName, message: Extract<Message, { kind: "news" }>): Message | undefined {
    if (this.#state.ring?.id !== message.ring) {
      this.#env.unicast(from, this.#digest());
      return undefined;
    }
    this.#donors.gave(from);
    const news = this.#state.hear(message.spans);
    if (news.length === 0) this.#waiting.retry();
    return news.length === 0 ? undefined : { ...message, spans: news };
  }

  /** Merges spans that came with something else. False: they are of another ring. */
  #hearSpans(from: PeerName, { ring, spans }: { ring: string; spans: readonly Span[] }): boolean {
    if (this.#state.ring?.id !== ring) {
      this.#env.unicast(from, this.#digest());
      return false;
    }
    this.#tellNews(this.#state.hear(spans));
    return true;
  }

  #tellNews(spans: readonly Span[]): void {
    const { ring } = this.#state;
    if (ring !== undefined && spans.length > 0) this.#env.gossip({ kind: "news", ring: ring.id, spans });
  }

  /** A peer asks for space. */
  #give(to: PeerName, bounds: Interval): void {
    const { ring, space } = this.#state;
    // Not as long as we may have lost it ourselves.
    if (ring === undefined || this.#rollCall.running) return;
    const chunk = space.donation(bounds);
    if (chunk === undefined && ring.within(bounds).every(({ value }) => value.owner !== this.#env.self)) {
      // It asks the wrong one, because it knows less.
      this.#tellRing(to, true);
      return;
    }
    if (chunk === undefined) {
      this.#env.unicast(to, { kind: "denied", bounds, free: Number(space.freeIn(this.range)) });
      return;
    }
    this.#state.decide(
      ring.within(chunk).map(({ start, end, value }) => ({
        start,
        end,
        value: this.#state.successor(value, { owner: to, cause: "donation" }),
      })),
      to,
    );
  }

  #digest(): Message {
    return { kind: "digest", ring: this.#summary() };
  }

  #summary(): RingSummary | undefined {
    const { ring } = this.#state;
    return ring && { peers: ring.genesis.peers.length, at: ring.genesis.at, digest: ring.digest };
  }

  /** The first ring is decided. */
  #begin(genesis: Genesis): void {
    if (this.#state.ring !== undefined) return;
    this.#env.log.info("the range is divided", { range: this.range.text, among: genesis.peers });
    // With the peers named by the operator this may be the hundredth start, on a new disk.
    if (this.#init.mode === "seed" && genesis.peers.some((peer) => peer !== this.#env.self)) this.#rollCall.begin();
    this.#state.adopt(Ring.first(this.range, genesis));
    this.#env.gossip(this.#digest());
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    try {
      this.#lookAfter();
    } catch (error) {
      // A full disk, say: what could not be written has not happened, and is tried again.
      this.#env.log.error("IPAM could not do its regular work", { why: textOf(error) });
    }
    this.#waiting.retry();
  }

  #lookAfter(): void {
    const now = this.#env.clock.now();
    for (const { ident, died } of [...this.holdings.all()]) {
      if (died === undefined || now - died < GRACE_MS) continue;
      this.#env.log.info("the addresses of a dead container are free again", { ident });
      this.holdings.removeAll(ident);
    }
    this.#takeovers.tick();
    this.#contested.tick();
    this.#donors.tidy();
    this.#rivals.tidy();
    this.#state.flush();
    this.#tidy();
    this.#tellFree();
  }

  /** Makes own neighbours in the ring one span, so that it stays small however often space changes hands. */
  #tidy(): void {
    const runs: Span[][] = [];
    for (const span of this.#state.own) {
      const run = runs.at(-1);
      if (span.value.pending) runs.push([]);
      else if (run?.at(-1)?.end === span.start) run.push(span);
      else runs.push([span]);
    }
    const many = runs.filter((run) => run.length > 1);
    if (many.reduce((sum, run) => sum + run.length, 0) < TIDY_ABOVE) return;
    this.#state.decide(
      many.map((run) => {
        const values = run.map(({ value }) => value);
        const epoch = Math.max(...values.map((value) => value.epoch));
        const version = Math.max(...values.map((value) => value.version)) + 1;
        const value = this.#state.successor(values[0], { owner: this.#env.self, cause: "tidied", epoch, version });
        return { start: run[0].start, end: run.at(-1)!.end, value };
      }),
    );
  }

  /** Tells how much is free when that has doubled or halved: enough to choose whom to ask, and seldom. */
  #tellFree(): void {
    const { ring, space } = this.#state;
    if (ring === undefined) return;
    const free = Number(space.freeIn(this.range));
    // Until we say something, others go by our share.
    const told = this.#toldFree ?? Number(ring.shares().get(this.#env.self) ?? 0n);
    if (free === told || (free > told / 2 && free < told * 2)) return;
    this.#toldFree = free;
    this.#env.gossip({ kind: "hint", peer: this.#env.self, version: this.#env.clock.wall(), free });
  }

  /** Peers that answer: those that own something, and those that have spoken. Not those with another range. */
  #known(): Set<PeerName> {
    const known = new Set([...(this.#state.ring?.shares().keys() ?? []), ...this.#participants]);
    known.delete(this.#env.self);
    for (const peer of this.#rivals.peers()) known.delete(peer);
    return known;
  }

  /** As the original: whoever is likeliest to make use of it. */
  #heir(): PeerName | undefined {
    const { random, self, peers } = this.#env;
    const owners = [...(this.#state.ring?.shares().keys() ?? [])].filter((peer) => peer !== self);
    const reachable = peers.reachable();
    const choices = [
      owners.filter((peer) => reachable.has(peer)),
      [...this.#participants].filter((peer) => reachable.has(peer)),
      owners,
    ];
    const choice = choices.find((candidates) => candidates.length > 0);
    return choice?.[random.below(choice.length)];
  }
}

function checkIdent(ident: string): void {
  if (ident === "" || ident.length > MAX_IDENT || !/^[\x21-\x7e]+$/.test(ident)) {
    throw new WeaveError("WEAVE_IPAM", `invalid container id: ${JSON.stringify(ident.slice(0, 64))}`, {
      next: `An id is at most ${MAX_IDENT} visible ASCII characters.`,
    });
  }
}

function intervalText({ start, end }: Interval): string {
  return `${addressText(start)}-${addressText(end - 1n)}`;
}
