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
  DATAGRAM_TYPE,
  KIND_CONTROL,
  KIND_FRAMES,
  KIND_SEGMENTS,
  MAX_COUNTED,
  MAX_FRAGMENTS,
  MAX_HOPS,
  MAX_RECORD,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import { dropOf } from "#router/datapath/send-failure.js";
import { FLOOR_DATAGRAM, SEAL_REFUSED, type Session } from "#router/datapath/session.js";
import {
  DESCRIPTOR_BYTES,
  type Descriptor,
  FLAG_FIRST,
  FLAG_LAST,
  type Layout,
  writeDescriptor,
} from "#router/datapath/super-frame.js";
import { sealableLength, TAG_BYTES } from "#src/linux/native/aead.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Errno } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";
import { MAX_SEGMENTS, MAX_SEND_BYTES } from "#src/linux/native/udp.js";
import type { SendPath } from "#src/linux/native/udp-sender.js";

/** A record is padded by up to this much where that keeps fragments equal: cheaper than a system call more. */
const MAX_PADDING = 128;
/** Records wait here until they are sent: twice what one segmented send takes, and one more record of the largest size. */
const ARENA_SOFT_END = 128 * 1024;
const ARENA_BYTES = ARENA_SOFT_END + MAX_RECORD + MAX_PADDING + 8;
const HEADER_SLOT = 16;
/** Header and fragment. */
const SPANS_PER_DATAGRAM = 2;
/** Bytes that may wait at a carrier of the event loop, per peer: some tens of milliseconds on a slow line. Past it frames are dropped. */
const HANDED_OVER_BYTES = 256 * 1024;
/** So often the path is told that it is in use: a small part of the time between two heartbeats. */
const TELL_FRAMES_MS = 1_000;

export interface TransmitterEvents {
  /** The kernel refused a datagram for its size: the path has shrunk. */
  tooBig(session: Session): void;
  /** A sealed record for the carrier in use. */
  record(session: Session, record: Uint8Array): void;
  /** Frames are being sent by UDP; once a second while they are. @param large in datagrams above the floor */
  frames(session: Session, large: boolean): void;
}

/**
 * Frames in, datagrams out. Small frames for the same peer share a record; records for the same next hop share one system
 * call, as long as all their datagrams but the last are of one size (which is what UDP_SEGMENT demands). Nothing is held
 * back: {@link flush} is called whenever there is nothing more to read.
 */
export class Transmitter {
  readonly #tally: Tally;
  readonly #events: TransmitterEvents;
  readonly #memory = new Memory(ARENA_BYTES + MAX_SEGMENTS * HEADER_SLOT);
  readonly #parts = new IoVector(SPANS_PER_DATAGRAM * MAX_SEGMENTS);
  #now = 0;

  /** End of the records in the arena. */
  #end = 0;

  /** The record of small frames that is still open, if `#bundleSession` is set; it begins at `#bundleStart`. */
  #bundleSession: Session | undefined;
  #bundleStart = 0;
  #bundleSource = 0;
  #bundleDest = 0;

  /** The datagrams that wait for one send: all for `#batchSession`, of `#batchFragment` bytes and a header. */
  #batchSession: Session | undefined;
  #batchFragment = 0;
  #batchCount = 0;
  /** The last datagram is short: no other may follow in this send. */
  #batchClosed = false;

  #superFrame = 0;
  readonly #descriptor: Descriptor = { flags: 0, gsoType: 0, headers: 0, gsoSize: 0, csumStart: 0, id: 0, offset: 0 };

  constructor(tally: Tally, events: TransmitterEvents) {
    this.#tally = tally;
    this.#events = events;
  }

  tick(now: number): void {
    this.#now = now;
  }

  /** Sends one frame with its virtio header, `length` bytes at `offset` of `from`. */
  frame(session: Session, source: number, dest: number, from: Memory, offset: number, length: number): void {
    if (!this.#ready(session)) return;
    if (RECORD_OVERHEAD + 2 + length + 1 > MAX_RECORD) return this.#tally.drop("datagram-too-big");
    const open = this.#bundleSession === session && this.#bundleSource === source && this.#bundleDest === dest;
    if (
      this.#bundleSession !== undefined &&
      (!open || this.#end - this.#bundleStart + 2 + length + TAG_BYTES > roomOf(session))
    )
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
    // One that 16 bits do not count is longer than what a record should have, so that it is alone in its own.
    const counted = length <= MAX_COUNTED;
    this.#memory.view.setUint16(this.#end, counted ? length : 0, true);
    this.#memory.copyFrom(this.#end + 2, from, offset, length);
    this.#end += 2 + (counted ? (length + 1) & ~1 : length);
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
    const room = roomOf(session) - fixed;
    const perRecord = Math.max(1, Math.floor(room / gsoSize)) * gsoSize;
    const d = this.#descriptor;
    d.gsoType = gsoType;
    d.headers = layout.headers;
    d.gsoSize = gsoSize;
    d.csumStart = layout.l4;
    d.id = this.#superFrame = (this.#superFrame + 1) >>> 0;
    for (let done = 0; done < payload; done += perRecord) {
      const part = Math.min(perRecord, payload - done);
      this.#makeRoom(fixed + part);
      const start = this.#begin(KIND_SEGMENTS, source, dest, MAX_HOPS);
      d.flags = (done === 0 ? FLAG_FIRST : 0) | (done + part === payload ? FLAG_LAST : 0);
      d.offset = done;
      const body = start + AT_BODY;
      writeDescriptor(this.#memory.view, body, d);
      this.#memory.copyFrom(body + DESCRIPTOR_BYTES, from, headersAt, layout.headers);
      this.#memory.copyFrom(body + DESCRIPTOR_BYTES + layout.headers, from, payloadAt + done, part);
      this.#append(session, start, fixed + part);
    }
  }

  /** Passes on a record that was opened at `offset` of `from`, body and all, to the next hop. */
  relay(session: Session, from: Memory, offset: number, length: number, hops: number): void {
    if (!this.#ready(session)) return;
    this.#makeRoom(length);
    this.#closeBundle();
    const start = this.#end;
    this.#memory.copyFrom(start, from, offset, length);
    this.#memory.view.setUint8(start + AT_HOPS, hops);
    this.#append(session, start, length);
    this.#tally.counters.recordsRelayed++;
  }

  /** Sends a control message alone in one datagram, padded to `datagramBytes`; by UDP, whatever frames do. */
  control(session: Session, self: number, message: Uint8Array, datagramBytes: number): void {
    this.flush();
    this.#control(session, self, message, datagramBytes);
    this.flush();
  }

  /** As {@link control}, of several messages with one call: also to a peer whose datagrams do not leave so otherwise. */
  batch(session: Session, self: number, messages: readonly Uint8Array[], datagramBytes: number): void {
    this.flush();
    for (const message of messages) this.#control(session, self, message, datagramBytes);
    const { batches } = session;
    session.batches = true;
    this.flush();
    session.batches = batches;
  }

  #control(session: Session, self: number, message: Uint8Array, datagramBytes: number): void {
    if (!this.#sealable(session) || !this.#addressed(session)) return;
    const start = this.#begin(KIND_CONTROL, self, session.peer, 0);
    const length = Math.max(datagramBytes - DATAGRAM_HEADER, RECORD_OVERHEAD + message.length);
    this.#memory.u8.fill(0, start + AT_BODY, start + length);
    this.#memory.u8.set(message, start + AT_BODY);
    this.#cut(session, start, length, length);
  }

  /** Sends all that waits. */
  flush(): void {
    this.#closeBundle();
    this.#send();
    this.#end = 0;
  }

  #sealable(session: Session): boolean {
    if (session.canSeal(this.#now)) return true;
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
    if (session.handedOver <= HANDED_OVER_BYTES) return true;
    this.#tally.drop("stream-queue-full");
    return false;
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
    view.setUint16(at + AT_PADDING, 0, true);
  }

  #closeBundle(): void {
    const session = this.#bundleSession;
    if (session === undefined) return;
    this.#bundleSession = undefined;
    const start = this.#bundleStart;
    this.#append(session, start, this.#end - start + RECORD_OVERHEAD - AT_BODY);
  }

  /** Seals the record of `length` bytes (tag included) at `start`, and sends it by the way of the session. */
  #append(session: Session, start: number, length: number): void {
    if (session.nextHop === NEXT_HOP_EVENT_LOOP) return this.#handOver(session, start, length);
    this.#tellFrames(session, length > FLOOR_DATAGRAM - DATAGRAM_HEADER);
    this.#cut(session, start, length, session.datagramBytes - DATAGRAM_HEADER);
  }

  #tellFrames(session: Session, large: boolean): void {
    if (this.#now < (large ? session.largeReportAfter : session.framesReportAfter)) return;
    session.framesReportAfter = this.#now + TELL_FRAMES_MS;
    if (large) session.largeReportAfter = session.framesReportAfter;
    this.#events.frames(session, large);
  }

  /**
   * Seals a record and adds its datagrams to the batch.
   *
   * @param largest bytes of a fragment at most
   */
  #cut(session: Session, start: number, length: number, largest: number): void {
    // Until it is sealed its place in the arena is free for the next one.
    this.#end = start;
    const shortest = sealableLength(length);
    let count = Math.ceil(shortest / largest);
    // Even fragments, so that records of one length leave no short datagram.
    let fragment = Math.ceil(shortest / count);
    if (this.#batchCount > 0) {
      if (this.#batchSession !== session || this.#batchClosed || this.#batchFragment > largest) this.#send();
      else {
        const inBatch = Math.ceil(shortest / this.#batchFragment);
        if (this.#fits(inBatch)) {
          count = inBatch;
          fragment = this.#batchFragment;
        } else this.#send();
      }
    }
    if (count > MAX_FRAGMENTS) return this.#tally.drop("datagram-too-big");
    const even = count * fragment;
    const padded = even - shortest <= MAX_PADDING && even <= MAX_RECORD && sealableLength(even) === even;
    const sealed = padded ? even : shortest;
    const counter = this.#seal(session, start, length, sealed, count);
    if (counter === SEAL_REFUSED) return;
    this.#end = start + ((sealed + 7) & ~7);
    if (this.#batchCount === 0) this.#batchFragment = fragment;
    this.#batchSession = session;
    const { view } = this.#memory;
    const { laneEpoch } = session;
    for (let index = 0; index < count; index++) {
      if (!this.#fits(1)) this.#send();
      const slot = ARENA_BYTES + this.#batchCount * HEADER_SLOT;
      view.setUint32(slot, DATAGRAM_TYPE | (index << 8) | (count << 16) | (laneEpoch << 24), true);
      view.setUint32(slot + 4, session.remote, true);
      view.setUint32(slot + 8, counter >>> 0, true);
      const done = index * fragment;
      this.#parts.push(this.#memory, slot, DATAGRAM_HEADER);
      this.#parts.push(this.#memory, start + done, Math.min(fragment, sealed - done));
      this.#batchCount++;
    }
    this.#batchClosed = sealed % fragment !== 0;
    this.#tally.counters.recordsSent++;
  }

  /**
   * Pads the record of `length` bytes at `start` to its final `sealed` bytes, by zeros before the tag, and seals it. Returns
   * its counter, or {@link SEAL_REFUSED} after having counted that: then no byte of it may leave.
   */
  #seal(session: Session, start: number, length: number, sealed: number, count: number): number {
    const { view, u8 } = this.#memory;
    this.#memory.at(start, sealed);
    if (sealed > length) {
      u8.fill(0, start + length - TAG_BYTES, start + sealed - TAG_BYTES);
      // A relayed record may have some padding already.
      view.setUint16(start + AT_PADDING, view.getUint16(start + AT_PADDING, true) + sealed - length, true);
    }
    const counter = session.seal(this.#memory, start, sealed, count);
    if (counter === SEAL_REFUSED) this.#tally.drop("seal-refused");
    return counter;
  }

  #handOver(session: Session, start: number, length: number): void {
    // What waits in the arena keeps its place: this record leaves at once.
    this.#end = start;
    const sealed = sealableLength(length);
    if (this.#seal(session, start, length, sealed, 1) === SEAL_REFUSED) return;
    session.handedOver += sealed;
    const bytes = new Uint8Array(1 + sealed);
    bytes[0] = session.laneEpoch;
    bytes.set(this.#memory.u8.subarray(start, start + sealed), 1);
    this.#events.record(session, bytes);
    this.#tally.counters.recordsSent++;
    this.#tally.counters.bytesSent += sealed;
  }

  #fits(datagrams: number): boolean {
    const count = this.#batchCount + datagrams;
    return count <= MAX_SEGMENTS && count * (this.#batchFragment + DATAGRAM_HEADER) <= MAX_SEND_BYTES;
  }

  #send(): void {
    if (this.#batchCount === 0) return;
    const { bytes } = this.#parts;
    const session = this.#batchSession!;
    const result = this.#sendBatch(session);
    const { counters } = this.#tally;
    if (result === bytes) {
      counters.datagramsSent += this.#batchCount;
      counters.bytesSent += bytes;
    } else {
      this.#tally.drop(dropOf(-result), this.#batchCount);
      if (result === -Errno.EMSGSIZE || result === -Errno.EINVAL) this.#events.tooBig(session);
    }
    this.#parts.clear();
    this.#batchCount = 0;
    this.#batchClosed = false;
  }

  /** Sends the batch. Returns the count of bytes, or minus errno. */
  #sendBatch(session: Session): number {
    const { sender, source } = session;
    const datagramBytes = this.#batchFragment + DATAGRAM_HEADER;
    // Its address is known: no record of it would be here otherwise.
    const path = session as Session & SendPath;
    const result = sender.send(this.#parts, datagramBytes, SPANS_PER_DATAGRAM, path);
    if (source === undefined || (result !== -Errno.EINVAL && result !== -Errno.ENETUNREACH)) return result;
    // This host may no longer have that address. Another cause fails from any address too.
    session.source = undefined;
    const unbound = sender.send(this.#parts, datagramBytes, SPANS_PER_DATAGRAM, path);
    if (unbound < 0) session.source = source;
    return unbound;
  }
}

/** Bytes that a record for this peer should have at most. */
function roomOf(session: Session): number {
  if (session.nextHop === NEXT_HOP_EVENT_LOOP) return session.handOverBytes;
  return Math.min(session.datagramsPerRecord * (session.datagramBytes - DATAGRAM_HEADER), MAX_RECORD - MAX_PADDING);
}
