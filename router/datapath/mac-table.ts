/** Age at which an entry is dropped: as usual for large switches. */
export const AGE_MS = 10 * 60_000;
/**
 * For this time after its last frame a MAC of our own bridge cannot move to another peer. Longer than the interval of a
 * container's ARP refreshes. The MAC of a container that has ended is released earlier ({@link MacTable.release}).
 */
export const OWN_HOLD_MS = 60_000;
/** Maximum entries: forged source MACs must not exhaust the memory. A full table learns no MAC until entries age. */
export const CAPACITY = 65_536;

export interface MacEntry {
  peer: number;
  seen: number;
}

export type Learned = "known" | "new" | "moved" | "refused" | "full";

/**
 * Maps each MAC address to the peer that it was last seen at. MACs and peers are 48-bit numbers; times are in milliseconds on
 * a monotonic clock.
 */
export class MacTable {
  readonly #self: number;
  readonly #entries = new Map<number, MacEntry>();
  /** The previous peer of the MAC, valid after {@link learn} has returned "moved". */
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

  /** Drops a MAC of this peer that is no longer on our bridge. */
  release(mac: number): void {
    if (this.lookup(mac) === this.#self) this.#entries.delete(mac);
  }

  /** Drops all entries of `peer`. */
  forget(peer: number): void {
    for (const [mac, entry] of this.#entries) if (entry.peer === peer) this.#entries.delete(mac);
  }

  entries(): IterableIterator<[number, MacEntry]> {
    return this.#entries.entries();
  }
}
