import { DatagramBatch } from "#router/datapath/datagram-batch.js";
import { NEXT_HOP_DATAGRAMS, NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import type { Tally } from "#router/datapath/protocol.js";
import {
  AT_BODY,
  AT_DEST,
  AT_HOPS,
  AT_KIND,
  AT_PADDING,
  AT_SOURCE,
  DATAGRAM_HEADER,
  KIND_CONTROL,
  KIND_FRAMES,
  KIND_SEGMENTS,
  MAX_CAPTURE,
  MAX_COUNTED,
  MAX_FRAGMENTS,
  MAX_HOPS,
  MAX_RECORD,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import { FLOOR_DATAGRAM, type Session } from "#router/datapath/session.js";
import { SEAL_REFUSED } from "#router/datapath/session-keys.js";
import {
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_FIRST,
  FLAG_LAST,
  type SuperFrame,
  writeDescriptor,
} from "#router/datapath/super-frame.js";
import { Memory } from "#src/linux/native/memory.js";
import { TAG_BYTES } from "#src/linux/native/record-cipher.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";

/** Maximum bytes of padding that make the fragments of a record equal: padding costs less than another system call. */
const MAX_PADDING = 128;
/** Bytes of records after which the arena is flushed: two segmented sends. Room for one more record of the largest size follows. */
const ARENA_SOFT_END = 128 * 1024;
const ARENA_BYTES = ARENA_SOFT_END + MAX_RECORD + MAX_PADDING + 8 + AT_BODY + 2 + MAX_CAPTURE;
/** A frame of at most so many bytes, virtio header included, is read where its record will be. */
export const IN_PLACE_BYTES = 2_048;
/** Maximum bytes queued at a carrier of the event loop, per peer: some tens of milliseconds on a slow line. Then frames are dropped. */
const MAX_HANDED_OVER_BYTES = 256 * 1024;
/** Interval of the reports that frames are being sent: a fraction of the time between two heartbeats. */
const REPORT_FRAMES_MS = 1_000;

export interface TransmitterEvents {
  /** The kernel refused a datagram for its size: the path has shrunk. */
  tooBig(session: Session): void;
  /** Passes a sealed record to a carrier of the event loop. One byte with lane and epoch precedes the record. */
  record(session: Session, record: Uint8Array): void;
  /** Frames are being sent by UDP. Called once a second while they are. @param large in datagrams larger than the floor */
  frames(session: Session, large: boolean): void;
}

/**
 * Turns frames into datagrams. Small frames for the same peer share a record; records for the same next hop share one system
 * call ({@link DatagramBatch}). No frame is delayed: the thread calls {@link flush} when there is no more to read.
 */
export class Transmitter {
  readonly #self: number;
  readonly #tally: Tally;
  readonly #events: TransmitterEvents;
  /** The arena, in which records are laid out and sealed. */
  readonly memory = new Memory(ARENA_BYTES);
  /** A frame that was read into the arena, and lies in the way of other records. */
  readonly #aside = new Memory(MAX_CAPTURE);
  readonly #batch: DatagramBatch;
  #now = 0;

  /** End of the records in the arena. */
  #end = 0;

  /** The open record of small frames begins at `#bundleStart`. There is one if `#bundleSession` is set. */
  #bundleSession: Session | undefined;
  #bundleStart = 0;
  #bundleDest = 0;

  #superFrame = 0;
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  /** @param self our own peer name, the source of records that are not relayed */
  constructor(self: number, tally: Tally, events: TransmitterEvents) {
    this.#self = self;
    this.#tally = tally;
    this.#events = events;
    this.#batch = new DatagramBatch(this.memory, tally, events.tooBig);
  }

  tick(now: number): void {
    this.#now = now;
  }

  /**
   * Returns the offset in {@link memory} to which the next frame is read, at most {@link MAX_CAPTURE} bytes: there it is not copied if it
   * is small. The frame stays there until the next call of any method.
   */
  place(): number {
    if (this.#bundleSession !== undefined) return this.#end + 2;
    this.#makeRoom(RECORD_OVERHEAD + IN_PLACE_BYTES + 4);
    return this.#end + AT_BODY + 2;
  }

  /** Copies a frame that was read to {@link place} out of the arena. @returns the memory that has it, at offset 0 */
  putAside(offset: number, length: number): Memory {
    this.#aside.copyFrom(0, this.memory, offset, length);
    return this.#aside;
  }

  /** Sends one frame with its virtio header, `length` bytes at `offset` of `from`. @param dest a peer; 0: flood */
  frame(session: Session, dest: number, from: Memory, offset: number, length: number): void {
    if (!this.#ready(session)) return;
    if (RECORD_OVERHEAD + 2 + length + 1 > MAX_RECORD) return this.#tally.drop("datagram-too-big");
    const joins =
      this.#bundleSession === session &&
      this.#bundleDest === dest &&
      this.#end - this.#bundleStart + 2 + length + TAG_BYTES <= roomOf(session);
    const opens = this.#bundleSession === undefined && length <= IN_PLACE_BYTES;
    // Sealing writes a tag behind the record, where the frame is; and the arena may be flushed.
    if (from === this.memory && !joins && !opens) {
      from = this.putAside(offset, length);
      offset = 0;
    }
    if (this.#bundleSession !== undefined && !joins) this.#closeBundle();
    if (this.#bundleSession === undefined) {
      this.#makeRoom(RECORD_OVERHEAD + length + 4);
      this.#bundleSession = session;
      this.#bundleStart = this.#end;
      this.#bundleDest = dest;
      this.#header(KIND_FRAMES, dest, MAX_HOPS);
      this.#end += AT_BODY;
    }
    // A frame whose length exceeds 16 bits exceeds the size of every bundle, so it is alone in its record.
    const counted = length <= MAX_COUNTED;
    this.memory.view.setUint16(this.#end, counted ? length : 0, true);
    if (from !== this.memory || offset !== this.#end + 2) this.memory.copyFrom(this.#end + 2, from, offset, length);
    this.#end += 2 + (counted ? (length + 1) & ~1 : length);
  }

  /** Sends a super-frame as records of whole segments. @param dest a peer; 0: flood */
  superFrame(session: Session, dest: number, frame: SuperFrame): void {
    if (!this.#ready(session)) return;
    if (frame.memory === this.memory) {
      frame.memory = this.putAside(frame.offset, frame.length);
      frame.offset = 0;
    }
    const { memory, layout, gsoSize } = frame;
    const headersAt = frame.offset + VNET_HEADER_BYTES;
    const payloadAt = headersAt + layout.headers;
    const payload = frame.offset + frame.length - payloadAt;
    const fixed = RECORD_OVERHEAD + DESCRIPTOR_BYTES + layout.headers;
    const room = roomOf(session) - fixed;
    const perRecord = Math.max(1, Math.floor(room / gsoSize)) * gsoSize;
    const d = this.#descriptor;
    d.gsoType = frame.gsoType;
    d.headers = layout.headers;
    d.gsoSize = gsoSize;
    d.csumStart = layout.l4;
    d.id = this.#superFrame = (this.#superFrame + 1) >>> 0;
    for (let done = 0; done < payload; done += perRecord) {
      const part = Math.min(perRecord, payload - done);
      this.#makeRoom(fixed + part);
      const start = this.#begin(KIND_SEGMENTS, dest, MAX_HOPS);
      d.flags = (done === 0 ? FLAG_FIRST : 0) | (done + part === payload ? FLAG_LAST : 0);
      d.offset = done;
      const body = start + AT_BODY;
      writeDescriptor(this.memory.view, body, d);
      this.memory.copyFrom(body + DESCRIPTOR_BYTES, memory, headersAt, layout.headers);
      this.memory.copyFrom(body + DESCRIPTOR_BYTES + layout.headers, memory, payloadAt + done, part);
      this.#append(session, start, fixed + part);
    }
  }

  /** Relays an opened record, `length` bytes at `offset` of `from`, to the next hop. @param hops the hops that remain */
  relay(session: Session, from: Memory, offset: number, length: number, hops: number): void {
    if (!this.#ready(session)) return;
    this.#makeRoom(length);
    this.#closeBundle();
    const start = this.#end;
    this.memory.copyFrom(start, from, offset, length);
    this.memory.view.setUint8(start + AT_HOPS, hops);
    this.#append(session, start, length);
    this.#tally.counters.recordsRelayed++;
  }

  /** Sends a control message in a datagram of its own, padded to `datagramBytes`. It travels by UDP with any carrier in use. */
  control(session: Session, message: Uint8Array, datagramBytes: number): void {
    this.flush();
    this.#control(session, message, datagramBytes);
    this.flush();
  }

  /** Sends several control messages with one system call, even if `session.batches` is false. */
  batch(session: Session, messages: readonly Uint8Array[], datagramBytes: number): void {
    this.flush();
    for (const message of messages) this.#control(session, message, datagramBytes);
    const { batches } = session;
    session.batches = true;
    this.flush();
    session.batches = batches;
  }

  #control(session: Session, message: Uint8Array, datagramBytes: number): void {
    if (!this.#sealable(session) || !this.#addressed(session)) return;
    const start = this.#begin(KIND_CONTROL, session.peer, 0);
    const length = Math.max(datagramBytes - DATAGRAM_HEADER, RECORD_OVERHEAD + message.length);
    this.memory.u8.fill(0, start + AT_BODY, start + length);
    this.memory.u8.set(message, start + AT_BODY);
    this.#cut(session, start, length, length);
  }

  /** Closes the open record, and sends all records. */
  flush(): void {
    this.#closeBundle();
    this.#batch.send();
    this.#end = 0;
  }

  #sealable(session: Session): boolean {
    if (session.keys.canSeal(this.#now)) return true;
    this.#tally.drop("key-missing");
    return false;
  }

  #addressed(session: Session): boolean {
    if (session.address !== undefined) return true;
    this.#tally.drop("address-unknown");
    return false;
  }

  #ready(session: Session): boolean {
    if (!this.#sealable(session)) return false;
    if (session.nextHop === NEXT_HOP_DATAGRAMS) return this.#addressed(session);
    if (session.handedOver <= MAX_HANDED_OVER_BYTES) return true;
    this.#tally.drop("stream-queue-full");
    return false;
  }

  #makeRoom(bytes: number): void {
    if (this.#end + bytes > ARENA_SOFT_END) this.flush();
  }

  /** Begins a record whose source is this peer, at the end of the arena. Returns its offset. */
  #begin(kind: number, dest: number, hops: number): number {
    this.#closeBundle();
    this.#header(kind, dest, hops);
    return this.#end;
  }

  #header(kind: number, dest: number, hops: number): void {
    const { view } = this.memory;
    const at = this.#end;
    view.setUint8(at + AT_KIND, kind);
    view.setUint8(at + AT_HOPS, hops);
    writeMac(view, at + AT_SOURCE, this.#self);
    writeMac(view, at + AT_DEST, dest);
    view.setUint16(at + AT_PADDING, 0, true);
  }

  #closeBundle(): void {
    const session = this.#bundleSession;
    if (session === undefined) return;
    this.#bundleSession = undefined;
    const start = this.#bundleStart;
    this.#append(session, start, this.#end - start + RECORD_OVERHEAD - AT_BODY);
  }

  /** Seals the record of `length` bytes (tag included) at `start`, and sends it to the session's next hop. */
  #append(session: Session, start: number, length: number): void {
    if (session.nextHop === NEXT_HOP_EVENT_LOOP) return this.#handOver(session, start, length);
    this.#reportFrames(session, length > FLOOR_DATAGRAM - DATAGRAM_HEADER);
    this.#cut(session, start, length, session.datagramBytes - DATAGRAM_HEADER);
  }

  #reportFrames(session: Session, large: boolean): void {
    if (this.#now < (large ? session.largeReportAfter : session.framesReportAfter)) return;
    session.framesReportAfter = this.#now + REPORT_FRAMES_MS;
    if (large) session.largeReportAfter = session.framesReportAfter;
    this.#events.frames(session, large);
  }

  /**
   * Seals a record and adds its datagrams to the batch.
   *
   * @param largest maximum bytes of a fragment
   */
  #cut(session: Session, start: number, length: number, largest: number): void {
    // If the record is dropped or refused, the next one takes its place in the arena.
    this.#end = start;
    const batch = this.#batch;
    const shortest = session.keys.sealableLength(length);
    batch.plan(session, shortest, largest);
    const { fragments } = batch;
    if (fragments > MAX_FRAGMENTS) return this.#tally.drop("datagram-too-big");
    const even = fragments * batch.fragmentBytes;
    const padded = even - shortest <= MAX_PADDING && even <= MAX_RECORD && session.keys.sealableLength(even) === even;
    const sealed = padded ? even : shortest;
    const counter = this.#seal(session, start, length, sealed, fragments);
    if (counter === SEAL_REFUSED) return;
    this.#end = start + ((sealed + 7) & ~7);
    batch.add(session, start, sealed, counter);
    this.#count(session, sealed);
  }

  /**
   * Pads the record of `length` bytes at `start` to `sealed` bytes, with zeros before the tag, and seals it. Returns its
   * counter. Returns {@link SEAL_REFUSED} after counting the drop: no byte of the record may then leave this host.
   */
  #seal(session: Session, start: number, length: number, sealed: number, fragments: number): number {
    const { view, u8 } = this.memory;
    this.memory.at(start, sealed);
    if (sealed > length) {
      u8.fill(0, start + length - TAG_BYTES, start + sealed - TAG_BYTES);
      // A relayed record may already have padding.
      view.setUint16(start + AT_PADDING, view.getUint16(start + AT_PADDING, true) + sealed - length, true);
    }
    const counter = session.keys.seal(this.memory, start, sealed, fragments);
    if (counter === SEAL_REFUSED) this.#tally.drop("seal-refused");
    return counter;
  }

  #handOver(session: Session, start: number, length: number): void {
    // This record leaves immediately, so its place in the arena is free. The records before it stay.
    this.#end = start;
    const sealed = session.keys.sealableLength(length);
    if (this.#seal(session, start, length, sealed, 1) === SEAL_REFUSED) return;
    session.handedOver += sealed;
    const bytes = new Uint8Array(1 + sealed);
    bytes[0] = session.keys.laneEpoch;
    bytes.set(this.memory.u8.subarray(start, start + sealed), 1);
    this.#events.record(session, bytes);
    this.#count(session, sealed);
    this.#tally.counters.bytesSent += sealed;
  }

  #count({ traffic }: Session, sealed: number): void {
    this.#tally.counters.recordsSent++;
    traffic.recordsSent++;
    traffic.bytesSent += sealed;
  }
}

/** Maximum bytes of a record for this session. */
function roomOf(session: Session): number {
  if (session.nextHop === NEXT_HOP_EVENT_LOOP) return session.handOverBytes;
  return Math.min(session.datagramsPerRecord * (session.datagramBytes - DATAGRAM_HEADER), MAX_RECORD - MAX_PADDING);
}
