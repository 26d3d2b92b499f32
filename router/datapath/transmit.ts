import type { Tally } from "#router/datapath/protocol.js";
import {
  AT_BODY,
  AT_DEST,
  AT_HOPS,
  AT_KIND,
  AT_SOURCE,
  DATAGRAM_HEADER,
  DATAGRAM_TYPE,
  DATAGRAMS_PER_RECORD,
  KIND_CONTROL,
  KIND_FRAMES,
  KIND_PIECE,
  MAX_HOPS,
  MAX_PIECES,
  MAX_RECORD,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import type { Session } from "#router/datapath/session.js";
import {
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_FIRST,
  FLAG_LAST,
  type Layout,
  writeDescriptor,
} from "#router/datapath/super-frame.js";
import { TAG_BYTES } from "#src/host/native/aead.js";
import { Errno } from "#src/host/native/libc.js";
import { Memory } from "#src/host/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/host/native/tap.js";
import { IoVector, MAX_SEGMENTS, MAX_SEND_BYTES, type UdpSocket } from "#src/host/native/udp.js";

/** Records wait here until they are sent: twice what one segmented send takes, and one more record of the largest size. */
const ARENA_SOFT_END = 128 * 1024;
const ARENA_BYTES = ARENA_SOFT_END + MAX_RECORD;
const HEADER_SLOT = 16;

/**
 * Frames in, datagrams out. Small frames for the same peer share a record; records for the same next hop share one system
 * call, as long as all their datagrams but the last are of one size (which is what UDP_SEGMENT demands). Nothing is held
 * back: {@link flush} is called whenever there is nothing more to read.
 */
export class Transmitter {
  readonly #udp: UdpSocket;
  readonly #tally: Tally;
  readonly #tooBig: (session: Session) => void;
  readonly #memory = new Memory(ARENA_BYTES + MAX_SEGMENTS * (HEADER_SLOT + 32));
  readonly #parts: IoVector;
  #now = 0;

  /** End of the records in the arena. */
  #end = 0;

  /** The record of small frames that is still open, if `#bundleSession` is set; it begins at `#bundleStart`. */
  #bundleSession: Session | undefined;
  #bundleStart = 0;
  #bundleSource = 0;
  #bundleDest = 0;

  /** The datagrams that wait for one send: all for `#batchSession`, of `#batchPiece` bytes and a header. */
  #batchSession: Session | undefined;
  #batchPiece = 0;
  #batchCount = 0;
  /** The last datagram is short: no other may follow in this send. */
  #batchClosed = false;

  #superFrame = 0;
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** @param tooBig called when the kernel refused a datagram for its size: the path has shrunk */
  constructor(udp: UdpSocket, tally: Tally, tooBig: (session: Session) => void) {
    this.#udp = udp;
    this.#tally = tally;
    this.#tooBig = tooBig;
    this.#parts = new IoVector(this.#memory, ARENA_BYTES + MAX_SEGMENTS * HEADER_SLOT, 2 * MAX_SEGMENTS);
  }

  tick(now: number): void {
    this.#now = now;
  }

  /** Sends one frame with its virtio header, `length` bytes at `offset` of `from`. */
  frame(session: Session, source: number, dest: number, from: Memory, offset: number, length: number): void {
    if (!this.#ready(session)) return;
    const room = DATAGRAMS_PER_RECORD * (session.datagramBytes - DATAGRAM_HEADER) - TAG_BYTES;
    const open = this.#bundleSession === session && this.#bundleSource === source && this.#bundleDest === dest;
    if (this.#bundleSession !== undefined && (!open || this.#end - this.#bundleStart + 2 + length > room))
      this.#closeBundle();
    if (this.#bundleSession === undefined) {
      this.#makeRoom(RECORD_OVERHEAD + length + 4);
      this.#bundleSession = session;
      this.#bundleStart = this.#end;
      this.#bundleSource = source;
      this.#bundleDest = dest;
      this.#header(this.#end, KIND_FRAMES, source, dest, MAX_HOPS);
      this.#end += AT_BODY;
    }
    this.#memory.view.setUint16(this.#end, length, true);
    this.#put(this.#end + 2, from, offset, length);
    this.#end += 2 + ((length + 1) & ~1);
  }

  /**
   * Sends a super-frame in records of whole segments.
   *
   * @param layout where its headers are; `gsoSize` bytes of payload make a segment
   */
  superFrame(
    session: Session,
    source: number,
    dest: number,
    from: Memory,
    offset: number,
    length: number,
    layout: Layout,
    gsoType: number,
    gsoSize: number,
  ): void {
    if (!this.#ready(session)) return;
    const headersAt = offset + VNET_HEADER_BYTES;
    const payloadAt = headersAt + layout.headers;
    const payload = offset + length - payloadAt;
    const fixed = RECORD_OVERHEAD + DESCRIPTOR_BYTES + layout.headers;
    const room = DATAGRAMS_PER_RECORD * (session.datagramBytes - DATAGRAM_HEADER) - fixed;
    const perRecord = Math.max(1, Math.floor(room / gsoSize)) * gsoSize;
    const d = this.#descriptor;
    d.gsoType = gsoType;
    d.headers = layout.headers;
    d.gsoSize = gsoSize;
    d.csumStart = layout.tcp;
    d.id = this.#superFrame = (this.#superFrame + 1) >>> 0;
    for (let done = 0; done < payload; done += perRecord) {
      const part = Math.min(perRecord, payload - done);
      this.#makeRoom(fixed + part);
      const start = this.#begin(KIND_PIECE, source, dest, MAX_HOPS);
      d.flags = (done === 0 ? FLAG_FIRST : 0) | (done + part === payload ? FLAG_LAST : 0);
      d.offset = done;
      const body = start + AT_BODY;
      writeDescriptor(this.#memory.view, body, d);
      this.#put(body + DESCRIPTOR_BYTES, from, headersAt, layout.headers);
      this.#put(body + DESCRIPTOR_BYTES + layout.headers, from, payloadAt + done, part);
      this.#append(session, start, fixed + part);
    }
  }

  /** Passes on a record that was opened at `offset` of `from`, body and all, to the next hop. */
  relay(session: Session, from: Memory, offset: number, length: number, hops: number): void {
    if (!this.#ready(session)) return;
    this.#makeRoom(length);
    this.#closeBundle();
    const start = this.#end;
    this.#put(start, from, offset, length);
    this.#memory.view.setUint8(start + AT_HOPS, hops);
    this.#append(session, start, length);
    this.#tally.counters.recordsRelayed++;
  }

  /** Sends a control message alone in one datagram, padded to `datagramBytes`. */
  control(session: Session, self: number, message: Uint8Array, datagramBytes: number): void {
    if (!this.#ready(session)) return;
    this.flush();
    const start = this.#begin(KIND_CONTROL, self, session.peer, 0);
    const length = Math.max(datagramBytes - DATAGRAM_HEADER, RECORD_OVERHEAD + message.length);
    this.#memory.u8.fill(0, start + AT_BODY, start + length);
    this.#memory.u8.set(message, start + AT_BODY);
    const proven = session.datagramBytes;
    session.datagramBytes = length + DATAGRAM_HEADER;
    this.#append(session, start, length);
    session.datagramBytes = proven;
    this.flush();
  }

  /** Sends all that waits. */
  flush(): void {
    this.#closeBundle();
    this.#send();
    this.#end = 0;
  }

  #ready(session: Session): boolean {
    if (!session.canSeal(this.#now)) {
      this.#tally.drop("key-missing");
      return false;
    }
    if (session.address === 0) {
      this.#tally.drop("address-unknown");
      return false;
    }
    return true;
  }

  #makeRoom(bytes: number): void {
    if (this.#end + bytes > ARENA_SOFT_END) this.flush();
  }

  #begin(kind: number, source: number, dest: number, hops: number): number {
    this.#closeBundle();
    this.#header(this.#end, kind, source, dest, hops);
    return this.#end;
  }

  #header(at: number, kind: number, source: number, dest: number, hops: number): void {
    const { view } = this.#memory;
    view.setUint8(at + AT_KIND, kind);
    view.setUint8(at + AT_HOPS, hops);
    writeMac(view, at + AT_SOURCE, source);
    writeMac(view, at + AT_DEST, dest);
    view.setUint16(at + AT_BODY - 2, 0, true);
  }

  #put(to: number, from: Memory, offset: number, length: number): void {
    this.#memory.at(to, length);
    this.#memory.u8.set(from.u8.subarray(offset, offset + length), to);
  }

  #closeBundle(): void {
    const session = this.#bundleSession;
    if (session === undefined) return;
    this.#bundleSession = undefined;
    const start = this.#bundleStart;
    this.#append(session, start, this.#end - start + RECORD_OVERHEAD - AT_BODY);
  }

  /** Seals the record of `length` bytes (tag included) at `start` and cuts it into datagrams of the batch. */
  #append(session: Session, start: number, length: number): void {
    this.#end = start + ((length + 7) & ~7);
    if (this.#batchCount > 0 && (this.#batchSession !== session || this.#batchClosed)) this.#send();
    const largest = session.datagramBytes - DATAGRAM_HEADER;
    if (this.#batchCount > 0 && (this.#batchPiece > largest || !this.#fits(Math.ceil(length / this.#batchPiece))))
      this.#send();
    // The first record of a batch sets the size: even pieces, so that records of one length leave no short datagram.
    if (this.#batchCount === 0) this.#batchPiece = Math.ceil(length / Math.ceil(length / largest));
    const piece = this.#batchPiece;
    const count = Math.ceil(length / piece);
    if (count > MAX_PIECES) {
      this.#tally.drop("datagram-too-big");
      return;
    }
    const counter = session.seal(this.#memory, start, length, count);
    this.#batchSession = session;
    const { view } = this.#memory;
    for (let index = 0; index < count; index++) {
      if (!this.#fits(1)) this.#send();
      const slot = ARENA_BYTES + this.#batchCount * HEADER_SLOT;
      view.setUint8(slot, DATAGRAM_TYPE);
      view.setUint8(slot + 1, index);
      view.setUint8(slot + 2, count);
      view.setUint8(slot + 3, session.epoch);
      view.setUint32(slot + 4, session.remote, true);
      view.setUint32(slot + 8, counter >>> 0, true);
      const done = index * piece;
      this.#parts.push(slot, DATAGRAM_HEADER);
      this.#parts.push(start + done, Math.min(piece, length - done));
      this.#batchCount++;
    }
    this.#batchClosed = length % piece !== 0;
    this.#tally.counters.recordsSent++;
  }

  #fits(datagrams: number): boolean {
    const count = this.#batchCount + datagrams;
    return count <= MAX_SEGMENTS && count * (this.#batchPiece + DATAGRAM_HEADER) <= MAX_SEND_BYTES;
  }

  #send(): void {
    if (this.#batchCount === 0) return;
    const { bytes } = this.#parts;
    const result = this.#udp.send(this.#parts, this.#batchPiece + DATAGRAM_HEADER, this.#batchSession!.address);
    const { counters } = this.#tally;
    if (result >= 0) {
      counters.datagramsSent += this.#batchCount;
      counters.bytesSent += bytes;
    } else if (result === -Errno.EMSGSIZE || result === -Errno.EINVAL) {
      this.#tally.drop("datagram-too-big");
      this.#tooBig(this.#batchSession!);
    } else this.#tally.drop("send-failed");
    this.#parts.clear();
    this.#batchCount = 0;
    this.#batchClosed = false;
  }
}
