import type { Tally } from "#router/datapath/protocol.js";
import { DATAGRAM_HEADER, DATAGRAM_TYPE } from "#router/datapath/record.js";
import { sendDropReason } from "#router/datapath/send-failure.js";
import type { Session } from "#router/datapath/session.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Errno } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { MAX_SEGMENTS, MAX_SEND_BYTES } from "#src/linux/native/udp.js";
import type { SendPath } from "#src/linux/native/udp-sender.js";

/** Bytes from one datagram header to the next: the header (12 bytes), rounded up for alignment. */
const HEADER_SLOT = 16;
/** A datagram is two spans: its header and its fragment. */
const SPANS_PER_DATAGRAM = 2;

/**
 * Datagrams that one system call sends. UDP_SEGMENT requires that all have one destination and one size; the last may be
 * shorter. All belong to one session.
 *
 * A record joins in three steps: {@link plan} its cut, seal it, {@link add} it.
 */
export class DatagramBatch {
  readonly #records: Memory;
  readonly #tally: Tally;
  readonly #tooBig: (session: Session) => void;
  readonly #headers = new Memory(MAX_SEGMENTS * HEADER_SLOT);
  readonly #parts = new IoVector(SPANS_PER_DATAGRAM * MAX_SEGMENTS);
  #session: Session | undefined;
  #datagrams = 0;
  /** Bytes of the fragment in each datagram; the last may be shorter. */
  #fragmentBytes = 0;
  /** The last datagram is short: no other may follow in this batch. */
  #closed = false;

  /** The planned record is cut into this many fragments of this size; the last may be shorter. */
  fragments = 0;
  fragmentBytes = 0;

  /**
   * @param records the memory that contains the records
   * @param tooBig called when the kernel refuses a datagram for its size
   */
  constructor(records: Memory, tally: Tally, tooBig: (session: Session) => void) {
    this.#records = records;
    this.#tally = tally;
    this.#tooBig = tooBig;
  }

  /**
   * Plans how a record of `length` bytes is cut. If its datagrams do not fit the current batch, that batch is sent first.
   *
   * @param largest maximum bytes of a fragment
   */
  plan(session: Session, length: number, largest: number): void {
    if (this.#datagrams > 0) {
      if (this.#session === session && !this.#closed && this.#fragmentBytes <= largest) {
        const fragments = Math.ceil(length / this.#fragmentBytes);
        if (this.#fits(fragments)) {
          this.fragments = fragments;
          this.fragmentBytes = this.#fragmentBytes;
          return;
        }
      }
      this.send();
    }
    this.fragments = Math.ceil(length / largest);
    // Fragments of equal size: records of one length then end without a short datagram.
    this.fragmentBytes = Math.ceil(length / this.fragments);
  }

  /** Adds the planned record: `length` bytes at `start`, sealed with `counter`. */
  add(session: Session, start: number, length: number, counter: number): void {
    const { fragments, fragmentBytes } = this;
    const { view } = this.#headers;
    const { laneEpoch } = session.keys;
    if (this.#datagrams === 0) this.#fragmentBytes = fragmentBytes;
    this.#session = session;
    for (let index = 0; index < fragments; index++) {
      if (!this.#fits(1)) this.send();
      const slot = this.#datagrams * HEADER_SLOT;
      view.setUint32(slot, DATAGRAM_TYPE | (index << 8) | (fragments << 16) | (laneEpoch << 24), true);
      view.setUint32(slot + 4, session.keys.remote, true);
      view.setUint32(slot + 8, counter >>> 0, true);
      const done = index * fragmentBytes;
      this.#parts.push(this.#headers, slot, DATAGRAM_HEADER);
      this.#parts.push(this.#records, start + done, Math.min(fragmentBytes, length - done));
      this.#datagrams++;
    }
    this.#closed = length % fragmentBytes !== 0;
  }

  /** Sends the batch. */
  send(): void {
    if (this.#datagrams === 0) return;
    const { bytes } = this.#parts;
    const session = this.#session!;
    const result = this.#sendTo(session);
    const { counters } = this.#tally;
    if (result === bytes) {
      counters.datagramsSent += this.#datagrams;
      counters.bytesSent += bytes;
    } else {
      this.#tally.drop(sendDropReason(-result), this.#datagrams);
      if (result === -Errno.EMSGSIZE || result === -Errno.EINVAL) this.#tooBig(session);
    }
    this.#parts.clear();
    this.#datagrams = 0;
    this.#closed = false;
  }

  #fits(datagrams: number): boolean {
    const count = this.#datagrams + datagrams;
    return count <= MAX_SEGMENTS && count * (this.#fragmentBytes + DATAGRAM_HEADER) <= MAX_SEND_BYTES;
  }

  /** Returns the count of bytes, or minus errno. */
  #sendTo(session: Session): number {
    const { sender, source } = session;
    const datagramBytes = this.#fragmentBytes + DATAGRAM_HEADER;
    // The transmitter adds records only for sessions whose address is known.
    const path = session as Session & SendPath;
    const result = sender.send(this.#parts, datagramBytes, SPANS_PER_DATAGRAM, path);
    if (source === undefined || (result !== -Errno.EINVAL && result !== -Errno.ENETUNREACH)) return result;
    // This host may no longer have that source address. Any other cause makes the second attempt fail too.
    session.source = undefined;
    const unbound = sender.send(this.#parts, datagramBytes, SPANS_PER_DATAGRAM, path);
    if (unbound < 0) session.source = source;
    return unbound;
  }
}
