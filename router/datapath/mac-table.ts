import { type MacClaims, MacLedger } from "#router/datapath/mac-ledger.js";
import { isReturn, type MoveHistory, movedOn, settled } from "#router/datapath/mac-moves.js";

/** Age at which an entry is dropped: as usual for large switches. */
export const AGE_MS = 10 * 60_000;
/**
 * For this time after its last frame a MAC of our own bridge cannot move to another peer. Longer than the interval of a
 * container's ARP refreshes. The MAC of a container that has ended is released earlier ({@link MacTable.release}).
 */
export const OWN_HOLD_MS = 60_000;
/** Maximum entries: forged source MACs must not exhaust the memory. A full table learns no MAC until entries age. */
export const CAPACITY = 65_536;
/**
 * Maximum entries of one peer, so that one alone cannot fill the table for all. A bridge of Linux has 1,024 ports (BR_MAX_PORTS): four
 * times as many leave room for containers that are routers or hosts of others.
 */
export const PEER_SHARE = 4_096;

export interface MacEntry {
  peer: number;
  seen: number;
  /** Since when the peer has the MAC. */
  since: number;
  /** Undefined for a MAC that has not moved lately. */
  moves: MoveHistory | undefined;
}

/**
 * - "refused": the MAC is one of our own, and the frame must be dropped.
 * - "held": the MAC stays where it is, as it moves to and fro; the frame is delivered.
 * - "late": the same for a frame of its former peer, which was under way while it moved.
 * - "full": the MAC is not learned, as the table or the peer's share of it is full; frames to it are flooded.
 */
export type Learned = "known" | "new" | "moved" | "refused" | "held" | "late" | "full";

/**
 * Maps each MAC address to the peer that it was last seen at. MACs and peers are 48-bit numbers; times are in milliseconds on
 * a monotonic clock.
 *
 * A MAC moves at once, as its container may have moved. One that returns to a peer shortly after it has left it is claimed by two: it
 * stays with the one that has had it longest (mac-moves.ts).
 */
export class MacTable {
  readonly #self: number;
  readonly #entries = new Map<number, MacEntry>();
  readonly #ledger = new MacLedger();
  /** The previous peer of the MAC, valid after {@link learn} has returned "moved". */
  movedFrom = 0;

  constructor(self: number) {
    this.#self = self;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Number of MACs of a peer. */
  sizeOf(peer: number): number {
    return this.#ledger.has(peer);
  }

  /** The peer that has `mac`, or undefined. */
  lookup(mac: number): number | undefined {
    return this.#entries.get(mac)?.peer;
  }

  /** What peers have claimed that others had, or above their share. */
  get claims(): MacClaims[] {
    return this.#ledger.claims();
  }

  /**
   * Records that a frame from `mac` came from `peer`.
   *
   * @param counts false: another thread has received the frame, and counts what it claims
   */
  learn(mac: number, peer: number, now: number, counts = true): Learned {
    const entry = this.#entries.get(mac);
    if (entry === undefined) {
      const added = this.#add(mac, peer, now);
      if (added === "full" && counts) this.#ledger.claimed(peer, added, mac, 0);
      return added;
    }
    if (entry.peer === peer) {
      entry.seen = now;
      return "known";
    }
    const result = this.#contest(entry, peer, now);
    if (result !== "late" && counts) this.#ledger.claimed(peer, result, mac, entry.peer);
    if (result === "moved") this.#move(entry, peer, now);
    return result;
  }

  /** Drops entries not seen for {@link AGE_MS}. */
  age(now: number): void {
    for (const [mac, entry] of this.#entries) {
      if (now - entry.seen >= AGE_MS) this.#drop(mac, entry);
      else if (entry.moves !== undefined && settled(entry.moves, now)) entry.moves = undefined;
    }
  }

  /** Drops a MAC of this peer that is no longer on our bridge. */
  release(mac: number): void {
    const entry = this.#entries.get(mac);
    if (entry?.peer === this.#self) this.#drop(mac, entry);
  }

  /** Drops all entries of `peer`. */
  forget(peer: number): void {
    for (const [mac, entry] of this.#entries) if (entry.peer === peer) this.#drop(mac, entry);
  }

  entries(): IterableIterator<[number, MacEntry]> {
    return this.#entries.entries();
  }

  #add(mac: number, peer: number, now: number): "new" | "full" {
    if (this.#entries.size >= CAPACITY || this.#ledger.has(peer) >= PEER_SHARE) return "full";
    this.#entries.set(mac, { peer, seen: now, since: now, moves: undefined });
    this.#ledger.count(peer, 1);
    return "new";
  }

  /** Decides about a MAC that another peer has. */
  #contest(entry: MacEntry, peer: number, now: number): "moved" | "refused" | "held" | "late" | "full" {
    // Our own bridge is no claim: we see where the frame comes from.
    if (peer === this.#self) return "moved";
    if (entry.peer === this.#self && now - entry.seen < OWN_HOLD_MS) return "refused";
    if (this.#ledger.has(peer) >= PEER_SHARE) return "full";
    return entry.moves === undefined ? "moved" : isReturn(entry, entry.moves, peer, now);
  }

  #move(entry: MacEntry, peer: number, now: number): void {
    this.movedFrom = entry.peer;
    this.#ledger.count(entry.peer, -1);
    this.#ledger.count(peer, 1);
    entry.moves = movedOn(entry, now);
    entry.peer = peer;
    entry.seen = entry.since = now;
  }

  #drop(mac: number, entry: MacEntry): void {
    this.#entries.delete(mac);
    this.#ledger.count(entry.peer, -1);
  }
}
