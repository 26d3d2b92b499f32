import type { PeerName } from "#mesh/peer.js";
import { CAPACITY, PEER_SHARE } from "#router/datapath/mac-table.js";
import type { MacText } from "#src/mac.js";
import { compareText } from "#src/text.js";

/** Moves within {@link FREEZE_WINDOW_MS} after which a MAC that two hosts have is frozen (RFC 7432, section 15.1). */
export const FREEZE_MOVES = 5;
/** The time in which moves are counted (RFC 7432, section 15.1). */
export const FREEZE_WINDOW_MS = 180_000;
/**
 * For this time a host that has lost a MAC counts as one that had it: a container that is restarted, or whose host is, does not lose
 * its MAC to one that claims it meanwhile.
 */
export const HELD_MS = 10 * 60_000;
/**
 * Highest number that counts of a host that alone announces a MAC: honest ones are lower, and the next host of the MAC must be able to take
 * a higher one.
 */
export const LONE_SEQ = 1_000;
/**
 * For this time after the first announcement of a MAC a number that is far above that of another host is no sign of moves: this host may have
 * started now, and gossip delivers announcements in any order. The lower number counts then.
 */
export const SETTLE_MS = 30_000;
/** Hosts of a MAC whose times are kept: those that had it longest. */
const MAX_HELD = 8;

/** A MAC that two hosts announce by turns. It stays at one of them while both announce it. */
export interface FrozenMac {
  readonly mac: MacText;
  /** Where it stays: at the host that had it longest. */
  readonly at: PeerName;
  /** The other hosts that announce it. */
  readonly others: readonly PeerName[];
}

/** What has become of an announcement. "full": the peer, or all peers together, announce too many MACs. */
export type Placed = "moved" | "same" | "full";

/** How long a host had a MAC without a break, at most, and until when that counts. */
interface Held {
  readonly ms: number;
  readonly until: number;
}

interface Place {
  /** Sequence numbers of the present announcements, as they count. */
  readonly claims: Map<PeerName, number>;
  at: PeerName;
  since: number;
  /** When the first of the present announcements was received. */
  readonly receivedAt: number;
  /** Times at which the number grew while two hosts announced the MAC; the last {@link FREEZE_MOVES}. */
  raisedAt: number[];
  /** Of hosts that have lost the MAC to others. */
  held: Map<PeerName, Held> | undefined;
  frozen: boolean;
}

/**
 * Decides at which host each MAC is, from the announcements of all hosts. Pure.
 *
 * Of several announcements of one MAC the one with the highest sequence number counts; of equal ones that of the lower name, as in RFC
 * 7432. A hostile member cannot use up the numbers, nor have a MAC by one that no move has led to: one that is {@link FREEZE_MOVES} or more
 * above those of other hosts counts as that many more, or, of a MAC that was not known before, for less than the lower ones. A host alone
 * has {@link LONE_SEQ} at most.
 *
 * A MAC whose number grows {@link FREEZE_MOVES} times in {@link FREEZE_WINDOW_MS}, while two hosts announce it, is frozen: it stays at the
 * host that had it longest until one alone announces it. The threads decide by the same rule for frames (router/datapath/mac-moves.ts).
 */
export class MacPlaces {
  readonly #self: PeerName;
  readonly #places = new Map<MacText, Place>();
  /** Number of MACs that each peer announces here. */
  readonly #sizes = new Map<PeerName, number>();
  readonly #frozen = new Set<MacText>();

  /** @param self this host: for its MACs there is room, whatever others announce */
  constructor(self: PeerName) {
    this.#self = self;
  }

  /** Number of MACs. */
  get size(): number {
    return this.#places.size;
  }

  /** Number of MACs that a peer announces and that are kept. */
  sizeOf(peer: PeerName): number {
    return this.#sizes.get(peer) ?? 0;
  }

  /** The host that has a MAC; undefined: none announces it. */
  at(mac: MacText): PeerName | undefined {
    return this.#places.get(mac)?.at;
  }

  /** The peers that announce a MAC. */
  claimants(mac: MacText): readonly PeerName[] {
    return [...(this.#places.get(mac)?.claims.keys() ?? [])];
  }

  /** The highest sequence number that counts with which hosts announce a MAC; -1: none. */
  topOf(mac: MacText): number {
    return topOf(this.#places.get(mac)?.claims);
  }

  /** Whether two hosts announce a MAC by turns. */
  isFrozen(mac: MacText): boolean {
    return this.#frozen.has(mac);
  }

  /** Number of frozen MACs. */
  get frozenCount(): number {
    return this.#frozen.size;
  }

  /** The frozen MACs: for a report, as it takes time for each. */
  get frozen(): FrozenMac[] {
    return [...this.#frozen].map((mac) => this.frozenAt(mac)!);
  }

  /** Where a frozen MAC stays, and who announces it; undefined: it is not frozen. */
  frozenAt(mac: MacText): FrozenMac | undefined {
    if (!this.#frozen.has(mac)) return undefined;
    const { at, claims } = this.#places.get(mac)!;
    return { mac, at, others: [...claims.keys()].filter((peer) => peer !== at).sort(compareText) };
  }

  /** Records that a peer announces a MAC. @param now on a monotonic clock, in milliseconds */
  announce(mac: MacText, peer: PeerName, seq: number, now: number): Placed {
    const place = this.#places.get(mac);
    if (place?.claims.has(peer) !== true) {
      if (this.sizeOf(peer) >= PEER_SHARE) return "full";
      // What this host may still announce is kept free.
      const capacity = peer === this.#self ? CAPACITY : CAPACITY - PEER_SHARE + this.sizeOf(this.#self);
      if (place === undefined && this.#places.size >= capacity) return "full";
      this.#sizes.set(peer, this.sizeOf(peer) + 1);
    }
    if (place === undefined) {
      const history = { receivedAt: now, held: undefined, raisedAt: [], frozen: false };
      this.#places.set(mac, { claims: new Map([[peer, Math.min(seq, LONE_SEQ)]]), at: peer, since: now, ...history });
      return "moved";
    }
    // Of the numbers that count now: after a host has lowered its own, a number between the two is a move as well.
    const top = topOf(place.claims);
    place.claims.set(peer, seq);
    if (place.claims.size === 1) place.claims.set(peer, Math.min(seq, Math.max(LONE_SEQ, top)));
    else if (now - place.receivedAt < SETTLE_MS && !place.frozen && isFar(place, peer, seq))
      return settle(place, peer, now);
    else if (seq > top) {
      // Gossip delivers the last of several changes: each step of the number is a move.
      const steps = Math.min(FREEZE_MOVES, seq - top);
      for (let i = 0; i < steps; i++) place.raisedAt.push(now);
      place.raisedAt = place.raisedAt.slice(-FREEZE_MOVES);
      place.claims.set(peer, top + steps);
    }
    return this.#decide(mac, place, now);
  }

  /** Records that a peer announces a MAC no more. */
  withdraw(mac: MacText, peer: PeerName, now: number): Placed {
    const place = this.#places.get(mac);
    if (place === undefined || !place.claims.delete(peer)) return "same";
    this.#count(peer);
    if (place.claims.size > 0) {
      if (place.at === peer) noteHeld(place, now);
      return this.#decide(mac, place, now);
    }
    this.#places.delete(mac);
    this.#frozen.delete(mac);
    return "moved";
  }

  #count(peer: PeerName): void {
    const left = this.sizeOf(peer) - 1;
    if (left === 0) this.#sizes.delete(peer);
    else this.#sizes.set(peer, left);
  }

  #decide(mac: MacText, place: Place, now: number): Placed {
    const at = this.#choose(mac, place, now);
    if (at === place.at) return "same";
    if (place.claims.has(place.at)) noteHeld(place, now);
    place.at = at;
    place.since = now;
    return "moved";
  }

  #choose(mac: MacText, place: Place, now: number): PeerName {
    const { claims } = place;
    if (claims.size === 1) {
      place.frozen = false;
      this.#frozen.delete(mac);
      return claims.keys().next().value!;
    }
    if (place.frozen && claims.has(place.at)) return place.at;
    const [first] = place.raisedAt;
    if (place.raisedAt.length >= FREEZE_MOVES && now - first < FREEZE_WINDOW_MS) {
      place.frozen = true;
      this.#frozen.add(mac);
      return longestHolder(place, now);
    }
    return bestClaim(claims);
  }
}

const topOf = (claims: ReadonlyMap<PeerName, number> | undefined): number => Math.max(-1, ...(claims?.values() ?? []));

/** The highest number of the other hosts. */
const topOfOthers = ({ claims }: Place, peer: PeerName): number =>
  Math.max(...[...claims].map(([other, counted]) => (other === peer ? Number.NEGATIVE_INFINITY : counted)));

const isFar = (place: Place, peer: PeerName, seq: number): boolean =>
  Math.abs(seq - topOfOthers(place, peer)) >= FREEZE_MOVES;

/** Has the lower numbers count, where one is far from the others, and what was before is not known: no host has lost the MAC by that. */
function settle(place: Place, peer: PeerName, now: number): Placed {
  const { claims, at } = place;
  const seq = claims.get(peer)!;
  const others = topOfOthers(place, peer);
  if (seq > others) claims.set(peer, others - 1);
  else for (const [other, counted] of claims) if (other !== peer) claims.set(other, Math.min(counted, seq - 1));
  place.at = bestClaim(claims);
  if (place.at === at) return "same";
  place.since = now;
  return "moved";
}

/** Records how long the host of a MAC has had it, as it loses it now. */
function noteHeld(place: Place, now: number): void {
  const { at, since } = place;
  place.held ??= new Map();
  const { held } = place;
  for (const [peer, { until }] of held) if (now >= until) held.delete(peer);
  held.set(at, { ms: Math.max(now - since, held.get(at)?.ms ?? 0), until: now + HELD_MS });
  if (held.size <= MAX_HELD) return;
  const [[shortest]] = [...held].sort(([, a], [, b]) => a.ms - b.ms);
  held.delete(shortest);
}

function bestClaim(claims: ReadonlyMap<PeerName, number>): PeerName {
  let best: PeerName | undefined;
  for (const [peer, seq] of claims) {
    const other = best === undefined ? -1 : claims.get(best)!;
    if (best === undefined || seq > other || (seq === other && compareText(peer, best) < 0)) best = peer;
  }
  return best!;
}

/** The claimant that had the MAC longest without a break. */
function longestHolder({ claims, held, at, since }: Place, now: number): PeerName {
  let holder = bestClaim(claims);
  let longest = -1;
  for (const peer of claims.keys()) {
    const before = held?.get(peer);
    const ms = Math.max(before !== undefined && now < before.until ? before.ms : 0, peer === at ? now - since : 0);
    if (ms > longest || (ms === longest && compareText(peer, holder) < 0)) [holder, longest] = [peer, ms];
  }
  return holder;
}
