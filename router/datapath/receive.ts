import { FragmentSize, LARGEST_FRAGMENT, SMALLEST_FRAGMENT } from "#router/datapath/fragment-size.js";
import type { DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Reassembly } from "#router/datapath/reassembly.js";
import {
  AT_LANE,
  BUFFERS,
  DATAGRAM_HEADER,
  DATAGRAM_TYPE,
  MAX_RECORD,
  RECORD_OVERHEAD,
} from "#router/datapath/record.js";
import type { Session } from "#router/datapath/session.js";
import type { Switch } from "#router/datapath/switch.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { MessageBatch } from "#src/linux/native/message-batch.js";
import type { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { NO_ENDPOINT } from "#src/net/endpoint.js";

/** What one receive may bring: UDP_GRO joins datagrams up to 64 KB. */
const RECEIVE_BYTES = 65_536;
const MAX_DATAGRAMS = Math.ceil(RECEIVE_BYTES / (SMALLEST_FRAGMENT + DATAGRAM_HEADER));
const HEADER_SLOT = 16;
/** Fragments lie one after the other; the last may reach beyond. */
const FRAGMENTS_BYTES = RECEIVE_BYTES + LARGEST_FRAGMENT;
/** The datagrams of one receive as they came: for those that do not fit the layout. */
const AS_CAME_AT = FRAGMENTS_BYTES + MAX_DATAGRAMS * HEADER_SLOT;
const BUFFER_BYTES = AS_CAME_AT + RECEIVE_BYTES;

/** Datagrams that one call brings where the kernel does not join them. */
const MANY = 48;
const SPANS = 3;
/** So many full datagrams in a row that came alone: the kernel joins nothing on this way. */
const ALONE = 64;
const FULL_BYTES = 1_000;
/** After so long it is tried whether it does now. */
const RETRY_MS = 5_000;

interface Buffer {
  readonly memory: Memory;
  /** For datagrams that the kernel has joined. */
  readonly joined: IoVector;
  /** For those that it has not. */
  readonly many: MessageBatch;
  /** The size of fragments that these are laid out for. */
  fragment: number;
}

/**
 * Datagrams in, opened records out.
 *
 * Where the kernel joins datagrams (UDP_GRO) one call brings up to 64 KB of them; where it does not (no such kernel, or no
 * GRO at the network card) one call brings many, each by itself (recvmmsg). Which way is better is seen from what comes.
 *
 * A receive is scattered: headers to slots of their own, so that the fragments of a record lie together and it is opened where
 * it arrived. That takes knowing how long fragments are; the last size is the guess, and in bulk traffic it is right. Where it
 * is wrong the datagrams are copied together again.
 */
export class Receiver {
  readonly #udp: UdpReceiver;
  readonly #switch: Switch;
  readonly #tally: Tally;
  readonly #tell: (event: DatapathEvent) => void;
  readonly #buffers: Buffer[] = [];
  /** Of each datagram of one call, its length, and what does not fit its place. */
  readonly #lengths = new Int32Array(RECEIVE_BYTES);
  readonly #beyond = new Memory(MANY * LARGEST_FRAGMENT);
  readonly #canJoin: boolean;
  #joining: boolean;
  #alone = 0;
  #retryAt = 0;
  #now = 0;
  /** The datagram that is looked at: who sent it, and where that is known from, if its receive had several senders. */
  #sourceId = NO_ENDPOINT;
  #many: MessageBatch | undefined;
  #datagram = 0;
  readonly #reassembly = new Reassembly();
  #turn = 0;
  readonly #expected = new FragmentSize();

  /** @param joining the socket has UDP_GRO */
  constructor(udp: UdpReceiver, joining: boolean, to: Switch, tally: Tally, tell: (event: DatapathEvent) => void) {
    this.#udp = udp;
    this.#canJoin = this.#joining = joining;
    this.#switch = to;
    this.#tally = tally;
    this.#tell = tell;
    for (let i = 0; i < BUFFERS; i++)
      this.#buffers.push({
        memory: new Memory(BUFFER_BYTES),
        joined: new IoVector(2 * MAX_DATAGRAMS),
        many: new MessageBatch(MANY, SPANS),
        fragment: 0,
      });
  }

  tick(now: number): void {
    this.#now = now;
  }

  /** One receive, with all that follows from it. False: there was nothing. */
  pump(): boolean {
    const buffer = this.#buffers[this.#turn % BUFFERS];
    if (buffer.fragment !== this.#expected.bytes) this.#layOut(buffer);
    // The oldest buffer is used again: nothing may still lie in it.
    this.#switch.turn(this.#turn);
    const received = this.#joining ? this.#receiveJoined(buffer) : this.#receiveMany(buffer);
    if (received) this.#turn++;
    return received;
  }

  #receiveJoined({ memory, joined, fragment }: Buffer): boolean {
    const count = this.#udp.receive(joined);
    if (count < 0) return false;
    this.#tally.counters.bytesReceived += count;
    if (count === 0) {
      this.#tally.drop("datagram-malformed");
      return true;
    }
    const stride = this.#udp.segmentBytes;
    if (stride < count) this.#alone = 0;
    else if (count > FULL_BYTES && ++this.#alone >= ALONE) this.#join(false);
    const datagrams = Math.ceil(count / stride);
    this.#lengths.fill(stride, 0, datagrams);
    this.#lengths[datagrams - 1] = count - (datagrams - 1) * stride;
    // A short one that came alone says nothing of the others.
    if (datagrams > 1 || stride >= fragment + DATAGRAM_HEADER) this.#expected.came(stride - DATAGRAM_HEADER);
    if (stride === fragment + DATAGRAM_HEADER || (datagrams === 1 && count <= fragment + DATAGRAM_HEADER)) {
      this.#walk(memory, datagrams, FRAGMENTS_BYTES, HEADER_SLOT, 0, fragment);
    } else {
      joined.gather(memory, AS_CAME_AT, count);
      this.#walk(memory, datagrams, AS_CAME_AT, stride, AS_CAME_AT + DATAGRAM_HEADER, stride);
    }
    return true;
  }

  #receiveMany({ memory, many, fragment }: Buffer): boolean {
    const count = this.#udp.receiveMany(many);
    if (count < 0) return false;
    let longest = 0;
    for (let i = 0; i < count; i++) {
      const length = many.lengthOf(i);
      this.#lengths[i] = length;
      longest = Math.max(longest, length);
      this.#tally.counters.bytesReceived += length;
    }
    this.#expected.came(longest - DATAGRAM_HEADER);
    this.#walk(memory, count, FRAGMENTS_BYTES, HEADER_SLOT, 0, fragment, many);
    if (this.#canJoin && this.#now >= this.#retryAt) this.#join(true);
    return true;
  }

  #join(on: boolean): void {
    this.#udp.gro = on;
    this.#joining = on;
    this.#alone = 0;
    this.#retryAt = this.#now + RETRY_MS;
  }

  #layOut(buffer: Buffer): void {
    const { memory, joined, many } = buffer;
    const fragment = this.#expected.bytes;
    const place = (parts: IoVector, i: number) => {
      parts.push(memory, FRAGMENTS_BYTES + i * HEADER_SLOT, DATAGRAM_HEADER);
      parts.push(memory, i * fragment, fragment);
    };
    joined.clear();
    const datagrams = Math.ceil(RECEIVE_BYTES / (fragment + DATAGRAM_HEADER));
    for (let i = 0; i < datagrams; i++) place(joined, i);
    many.layOut(Math.min(MANY, Math.floor(FRAGMENTS_BYTES / fragment)), (parts, i) => {
      place(parts, i);
      parts.push(this.#beyond, i * LARGEST_FRAGMENT, LARGEST_FRAGMENT - fragment);
    });
    buffer.fragment = fragment;
  }

  /**
   * Opens what came: the header of datagram i is at `headers + i * headerStep`, its fragment at `fragments + i * fragmentStep`.
   *
   * @param many says who sent each, where they need not have one sender
   */
  #walk(
    memory: Memory,
    count: number,
    headers: number,
    headerStep: number,
    fragments: number,
    fragmentStep: number,
    many?: MessageBatch,
  ): void {
    this.#many = many;
    if (many === undefined) this.#sourceId = this.#udp.sourceId;
    for (let i = 0; i < count; ) {
      const header = headers + i * headerStep;
      const bytes = this.#lengths[i] - DATAGRAM_HEADER;
      if (many !== undefined) {
        this.#datagram = i;
        this.#sourceId = many.sourceIdOf(i);
      }
      const session = this.#accept(memory, header, bytes);
      if (session === undefined) {
        i++;
        continue;
      }
      let at = fragments + i * fragmentStep;
      const apart = bytes > fragmentStep;
      if (apart) {
        // Its end lies elsewhere.
        memory.copy(AS_CAME_AT, at, fragmentStep);
        memory.copyFrom(AS_CAME_AT + fragmentStep, this.#beyond, i * LARGEST_FRAGMENT, bytes - fragmentStep);
        at = AS_CAME_AT;
      }
      const wanted = memory.u8[header + 2];
      const whole =
        wanted === 1
          ? bytes
          : apart
            ? 0
            : this.#together(memory, i, wanted, count, header, headerStep, at, fragmentStep);
      if (whole > 0) {
        this.#open(session, memory, at, whole, memory.u8[header + AT_LANE], wanted, bytes + DATAGRAM_HEADER);
        this.#tally.counters.datagramsReceived += wanted - 1;
        i += wanted;
      } else {
        this.#reassemble(session, memory, header, at, bytes);
        i++;
      }
      // What lies there is used again by the next one.
      if (apart) this.#switch.settle();
    }
  }

  /**
   * Moves the `wanted` fragments of a record that begins with datagram `first` together, where they do not lie so already.
   * Returns the length of the record; 0: not all of them are here, one after the other.
   */
  #together(
    memory: Memory,
    first: number,
    wanted: number,
    count: number,
    header: number,
    headerStep: number,
    at: number,
    fragmentStep: number,
  ): number {
    if (!this.#follow(memory, header, headerStep, wanted, count - first)) return 0;
    for (let i = 0; i < wanted; i++) {
      const bytes = this.#lengths[first + i] - DATAGRAM_HEADER;
      if (bytes <= 0 || bytes > fragmentStep) return 0;
    }
    let end = at;
    for (let i = 0; i < wanted; i++) {
      const bytes = this.#lengths[first + i] - DATAGRAM_HEADER;
      const from = at + i * fragmentStep;
      if (end !== from) memory.copy(end, from, bytes);
      end += bytes;
    }
    return end - at;
  }

  /** The session of the datagram whose header is at `header`; undefined when it is nobody's. */
  #accept(memory: Memory, header: number, bytes: number): Session | undefined {
    this.#tally.counters.datagramsReceived++;
    const { u8, view } = memory;
    if (bytes <= 0 || u8[header] !== DATAGRAM_TYPE || u8[header + 1] >= u8[header + 2]) {
      this.#tally.drop("datagram-malformed");
      return undefined;
    }
    const session = this.#switch.sessions.get(view.getUint32(header + 4, true));
    if (session === undefined) this.#tally.drop("session-unknown");
    return session;
  }

  /** Whether all fragments of the record that begins with the header at `first` are here, in order. */
  #follow(memory: Memory, first: number, step: number, fragments: number, available: number): boolean {
    if (fragments > available || memory.u8[first + 1] !== 0) return false;
    const { view } = memory;
    const word = view.getUint32(first, true);
    const session = view.getUint32(first + 4, true);
    const counter = view.getUint32(first + 8, true);
    for (let i = 1; i < fragments; i++) {
      const header = first + i * step;
      // The first word is type, index, count, lane and epoch: the same but for the index.
      if (
        view.getUint32(header, true) !== word + i * 256 ||
        view.getUint32(header + 4, true) !== session ||
        view.getUint32(header + 8, true) !== counter
      )
        return false;
    }
    return true;
  }

  #reassemble(session: Session, memory: Memory, header: number, fragment: number, bytes: number): void {
    const reassembly = this.#reassembly;
    const { u8, view } = memory;
    const before = reassembly.evicted;
    const laneEpoch = u8[header + AT_LANE];
    const key =
      (view.getUint32(header + 4, true) * 256 + laneEpoch) * 2 ** 13 + (view.getUint32(header + 8, true) % 2 ** 13);
    const fragments = u8[header + 2];
    if (reassembly.add(key, this.#sourceId, u8[header + 1], fragments, memory, fragment, bytes)) {
      const { at, length } = reassembly;
      this.#open(session, reassembly.memory, at, length, laneEpoch, fragments, bytes + DATAGRAM_HEADER);
      // Its memory is used again by the next one.
      this.#switch.settle();
    }
    if (reassembly.evicted > before) this.#tally.drop("reassembly-evicted");
  }

  /** A record that came over the connection's own channel, whole, after the byte that tells lane and epoch. */
  record(session: Session, bytes: Uint8Array): void {
    const length = bytes.length - 1;
    if (length < RECORD_OVERHEAD || length > MAX_RECORD) return this.#tally.drop("record-malformed");
    // No run may lie in the memory that is used here.
    this.#switch.settle();
    const { memory } = this.#buffers[0];
    memory.u8.set(bytes);
    this.#tally.counters.bytesReceived += length;
    this.#open(session, memory, 1, length, bytes[0], 1, 0);
    this.#switch.settle();
  }

  /** The peer's newest record came from another endpoint: datagrams to it go there from now on. */
  #moved(session: Session): void {
    const address = this.#many === undefined ? this.#udp.source : this.#many.sourceOf(this.#datagram);
    if (address === undefined) return;
    session.address = address;
    this.#tell({ event: "address-changed", session: session.local, address });
  }

  /** Opens a record and hands it on. */
  #open(
    session: Session,
    memory: Memory,
    offset: number,
    length: number,
    laneEpoch: number,
    fragments: number,
    datagramBytes: number,
  ): void {
    const result =
      length < RECORD_OVERHEAD ? "record-malformed" : session.open(memory, offset, length, laneEpoch, fragments);
    if (result !== "ok") return this.#tally.drop(result);
    this.#tally.counters.recordsReceived++;
    if (datagramBytes > 0 && session.newest && session.address?.id !== this.#sourceId) this.#moved(session);
    this.#switch.received(session, memory, offset, length, datagramBytes);
  }
}
