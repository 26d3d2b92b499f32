/**
 * The peer of each MAC address, and when it was last seen there. MACs and peers are 48-bit numbers; time is in
 * milliseconds on a monotonic clock.
 */

/** The usual ageing time of a large switch. */
export const AGE_MS = 10 * 60_000;
/**
 * A MAC seen on our own bridge this recently stays ours, also when frames from the network have it as their source. Longer
 * than the gap between a container's ARP refreshes. The MAC of a container that has gone is released earlier ({@link MacTable.release}).
 */
export const OWN_HOLD_MS = 60_000;
/** A flood of forged sources must not exhaust the memory: a full table takes no more until entries age. */
export const CAPACITY = 65_536;

export interface MacEntry {
  peer: number;
  seen: number;
}

export type Learned = "known" | "new" | "moved" | "refused" | "full";

export class MacTable {
  readonly #self: number;
  readonly #entries = new Map<number, MacEntry>();
  /** The peer that had the MAC before, after {@link learn} has returned "moved". */
  movedFrom = 0;

  constructor(self: number) {
    this.#self = self;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The peer that has `mac`, or undefined. */
  lookup(mac: number): number | undefined {
    return this.#entries.get(mac)?.peer;
  }

  /** Records that a frame from `mac` came from `peer`. "refused": the MAC is one of our own, and the frame must be dropped. */
  learn(mac: number, peer: number, now: number): Learned {
    const entry = this.#entries.get(mac);
    if (entry === undefined) {
      if (this.#entries.size >= CAPACITY) return "full";
      this.#entries.set(mac, { peer, seen: now });
      return "new";
    }
    if (entry.peer === peer) {
      entry.seen = now;
      return "known";
    }
    if (entry.peer === this.#self && now - entry.seen < OWN_HOLD_MS) return "refused";
    this.movedFrom = entry.peer;
    entry.peer = peer;
    entry.seen = now;
    return "moved";
  }

  /** Drops entries not seen for {@link AGE_MS}. */
  age(now: number): void {
    for (const [mac, entry] of this.#entries) if (now - entry.seen >= AGE_MS) this.#entries.delete(mac);
  }

  /** Drops a MAC of our own that has left our bridge. */
  release(mac: number): void {
    if (this.lookup(mac) === this.#self) this.#entries.delete(mac);
  }

  /** Drops all entries of `peer`, which is gone. */
  forget(peer: number): void {
    for (const [mac, entry] of this.#entries) if (entry.peer === peer) this.#entries.delete(mac);
  }

  entries(): IterableIterator<[number, MacEntry]> {
    return this.#entries.entries();
  }
}
