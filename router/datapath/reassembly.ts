import { MAX_RECORD } from "#router/datapath/record.js";
import { Memory } from "#src/linux/native/memory.js";
import { NO_ENDPOINT } from "#src/net/endpoint.js";

/** Records under reassembly at once. Fragments of a record follow one another closely; reordering mixes a few neighbours. */
const SLOTS = 32;
/** A slot holds a record and, behind it, its last fragment as long as the size of the others is not known. */
const SLOT_BYTES = MAX_RECORD + 9_216;

interface Slot {
  key: number;
  sourceId: number;
  count: number;
  have: number;
  fragmentBytes: number;
  lastBytes: number;
  stamp: number;
  readonly seen: Uint8Array;
  readonly at: number;
}

/**
 * Puts records together whose datagrams did not arrive in one receive, in order. A slot is taken over when it is the one
 * not touched for longest: forged fragments cannot take more than the fixed memory.
 */
export class Reassembly {
  readonly memory = new Memory(SLOTS * SLOT_BYTES);
  readonly #slots: Slot[] = [];
  #stamp = 0;
  /** Records given up because their slot was needed. */
  evicted = 0;
  /** Where the record is, and how long, after {@link add} answered true. */
  at = 0;
  length = 0;

  constructor() {
    for (let i = 0; i < SLOTS; i++) {
      this.#slots.push({
        key: -1,
        sourceId: NO_ENDPOINT,
        count: 0,
        have: 0,
        fragmentBytes: 0,
        lastBytes: 0,
        stamp: 0,
        seen: new Uint8Array(256),
        at: i * SLOT_BYTES,
      });
    }
  }

  /**
   * Adds one fragment, the `index`th of `count`: `bytes` at `offset` of `from`.
   *
   * @param key tells the record apart: session, lane, epoch and counter
   * @param sourceId the id of the endpoint that sent it: fragments of different senders never mix
   * @returns true when the record is complete; it stays valid until the next call
   */
  add(
    key: number,
    sourceId: number,
    index: number,
    count: number,
    from: Memory,
    offset: number,
    bytes: number,
  ): boolean {
    const slot = this.#find(key, sourceId, count);
    if (slot === undefined || slot.seen[index] || bytes <= 0) return false;
    const last = index === count - 1;
    if (last) slot.lastBytes = bytes;
    else if (slot.fragmentBytes === 0) slot.fragmentBytes = bytes;
    else if (slot.fragmentBytes !== bytes) return false;
    if (slot.fragmentBytes * (count - 1) + slot.lastBytes > MAX_RECORD || (last && bytes > 9_216)) return false;
    slot.seen[index] = 1;
    slot.have++;
    const to = last ? slot.at + MAX_RECORD : slot.at + index * bytes;
    this.memory.copyFrom(to, from, offset, bytes);
    if (slot.have < count) return false;
    this.memory.copy(slot.at + slot.fragmentBytes * (count - 1), slot.at + MAX_RECORD, slot.lastBytes);
    slot.key = -1;
    this.at = slot.at;
    this.length = slot.fragmentBytes * (count - 1) + slot.lastBytes;
    return true;
  }

  #find(key: number, sourceId: number, count: number): Slot | undefined {
    let oldest = this.#slots[0];
    for (const slot of this.#slots) {
      if (slot.key === key && slot.sourceId === sourceId) {
        slot.stamp = ++this.#stamp;
        return slot.count === count ? slot : undefined;
      }
      if (slot.stamp < oldest.stamp) oldest = slot;
    }
    if (oldest.key !== -1) this.evicted++;
    oldest.key = key;
    oldest.sourceId = sourceId;
    oldest.count = count;
    oldest.have = oldest.fragmentBytes = oldest.lastBytes = 0;
    oldest.stamp = ++this.#stamp;
    oldest.seen.fill(0);
    return oldest;
  }
}
