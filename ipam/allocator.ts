import { Bootstrap, type ElectionStatus, type IpallocInit } from "#ipam/agreement/bootstrap.js";
import { Confirmations } from "#ipam/agreement/confirmations.js";
import { Consents } from "#ipam/agreement/consents.js";
import { Disputes } from "#ipam/agreement/disputes.js";
import { LivingPeers } from "#ipam/agreement/living-peers.js";
import { Origins } from "#ipam/agreement/origins.js";
import { OtherRanges } from "#ipam/agreement/other-ranges.js";
import { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import { Participants } from "#ipam/agreement/participants.js";
import { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import { RingState } from "#ipam/agreement/ring-state.js";
import { RingSync } from "#ipam/agreement/ring-sync.js";
import { Stands } from "#ipam/agreement/stands.js";
import { type TakeoverStatus, Takeovers } from "#ipam/agreement/takeover.js";
import { type ContestedAddress, ContestedAddresses } from "#ipam/allocation/contested-addresses.js";
import { Donations } from "#ipam/allocation/donations.js";
import { Donors } from "#ipam/allocation/donors.js";
import { LeaseTable } from "#ipam/allocation/lease-table.js";
import { Requests } from "#ipam/allocation/requests.js";
import { RingAccess } from "#ipam/allocation/ring-access.js";
import { type Waiter, WaitQueue } from "#ipam/allocation/wait-queue.js";
import { WaitReasons } from "#ipam/allocation/wait-reasons.js";
import { MessageHandler } from "#ipam/message-handler.js";
import { contains } from "#ipam/ring/interval.js";
import { describePeer, type Reason } from "#ipam/ring/reason.js";
import type { Ring, Span } from "#ipam/ring/ring.js";
import type { Space } from "#ipam/ring/space.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { ringSummary } from "#ipam/wire/ipam-message.js";
import { MessageSender } from "#ipam/wire/message-sender.js";
import type { GossipChannel } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Interval at which time limits are checked, and requests repeated. */
const TICK_MS = 1_000;

/** The gossip channel of address allocation. */
export const IPAM_CHANNEL = "IPallocation";

export interface AllocatorDeps {
  readonly self: PeerName;
  /** The range that the whole network allocates from. */
  readonly range: Subnet;
  readonly init: IpallocInit;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly store: Store;
  readonly peers: KnownPeers;
  /** The identity of this peer, which signs its decisions. */
  readonly signer: Signer;
  /**
   * Returns the network's time, in milliseconds since the Unix epoch, by which the counters of other peers are checked; the
   * host's clock by default.
   */
  readonly time?: () => number;
}

/** Constructs the objects of an allocator, each after the objects that it depends on. */
function assemble(options: AllocatorDeps) {
  const { self, clock, store, range } = options;
  const waitQueue = new WaitQueue(clock);
  const leases = new LeaseTable(store);
  const sender = new MessageSender(range.text);
  const rejections = new RejectedMessages();
  const consents = new Consents({ ...options, rejections });
  const stands = new Stands({ ...options, rejections });
  const origins = new Origins({ ...options, stands, rejections });
  const living = new LivingPeers({ ...options, consents });
  const base = {
    time: () => clock.wall(),
    ...options,
    sender,
    leases,
    waitQueue,
    rejections,
    consents,
    stands,
    origins,
    living,
  };

  const { used, avoided } = leases;
  const onChange = () => {
    confirmations.look();
    waitQueue.retry();
  };
  const state = new RingState({ ...base, used, avoided, onChange });
  if (state.ring !== undefined) origins.look(state.ring, true);
  const members = () => (state.ring === undefined ? 1 : stands.behindOwn(state.ring));
  const otherRanges = new OtherRanges({ ...base, members });
  const participants = new Participants({ self, state, otherRanges });
  const withRing = { ...base, state, otherRanges, participants };

  const ownershipCheck = new OwnershipCheck({ ...withRing, onEnd: onChange });
  const bootstrap = new Bootstrap({ ...withRing, ownershipCheck });
  const heldAddresses = () => leases.addresses();
  const takeovers = new Takeovers({ ...withRing, heldAddresses });
  const confirmations = new Confirmations({ ...withRing, ownershipCheck, heldAddresses });
  const agreement = { ...withRing, ownershipCheck, bootstrap, takeovers, confirmations };

  const disputes = new Disputes(agreement);
  const sync = new RingSync(agreement);
  const donors = new Donors(base);
  const donations = new Donations({ ...agreement, sync });
  const contested = new ContestedAddresses({ ...withRing, sync });
  const access = new RingAccess(agreement);
  const waitReasons = new WaitReasons({ ...agreement, donors });
  const requests = new Requests({ ...agreement, access, donors, waitReasons });
  const messageHandler = new MessageHandler({ ...agreement, sync, donors, donations, contested });
  return { ...agreement, disputes, sync, donors, donations, contested, access, requests, messageHandler };
}

/**
 * Address allocation at a peer: allocates addresses of the peer's own spans, and obtains spans from other peers.
 *
 *     requests ── of users and containers     message handler ── messages of other peers
 *          │  lease table: addresses in use         │
 *          │  wait queue: blocked requests          │  bootstrap: the first ring
 *          │  donors: requests for space            │  ring sync, ownership check, takeovers
 *          └──────▶ ring state: the ring ◀──────────┤  donations, contested addresses
 *                   and this peer's space
 */
export class Allocator {
  readonly self: PeerName;
  readonly range: Subnet;
  readonly requests: Requests;
  readonly leases: LeaseTable;
  /** The receiving end of the IPAM channel. */
  readonly gossiper: MessageHandler;
  readonly #components: ReturnType<typeof assemble>;
  readonly #timer: Timer;
  /** Whether this peer has left the network. */
  #left = false;

  /** @throws WEAVE_STORE when stored state is damaged */
  constructor(deps: AllocatorDeps) {
    this.#components = assemble(deps);
    this.self = deps.self;
    this.range = deps.range;
    this.requests = this.#components.requests;
    this.leases = this.#components.leases;
    this.gossiper = this.#components.messageHandler;
    const ownsAll = this.ring?.spans.every(({ value }) => value.owner === this.self) ?? true;
    if (!ownsAll) this.#components.ownershipCheck.begin();
    this.#timer = every(deps.clock, TICK_MS, () => this.#tick());
  }

  /** Begins to send. @param channel the sending end of the IPAM channel */
  open(channel: GossipChannel): void {
    const { sender, bootstrap } = this.#components;
    sender.open(channel);
    // The operator has named the peers: no election is needed.
    if (bootstrap.mode === "seed" && this.ring === undefined) bootstrap.request();
  }

  /** Cancels all waiting requests, and writes the ring to disk. */
  stop(): void {
    const { bootstrap, waitQueue, state, log, confirmations } = this.#components;
    this.#timer.cancel();
    confirmations.stop();
    bootstrap.stop();
    waitQueue.cancel("the router stops");
    try {
      state.flush();
    } catch (error) {
      log.warn("the ring could not be written", { why: errorText(error) });
    }
  }

  // ── Operations ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes over the addresses of an unreachable peer. Several peers may take over the same addresses, also at the same time.
   *
   * @param who name or nickname
   * @param force also for a reachable peer
   * @returns the number of addresses taken over; `agreed` resolves when they may be allocated
   * @throws WEAVE_IPAM_PEER_ALIVE; WEAVE_STORE
   */
  removePeer(who: string, force = false): { count: bigint; agreed: Promise<void> } {
    const { log, takeovers } = this.#components;
    const peer = this.ownerCalled(who);
    if (peer === undefined || peer === this.self || this.#left) return { count: 0n, agreed: Promise.resolve() };
    if (this.isReachable(peer) && !force) {
      throw new WeaveError("WEAVE_IPAM_PEER_ALIVE", `${this.peerText(peer)} is reachable, and not dead`, {
        next: "Run 'weave reset' on that host: it hands its addresses over. If it has just died, wait until 'weave status peers' does not list it.",
      });
    }
    const count = takeovers.takeOver(peer);
    log.info("addresses taken over", { from: this.peerText(peer), count: Number(count) });
    return { count, agreed: takeovers.settled() };
  }

  /**
   * Transfers all addresses to another peer before this peer leaves for good (`reset`). All waiting requests are cancelled, and
   * later ones are rejected.
   *
   * @returns the heir; undefined when there is no other peer, or nothing to transfer
   * @throws WEAVE_STORE
   */
  leave(): PeerName | undefined {
    const { access, waitQueue, state } = this.#components;
    this.#left = true;
    access.close();
    waitQueue.cancel("this peer leaves the network");
    const heir = state.own.length === 0 ? undefined : this.#heir();
    if (heir === undefined) return undefined;
    const transfers = state.own.map(({ start, end, value }) => {
      // The heir of a pending span must wait for agreement, for which it needs the name of the removed peer.
      const from = value.pending ? value.from : value.owner;
      return { start, end, value: state.successor(value, { owner: heir, cause: "reset", from }) };
    });
    state.decide(transfers, heir);
    return heir;
  }

  // ── Status ────────────────────────────────────────────────────────────────────────────────────────────────────────

  get ring(): Ring | undefined {
    return this.#components.state.ring;
  }

  /** The space that this peer allocates from. */
  get space(): Space {
    return this.#components.state.space;
  }

  get waiters(): readonly Waiter[] {
    return this.#components.waitQueue.all;
  }

  /** The state of the election while there is no ring; undefined with a ring, or before the first request. */
  get election(): ElectionStatus | undefined {
    return this.ring === undefined ? this.#components.bootstrap.status() : undefined;
  }

  /** The reason why the range is not yet divided; undefined when it is divided, or before the first request. */
  get awaited(): Reason | undefined {
    return this.election === undefined ? undefined : this.#components.bootstrap.reason();
  }

  /** Spans that other peers have given to this one, and from which it does not allocate before all reachable peers know that. */
  get unconfirmedSpans(): readonly Span[] {
    return this.#components.state.unconfirmed;
  }

  /** Descriptions of addresses that a peer has given twice, and that are not allocated here. */
  get givenTwice(): Reason[] {
    return this.#components.confirmations.status();
  }

  get contested(): ContestedAddress[] {
    return this.#components.contested.status();
  }

  /** Descriptions of the peers with another range. */
  get otherRanges(): Reason[] {
    return this.#components.otherRanges.status(ringSummary(this.ring));
  }

  /** What other peers have sent, and is not used. */
  get rejections(): RejectedMessages {
    return this.#components.rejections;
  }

  /** The pending takeover, and the peers that must agree before its addresses may be allocated. */
  get takeover(): TakeoverStatus | undefined {
    return this.#components.takeovers.status;
  }

  /** Peers that have not agreed to takeovers since the start: they were unreachable, or did not answer. */
  get settledWithout(): ReadonlySet<PeerName> {
    return this.#components.takeovers.settledWithout;
  }

  /** Peers that have not agreed to the last takeover. */
  get missingAgreement(): readonly PeerName[] {
    return this.#components.takeovers.missingAgreement;
  }

  /** Whether this peer has restarted and allocates although no other peer has confirmed its spans. */
  get unconfirmed(): boolean {
    return this.#components.ownershipCheck.unconfirmed;
  }

  /** Number of held addresses within the range. */
  get activeCount(): number {
    let count = 0;
    for (const address of this.leases.addresses()) if (contains(this.range, address)) count++;
    return count;
  }

  peerText(peer: PeerName): string {
    return describePeer(this.#components.peers, peer);
  }

  isReachable(peer: PeerName): boolean {
    return peer === this.self || this.#components.peers.reachable().has(peer);
  }

  /** Finds an owner of addresses by name or nickname; undefined if there is none. */
  ownerCalled(who: string): PeerName | undefined {
    const owners = [...(this.ring?.shares().keys() ?? [])];
    const { peers } = this.#components;
    return owners.find((owner) => peers.nickname(owner) === who) ?? owners.find((owner) => owner === who);
  }

  // ── Inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    const {
      log,
      requests,
      takeovers,
      contested,
      donors,
      otherRanges,
      state,
      donations,
      sync,
      waitQueue,
      living,
      origins,
      disputes,
      confirmations,
    } = this.#components;
    try {
      if (state.ring !== undefined) {
        living.look(state.ring);
        origins.look(state.ring);
      }
      requests.tick();
      takeovers.tick();
      contested.tick();
      donors.tidy();
      otherRanges.tidy();
      state.flush();
      state.tidy();
      donations.announce();
      state.recheck();
      sync.tick();
      disputes.tick();
      confirmations.look();
    } catch (error) {
      // The disk may be full: a change that could not be written was not made, and is tried again.
      log.error("IPAM could not do its regular work", { why: errorText(error) });
    }
    waitQueue.retry();
  }

  /** Chooses the peer that most probably uses the addresses: a reachable owner, else a reachable participant, else any owner. */
  #heir(): PeerName | undefined {
    const { participants, random } = this.#components;
    const owners = [...(this.ring?.shares().keys() ?? [])].filter((peer) => peer !== this.self);
    const choices = [
      owners.filter((peer) => this.isReachable(peer)),
      [...participants.senders].filter((peer) => this.isReachable(peer)),
      owners,
    ];
    const choice = choices.find((candidates) => candidates.length > 0);
    return choice?.[random.below(choice.length)];
  }
}
