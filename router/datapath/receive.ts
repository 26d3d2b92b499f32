import type { DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Reassembly } from "#router/datapath/reassembly.js";
import { DATAGRAM_HEADER, DATAGRAM_TYPE, RECORD_OVERHEAD } from "#router/datapath/record.js";
import type { Session } from "#router/datapath/session.js";
import type { Switch } from "#router/datapath/switch.js";
import { Memory } from "#src/host/native/memory.js";
import { IoVector, type UdpSocket } from "#src/host/native/udp.js";

/** What one receive may bring: UDP_GRO joins datagrams up to 64 KB. */
const BUFFER_BYTES = 65_536;
const VECTOR_AT = BUFFER_BYTES;

/** Datagrams in, opened records out. */
export class Receiver {
  readonly #udp: UdpSocket;
  readonly #switch: Switch;
  readonly #tally: Tally;
  readonly #tell: (event: DatapathEvent) => void;
  readonly #memory = new Memory(BUFFER_BYTES + 16);
  readonly #buffer: IoVector;
  readonly #reassembly = new Reassembly();

  constructor(udp: UdpSocket, to: Switch, tally: Tally, tell: (event: DatapathEvent) => void) {
    this.#udp = udp;
    this.#switch = to;
    this.#tally = tally;
    this.#tell = tell;
    this.#buffer = new IoVector(this.#memory, VECTOR_AT, 1);
    this.#buffer.push(0, BUFFER_BYTES);
  }

  /** One receive, with all that follows from it. False: there was nothing. */
  pump(): boolean {
    const count = this.#udp.receive(this.#buffer);
    if (count < 0) return false;
    const { counters } = this.#tally;
    counters.bytesReceived += count;
    const stride = this.#udp.segmentBytes;
    for (let at = 0; at < count; ) {
      counters.datagramsReceived++;
      at += this.#datagram(at, Math.min(stride, count - at), stride, count);
    }
    return true;
  }

  /**
   * Takes the datagram at `at`, and with it the rest of its record when that follows in order. Returns how far the
   * next one is.
   */
  #datagram(at: number, length: number, stride: number, end: number): number {
    const { u8, view } = this.#memory;
    const index = u8[at + 1];
    const pieces = u8[at + 2];
    if (length <= DATAGRAM_HEADER || u8[at] !== DATAGRAM_TYPE || index >= pieces) {
      this.#tally.drop("datagram-malformed");
      return length;
    }
    const session = this.#switch.sessions.get(view.getUint32(at + 4, true));
    if (session === undefined) {
      this.#tally.drop("session-unknown");
      return length;
    }
    const epoch = u8[at + 3];
    const record = at + DATAGRAM_HEADER;
    if (pieces === 1) {
      this.#record(session, this.#memory, record, length - DATAGRAM_HEADER, epoch, 1, length);
      return length;
    }
    if (index === 0) {
      const joined = this.#joinInPlace(at, pieces, stride, end);
      if (joined > 0) {
        this.#record(session, this.#memory, record, joined, epoch, pieces, stride);
        this.#tally.counters.datagramsReceived += pieces - 1;
        return joined + pieces * DATAGRAM_HEADER;
      }
    }
    const before = this.#reassembly.evicted;
    const key = (view.getUint32(at + 4, true) * 256 + epoch) * 2 ** 13 + (view.getUint32(at + 8, true) % 2 ** 13);
    if (this.#reassembly.add(key, this.#memory, at, length)) {
      const { memory } = this.#reassembly;
      this.#record(session, memory, this.#reassembly.at, this.#reassembly.length, epoch, pieces, length);
    }
    if (this.#reassembly.evicted > before) this.#tally.drop("reassembly-evicted");
    return length;
  }

  /** Moves the pieces of a record together over their headers, if all are here and in order. Returns its length, or 0. */
  #joinInPlace(at: number, pieces: number, stride: number, end: number): number {
    const { u8, view } = this.#memory;
    const lastAt = at + (pieces - 1) * stride;
    if (lastAt + DATAGRAM_HEADER >= end) return 0;
    const word = view.getUint32(at, true);
    const session = view.getUint32(at + 4, true);
    const counter = view.getUint32(at + 8, true);
    for (let i = 1; i < pieces; i++) {
      const p = at + i * stride;
      // The first word is type, index, count, epoch: the same but for the index.
      if (
        view.getUint32(p, true) !== word + i * 256 ||
        view.getUint32(p + 4, true) !== session ||
        view.getUint32(p + 8, true) !== counter
      )
        return 0;
    }
    const piece = stride - DATAGRAM_HEADER;
    let to = at + stride;
    for (let i = 1; i < pieces; i++) {
      const from = at + i * stride + DATAGRAM_HEADER;
      const bytes = Math.min(piece, end - from);
      u8.copyWithin(to, from, from + bytes);
      to += bytes;
    }
    return to - at - DATAGRAM_HEADER;
  }

  #record(
    session: Session,
    memory: Memory,
    offset: number,
    length: number,
    epoch: number,
    pieces: number,
    datagramBytes: number,
  ): void {
    if (length < RECORD_OVERHEAD) return this.#tally.drop("record-malformed");
    const result = session.open(memory, offset, length, epoch, pieces);
    if (result !== "ok") return this.#tally.drop(result);
    this.#tally.counters.recordsReceived++;
    if (session.newest && session.address !== this.#udp.from) {
      session.address = this.#udp.from;
      this.#tell({ event: "address-changed", session: session.local, address: session.address });
    }
    this.#switch.received(session, memory, offset, length, datagramBytes);
  }
}
