import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { RingSync } from "#ipam/agreement/ring-sync.js";
import { FairShares } from "#ipam/allocation/fair-shares.js";
import type { Interval } from "#ipam/ring/interval.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { successor } from "#mesh/counter.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

export interface DonationsDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  /** Milliseconds since the Unix epoch, on the network's clock. */
  readonly time: () => number;
  readonly clock: Clock;
  readonly peers: KnownPeers;
  readonly rejections: RejectedMessages;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly sync: RingSync;
  readonly ownershipCheck: OwnershipCheck;
}

/** This peer as a donor: answers requests for space, and announces the number of free addresses. */
export class Donations {
  readonly #deps: DonationsDeps;
  /** The last announced number; undefined if none was announced, or another peer has forged a hint. */
  #announced: number | undefined;
  #hintVersion = 0;
  readonly #shares: FairShares;

  constructor(deps: DonationsDeps) {
    this.#deps = deps;
    this.#shares = new FairShares(deps.clock);
  }

  /** Donates space in an interval to a peer, or denies it. @throws WEAVE_STORE */
  request(from: PeerName, bounds: Interval): void {
    const { self, range, sender, state, sync, ownershipCheck, peers, rejections } = this.#deps;
    const { ring, space } = state;
    // During the check this peer may no longer own the space.
    if (ring === undefined || ownershipCheck.running) return;
    const largest = space.donation(bounds);
    if (largest !== undefined) {
      const owned = ring.shares().get(self) ?? 0n;
      const block = this.#shares.limit(from, largest, { owned, peers: peers.reachable().size + 1 });
      if (block === undefined) {
        rejections.note("too many requests", from);
        return;
      }
      this.#shares.note(from, block);
      state.decide(
        ring.within(block).map(({ start, end, value }) => ({
          start,
          end,
          value: state.successor(value, { owner: from, cause: "donation" }),
        })),
        from,
      );
    } else if (ring.within(bounds).every(({ value }) => value.owner !== self)) {
      // This peer owns no address in the interval: the other peer's ring is older.
      sync.sendRing(from, true);
    } else sender.unicast(from, { kind: "denied", bounds, free: Number(space.freeIn(range)) });
  }

  /** Handles a received hint in this peer's name: the next hint must have a higher version. */
  receiveOwnHint(version: number): void {
    if (version <= this.#hintVersion) return;
    this.#hintVersion = version;
    this.#announced = undefined;
  }

  /** Announces the number of free addresses when it has doubled or halved since the last announcement. */
  announce(): void {
    const { self, range, time, sender, state } = this.#deps;
    const { ring, space } = state;
    if (ring === undefined) return;
    const free = Number(space.freeIn(range));
    // Before the first announcement other peers assume that all of this peer's share is free.
    const announced = this.#announced ?? Number(ring.shares().get(self) ?? 0n);
    if (free === announced || (free > announced / 2 && free < announced * 2)) return;
    this.#announced = free;
    this.#hintVersion = Math.max(time(), successor(this.#hintVersion));
    sender.gossip({ kind: "hint", peer: self, version: this.#hintVersion, free });
  }
}
