import { LARGEST_FRAGMENT } from "#router/datapath/fragment-size.js";
import { MAX_RECORD } from "#router/datapath/record.js";
import { Memory } from "#src/linux/native/memory.js";
import { NO_ENDPOINT } from "#src/net/endpoint.js";

/** Maximum records under reassembly at the same time: reordering mixes only fragments of records sent close together. */
const SLOTS = 32;
/** A slot contains a record, and after it the last fragment until the size of the other fragments is known. */
const SLOT_BYTES = MAX_RECORD + LARGEST_FRAGMENT;

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

/** A fragment of a sealed record, and the fields of its datagram. */
export interface Fragment {
  memory: Memory;
  offset: number;
  bytes: number;
  /** Index of the fragment, from 0, and the number of fragments of its record. */
  index: number;
  count: number;
  /** Identifies the record among those of the same sender: session, lane, epoch and counter. */
  key: number;
  /** The id of the endpoint that sent it: fragments of different senders never mix. */
  sourceId: number;
}

/**
 * Reassembles records whose datagrams did not arrive in order within one receive. A new record evicts the least recently used
 * slot: forged fragments cannot use more than the fixed memory.
 */
export class Reassembly {
  readonly memory = new Memory(SLOTS * SLOT_BYTES);
  readonly #slots: readonly Slot[] = Array.from({ length: SLOTS }, (_, i) => ({
    key: -1,
    sourceId: NO_ENDPOINT,
    count: 0,
    have: 0,
    fragmentBytes: 0,
    lastBytes: 0,
    stamp: 0,
    seen: new Uint8Array(256),
    at: i * SLOT_BYTES,
  }));
  #stamp = 0;
  /** Number of incomplete records that were evicted. */
  evicted = 0;
  /** Offset and length of the record in {@link memory}, after {@link add} returned true. */
  at = 0;
  length = 0;

  /** Adds a fragment. True: its record is complete, and is valid until the next call. */
  add(fragment: Fragment): boolean {
    const { index, count, bytes } = fragment;
    const slot = this.#find(fragment);
    if (slot === undefined || slot.seen[index] || bytes <= 0) return false;
    const last = index === count - 1;
    if (last) slot.lastBytes = bytes;
    else if (slot.fragmentBytes === 0) slot.fragmentBytes = bytes;
    else if (slot.fragmentBytes !== bytes) return false;
    const length = slot.fragmentBytes * (count - 1) + slot.lastBytes;
    if (length > MAX_RECORD || (last && bytes > LARGEST_FRAGMENT)) return false;
    slot.seen[index] = 1;
    slot.have++;
    const to = last ? slot.at + MAX_RECORD : slot.at + index * bytes;
    this.memory.copyFrom(to, fragment.memory, fragment.offset, bytes);
    if (slot.have < count) return false;
    this.memory.copy(slot.at + slot.fragmentBytes * (count - 1), slot.at + MAX_RECORD, slot.lastBytes);
    slot.key = -1;
    this.at = slot.at;
    this.length = length;
    return true;
  }

  /** The slot of a fragment's record; undefined when that record was begun with another count of fragments. */
  #find({ key, sourceId, count }: Fragment): Slot | undefined {
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
