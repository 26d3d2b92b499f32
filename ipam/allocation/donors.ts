import { type Interval, sizeOf } from "#ipam/ring/interval.js";
import type { Ring } from "#ipam/ring/ring.js";
import { addressText } from "#ipam/ring/subnet.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { type KnownPeers, MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/** Limit for the answer to a request. */
const ANSWER_MS = 3_000;
/** Time for which a peer that has not answered is skipped. */
const SILENT_MS = 10_000;
/** Time for which a peer is skipped after a denial, unless it announces free space. */
const DENIED_MS = 30_000;
/** Weight, in addresses, of an owner without announced free space: it is chosen last, because its hint may be old. */
const MIN_WEIGHT = 0.001;

/** The search for space in one interval. */
interface Search {
  /** The peer whose answer is awaited. */
  peer: PeerName | undefined;
  /** Monotonic time of the last request. */
  at: number;
  /** Peers to skip, the monotonic time until when, and whether each has denied the request. */
  readonly skipped: Map<PeerName, { readonly until: number; readonly denied: boolean }>;
}

export interface DonorsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
}

/** Requests space from other peers, one after another, for each interval in which addresses are needed. */
export class Donors {
  readonly #deps: DonorsDeps;
  readonly #searches = new Map<string, Search>();
  /** The last announced number of free addresses of each peer. */
  readonly #hints = new Map<PeerName, { version: number; free: number }>();

  constructor(deps: DonorsDeps) {
    this.#deps = deps;
  }

  /** Records a peer's hint about its free space. @returns whether it was new */
  receiveHint(peer: PeerName, version: number, free: number): boolean {
    const known = this.#hints.get(peer);
    if (known === undefined ? this.#hints.size >= MAX_PEERS : known.version >= version) return false;
    this.#hints.set(peer, { version, free });
    if (free > 0) for (const search of this.#searches.values()) search.skipped.delete(peer);
    return true;
  }

  /** Requests addresses in an interval from the next owner, unless an answer is awaited. */
  request(bounds: Interval, ring: Ring): void {
    const { clock, log, sender } = this.#deps;
    const now = clock.now();
    const search = this.#searchFor(bounds);
    if (search.peer !== undefined) {
      if (now - search.at < ANSWER_MS) return;
      search.skipped.set(search.peer, { until: now + SILENT_MS, denied: false });
    }
    search.peer = this.#choose(bounds, search, ring, now);
    search.at = now;
    if (search.peer === undefined) return;
    log.debug("addresses are requested from a peer", { peer: search.peer, from: addressText(bounds.start) });
    sender.unicast(search.peer, { kind: "request", bounds });
  }

  /** Records a peer's denial of a request. */
  denied(peer: PeerName, bounds: Interval): void {
    const search = this.#searches.get(keyOf(bounds));
    if (search?.peer !== peer) return;
    search.peer = undefined;
    search.skipped.set(peer, { until: this.#deps.clock.now() + DENIED_MS, denied: true });
  }

  /** Ends the wait for a peer's answer: it has sent changes of the ring, perhaps a donation. */
  donated(peer: PeerName): void {
    for (const search of this.#searches.values()) if (search.peer === peer) search.peer = undefined;
  }

  /** Whether a peer has recently denied a request for an interval. */
  hasDenied(peer: PeerName, bounds: Interval): boolean {
    const skipped = this.#searches.get(keyOf(bounds))?.skipped.get(peer);
    return skipped?.denied === true && skipped.until > this.#deps.clock.now();
  }

  /** Returns the state of a search: the peer whose answer is awaited, and the number of denials. */
  progress(bounds: Interval): { peer: PeerName | undefined; denied: number } {
    const search = this.#searches.get(keyOf(bounds));
    const denied = [...(search?.skipped.values() ?? [])].filter((each) => each.denied).length;
    return { peer: search?.peer, denied };
  }

  /** Removes old searches. */
  tidy(): void {
    const now = this.#deps.clock.now();
    for (const [key, search] of this.#searches) if (now - search.at > 2 * DENIED_MS) this.#searches.delete(key);
  }

  #searchFor(bounds: Interval): Search {
    const key = keyOf(bounds);
    let search = this.#searches.get(key);
    if (search === undefined) {
      search = { peer: undefined, at: this.#deps.clock.now(), skipped: new Map() };
      this.#searches.set(key, search);
    }
    return search;
  }

  /** Chooses a random owner, weighted by announced free space, so that not all peers choose the same one. */
  #choose(bounds: Interval, { skipped }: Search, ring: Ring, now: number): PeerName | undefined {
    const reachable = this.#deps.peers.reachable();
    const shares = new Map<PeerName, number>();
    for (const span of ring.within(bounds)) {
      const { owner, pending } = span.value;
      if (pending || !reachable.has(owner) || (skipped.get(owner)?.until ?? 0) > now) continue;
      shares.set(owner, (shares.get(owner) ?? 0) + Number(sizeOf(span)));
    }
    let total = 0;
    for (const [peer, share] of shares) {
      const weight = Math.max(Math.min(share, this.#hints.get(peer)?.free ?? share), MIN_WEIGHT);
      shares.set(peer, weight);
      total += weight;
    }
    let point = (this.#deps.random.below(2 ** 32) / 2 ** 32) * total;
    for (const [peer, weight] of shares) {
      point -= weight;
      if (point < 0) return peer;
    }
    return [...shares.keys()].at(-1);
  }
}

const keyOf = ({ start, end }: Interval): string => `${start}-${end}`;
