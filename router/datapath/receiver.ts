import { BUFFERS, type BufferRing } from "#router/datapath/buffer-ring.js";
import type { DatagramReceiver } from "#router/datapath/datagram-socket.js";
import { FragmentSize, LARGEST_FRAGMENT } from "#router/datapath/fragment-size.js";
import type { DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { type Fragment, Reassembly } from "#router/datapath/reassembly.js";
import {
  HEADER_SLOT,
  HEADERS_AT,
  newOverflow,
  ReceiveBuffer,
  UNSCATTERED_AT,
} from "#router/datapath/receive-buffer.js";
import { ReceiveMode } from "#router/datapath/receive-mode.js";
import { ReceivedDatagrams } from "#router/datapath/received-datagrams.js";
import { AT_LANE, DATAGRAM_HEADER, DATAGRAM_TYPE, MAX_RECORD, RECORD_OVERHEAD } from "#router/datapath/record.js";
import type { Session } from "#router/datapath/session.js";
import type { Switch } from "#router/datapath/switch.js";
import type { Memory } from "#src/linux/native/memory.js";
import { type Endpoint, hostText, NO_ENDPOINT } from "#src/net/endpoint.js";

/** A sealed record that will be opened in place. */
interface SealedRecord {
  memory: Memory;
  offset: number;
  length: number;
  laneEpoch: number;
  /** Number of datagrams that carried the record. */
  fragments: number;
  /** UDP payload of one of these datagrams, in bytes; 0: the record did not travel by UDP. */
  datagramBytes: number;
}

export interface ReceiverDeps {
  readonly socket: DatagramReceiver;
  /** Receives the opened records. */
  readonly switch: Switch;
  readonly ring: BufferRing;
  readonly tally: Tally;
  readonly emit: (event: DatapathEvent) => void;
}

/**
 * Turns datagrams into opened records.
 *
 * A receive is scattered for the expected size of fragments ({@link FragmentSize}). In bulk traffic the expectation is right,
 * and a record is contiguous. Otherwise its fragments are copied together first.
 */
export class Receiver {
  readonly #deps: ReceiverDeps;
  readonly #mode: ReceiveMode;
  readonly #expected = new FragmentSize();
  readonly #buffers = Array.from({ length: BUFFERS }, () => new ReceiveBuffer());
  readonly #overflow = newOverflow();
  readonly #received = new ReceivedDatagrams(this.#buffers[0].memory);
  readonly #reassembly = new Reassembly();
  #now = 0;

  /** Index of the current datagram, and the id of the endpoint that sent it. */
  #current = 0;
  #sourceId = NO_ENDPOINT;
  readonly #record: SealedRecord;
  readonly #fragment: Fragment;

  /** @param joining true: the socket has UDP_GRO, and it is on */
  constructor(deps: ReceiverDeps, joining: boolean) {
    this.#deps = deps;
    this.#mode = new ReceiveMode(joining);
    const { memory } = this.#reassembly;
    this.#record = { memory, offset: 0, length: 0, laneEpoch: 0, fragments: 0, datagramBytes: 0 };
    this.#fragment = { memory, offset: 0, bytes: 0, index: 0, count: 0, key: 0, sourceId: NO_ENDPOINT };
  }

  tick(now: number): void {
    this.#now = now;
  }

  /** Receives once, and processes the datagrams. Returns their number; 0: none has arrived. */
  pump(): number {
    const { ring } = this.#deps;
    const buffer = this.#buffers[ring.begin()];
    if (buffer.fragmentBytes !== this.#expected.bytes) buffer.layOut(this.#expected.bytes, this.#overflow);
    const received = this.#mode.joining ? this.#receiveJoined(buffer) : this.#receiveBatch(buffer);
    if (received > 0) ring.end();
    return received;
  }

  #receiveJoined({ memory, joined, fragmentBytes }: ReceiveBuffer): number {
    const { socket, tally } = this.#deps;
    const bytes = socket.receive(joined);
    if (bytes < 0) return 0;
    tally.counters.bytesReceived += bytes;
    if (bytes === 0) {
      tally.drop("datagram-malformed");
      return 1;
    }
    const stride = socket.segmentBytes;
    if (this.#mode.joined(bytes, stride, this.#now)) socket.gro = this.#mode.joining;
    const count = Math.ceil(bytes / stride);
    const received = this.#received;
    received.memory = memory;
    received.batch = undefined;
    received.count = count;
    if (count > 1) received.lengths.fill(stride, 0, count);
    received.lengths[count - 1] = bytes - (count - 1) * stride;
    const expected = fragmentBytes + DATAGRAM_HEADER;
    // A single short datagram does not show the size of full ones.
    if (count > 1 || stride >= expected) this.#expected.observe(stride - DATAGRAM_HEADER);
    if (stride === expected || (count === 1 && bytes <= expected)) this.#scattered(fragmentBytes);
    else {
      joined.gather(memory, UNSCATTERED_AT, bytes);
      received.headersAt = UNSCATTERED_AT;
      received.fragmentsAt = UNSCATTERED_AT + DATAGRAM_HEADER;
      received.headerStep = received.fragmentStep = stride;
    }
    this.#sourceId = socket.sourceId;
    this.#process();
    return count;
  }

  #receiveBatch({ memory, batch, fragmentBytes }: ReceiveBuffer): number {
    const { socket, tally } = this.#deps;
    const count = socket.receiveMany(batch);
    if (count < 0) return 0;
    const received = this.#received;
    received.memory = memory;
    received.batch = batch;
    received.count = count;
    let longest = 0;
    for (let i = 0; i < count; i++) {
      const length = batch.lengthOf(i);
      received.lengths[i] = length;
      longest = Math.max(longest, length);
      tally.counters.bytesReceived += length;
    }
    this.#expected.observe(longest - DATAGRAM_HEADER);
    this.#scattered(fragmentBytes);
    this.#process();
    if (this.#mode.single(this.#now)) socket.gro = this.#mode.joining;
    return count;
  }

  /** Sets the offsets of the layout of {@link ReceiveBuffer.layOut}. */
  #scattered(fragmentBytes: number): void {
    const received = this.#received;
    received.headersAt = HEADERS_AT;
    received.headerStep = HEADER_SLOT;
    received.fragmentsAt = 0;
    received.fragmentStep = fragmentBytes;
  }

  #process(): void {
    const { count } = this.#received;
    for (let i = 0; i < count; ) i += this.#datagram(i);
  }

  /** Opens the record that begins with datagram `i`, or stores that fragment. Returns the number of datagrams consumed. */
  #datagram(i: number): number {
    const received = this.#received;
    const { memory, batch } = received;
    const header = received.headerAt(i);
    const bytes = received.fragmentBytes(i);
    if (batch !== undefined) this.#sourceId = batch.sourceIdOf(i);
    this.#current = i;
    const session = this.#sessionOf(memory, header, bytes);
    if (session === undefined) return 1;
    const oversized = bytes > received.fragmentStep;
    const at = oversized ? this.#joinOversized(i, bytes) : received.fragmentAt(i);
    const fragments = memory.u8[header + 2];
    let length = bytes;
    if (fragments > 1) length = oversized ? 0 : received.gather(i, fragments);
    if (length > 0) {
      const record = this.#record;
      record.memory = memory;
      record.offset = at;
      record.length = length;
      record.laneEpoch = memory.u8[header + AT_LANE];
      record.fragments = fragments;
      record.datagramBytes = bytes + DATAGRAM_HEADER;
      this.#open(session);
    } else this.#reassemble(session, header, at, bytes);
    // The next oversized fragment is copied to the same place.
    if (oversized) this.#deps.ring.settle();
    if (length === 0) return 1;
    this.#deps.tally.counters.datagramsReceived += fragments - 1;
    return fragments;
  }

  /** Joins the two parts of a fragment that exceeds its slot. Returns the offset of the joined fragment. */
  #joinOversized(i: number, bytes: number): number {
    const { memory, fragmentStep } = this.#received;
    memory.copy(UNSCATTERED_AT, this.#received.fragmentAt(i), fragmentStep);
    memory.copyFrom(UNSCATTERED_AT + fragmentStep, this.#overflow, i * LARGEST_FRAGMENT, bytes - fragmentStep);
    return UNSCATTERED_AT;
  }

  /** The session of the datagram whose header is at `header`; undefined when the datagram is dropped. */
  #sessionOf(memory: Memory, header: number, bytes: number): Session | undefined {
    const { tally } = this.#deps;
    tally.counters.datagramsReceived++;
    const { u8, view } = memory;
    if (bytes <= 0 || u8[header] !== DATAGRAM_TYPE || u8[header + 1] >= u8[header + 2]) {
      tally.drop("datagram-malformed");
      return undefined;
    }
    const session = this.#deps.switch.sessions.get(view.getUint32(header + 4, true));
    if (session === undefined) tally.drop("session-unknown");
    return session;
  }

  #reassemble(session: Session, header: number, offset: number, bytes: number): void {
    const reassembly = this.#reassembly;
    const { memory } = this.#received;
    const { u8, view } = memory;
    const evicted = reassembly.evicted;
    const laneEpoch = u8[header + AT_LANE];
    const fragment = this.#fragment;
    fragment.memory = memory;
    fragment.offset = offset;
    fragment.bytes = bytes;
    fragment.index = u8[header + 1];
    fragment.count = u8[header + 2];
    fragment.key =
      (view.getUint32(header + 4, true) * 256 + laneEpoch) * 2 ** 13 + (view.getUint32(header + 8, true) % 2 ** 13);
    fragment.sourceId = this.#sourceId;
    if (reassembly.add(fragment)) {
      const record = this.#record;
      record.memory = reassembly.memory;
      record.offset = reassembly.at;
      record.length = reassembly.length;
      record.laneEpoch = laneEpoch;
      record.fragments = fragment.count;
      record.datagramBytes = bytes + DATAGRAM_HEADER;
      this.#open(session);
      // The next fragment may overwrite the slot.
      this.#deps.ring.settle();
    }
    if (reassembly.evicted > evicted) this.#deps.tally.drop("reassembly-evicted");
  }

  /** Opens a sealed record that a carrier received on the event loop. One byte with lane and epoch precedes the record. */
  record(session: Session, bytes: Uint8Array): void {
    const { ring, tally } = this.#deps;
    const length = bytes.length - 1;
    if (length < RECORD_OVERHEAD || length > MAX_RECORD) return tally.drop("record-malformed");
    // After settle() no buffer has undelivered bytes, so any buffer can be used.
    ring.settle();
    const { memory } = this.#buffers[0];
    memory.u8.set(bytes);
    tally.counters.bytesReceived += length;
    const record = this.#record;
    record.memory = memory;
    record.offset = 1;
    record.length = length;
    record.laneEpoch = bytes[0];
    record.fragments = 1;
    record.datagramBytes = 0;
    this.#open(session);
    ring.settle();
  }

  /** Opens the record in `#record`, and passes it to the switch. */
  #open(session: Session): void {
    const { memory, offset, length, laneEpoch, fragments, datagramBytes } = this.#record;
    const { tally } = this.#deps;
    const moved = datagramBytes > 0 && session.address?.id !== this.#sourceId;
    if (moved && !session.encrypted && !this.#isFromHost(session)) return tally.drop("address-unproven");
    const result =
      length < RECORD_OVERHEAD ? "record-malformed" : session.keys.open(memory, offset, length, laneEpoch, fragments);
    if (result !== "ok") return tally.drop(result);
    tally.counters.recordsReceived++;
    session.traffic.recordsReceived++;
    session.traffic.bytesReceived += length;
    if (moved && session.keys.newest) this.#follow(session);
    this.#deps.switch.received(session, memory, offset, length, datagramBytes);
  }

  /**
   * Whether the current datagram comes from the host of the session's connection. A record in clear proves nothing: any process can write one
   * that knows the session's number. So the address of such a session stays at its host, which is in the trusted subnet.
   */
  #isFromHost(session: Session): boolean {
    const address = this.#source();
    return address !== undefined && hostText(address) === session.host;
  }

  /** Follows the peer: its newest record came from another endpoint, which is the peer's address from now on. */
  #follow(session: Session): void {
    const address = this.#source();
    if (address === undefined) return;
    session.address = address;
    this.#deps.emit({ event: "address-changed", session: session.local, address });
  }

  /** The endpoint that sent the current datagram. */
  #source(): Endpoint | undefined {
    const { batch } = this.#received;
    return batch === undefined ? this.#deps.socket.source : batch.sourceOf(this.#current);
  }
}
