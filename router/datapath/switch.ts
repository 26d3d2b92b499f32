import { Backlog } from "#router/datapath/backlog.js";
import type { BufferRing } from "#router/datapath/buffer-ring.js";
import { DatagramJoiner } from "#router/datapath/datagram-joiner.js";
import type { FrameDevice } from "#router/datapath/frame-device.js";
import { MacTable } from "#router/datapath/mac-table.js";
import type { WriteRun } from "#router/datapath/open-run.js";
import { decodePathMessage, encodePathMessage } from "#router/datapath/path-message.js";
import type { DatapathEvent, RouteTable, Tally } from "#router/datapath/protocol.js";
import {
  AT_BODY,
  AT_DEST,
  AT_HOPS,
  AT_KIND,
  AT_PADDING,
  AT_SOURCE,
  KIND_CONTROL,
  KIND_FRAMES,
  KIND_SEGMENTS,
  RECORD_OVERHEAD,
  readMac,
} from "#router/datapath/record.js";
import { SegmentJoiner } from "#router/datapath/segment-joiner.js";
import type { Session } from "#router/datapath/session.js";
import { SourceGuards } from "#router/datapath/source-guard.js";
import {
  AT_GSO_TYPE,
  DESCRIPTOR_BYTES,
  GSO_NONE,
  isSuperFrame,
  isTcp,
  layoutOf,
  MAX_HEADERS,
  type SuperFrame,
} from "#router/datapath/super-frame.js";
import type { Transmitter } from "#router/datapath/transmitter.js";
import type { Memory } from "#src/linux/native/memory.js";
import { VNET_HEADER_BYTES } from "#src/linux/native/tap.js";
import { isGroupMac } from "#src/mac.js";

const ETHERNET_HEADER = 14;
/** Bytes of the shortest frame, virtio header included. */
const SHORTEST_FRAME = VNET_HEADER_BYTES + ETHERNET_HEADER;
/** The MACs 01:80:c2:00:00:0x (spanning tree, pause, LLDP). Frames to them must stay on one link (IEEE 802.1Q). */
const LINK_LOCAL_FIRST = 0x0180c2000000;
const LINK_LOCAL_LAST = 0x0180c200000f;
/** Maximum bytes of a control message; the rest of the datagram is padding. */
const MAX_CONTROL_BYTES = 64;

export interface SwitchDeps {
  readonly device: FrameDevice;
  readonly transmitter: Transmitter;
  /** The ring of the receive buffers. */
  readonly ring: BufferRing;
  readonly tally: Tally;
  readonly emit: (event: DatapathEvent) => void;
}

/**
 * Switches frames: learns MACs, forwards a frame to the peer of its destination MAC, floods frames to unknown destinations,
 * and relays records for other peers.
 *
 *   captured (TAP)    known MAC ──▶ its peer          unknown, multicast ──▶ our branches of the broadcast tree
 *   received (UDP)    for us    ──▶ TAP               flood ──▶ TAP and the source's branches        else ──▶ relay
 */
export class Switch {
  readonly macs: MacTable;
  readonly sessions = new Map<number, Session>();
  /** The queue of the TAP device, and that of the UDP socket. */
  readonly outbound = new Backlog();
  readonly inbound = new Backlog();
  routes: Pick<RouteTable, "unicast" | "flood"> = { unicast: new Map(), flood: new Map() };
  /** Which sources the records of each neighbour may have. */
  readonly guards = new SourceGuards();

  readonly #self: number;
  readonly #device: FrameDevice;
  readonly #transmitter: Transmitter;
  readonly #tally: Tally;
  readonly #emit: (event: DatapathEvent) => void;
  readonly #segments: SegmentJoiner;
  readonly #datagrams: DatagramJoiner;
  /** False: nothing is learned from the present record, as no known route leads from its source through its sender. */
  #learning = true;
  /** Reused for each super-frame. */
  #superFrame: SuperFrame | undefined;
  #now = 0;

  /** @param self our own peer name */
  constructor(self: number, { device, transmitter, ring, tally, emit }: SwitchDeps) {
    this.#self = self;
    this.#device = device;
    this.#transmitter = transmitter;
    this.#tally = tally;
    this.#emit = emit;
    this.macs = new MacTable(self);
    const write: WriteRun = (parts, gsoType, frames) => this.#count(device.writeParts(parts, gsoType), frames);
    this.#segments = new SegmentJoiner(ring, write);
    this.#datagrams = new DatagramJoiner(ring, write);
  }

  tick(now: number): void {
    this.#now = now;
  }

  /** Ends the keys and the permissions of sources whose time is over. */
  expire(now: number): void {
    const neighbours = new Set<number>();
    for (const session of this.sessions.values()) {
      session.keys.expire(now);
      neighbours.add(session.peer);
    }
    this.guards.expire(now, neighbours);
  }

  /** Handles a frame from our bridge: `length` bytes, virtio header first. */
  captured(memory: Memory, offset: number, length: number): void {
    if (length < SHORTEST_FRAME) return this.#tally.drop("frame-malformed");
    this.#tally.counters.framesCaptured++;
    const { view } = memory;
    // Only TCP super-frames are dropped: their sender notices the loss immediately, and slows down.
    if (this.outbound.shouldDrop(this.#now) && isTcp(view.getUint8(offset + AT_GSO_TYPE)))
      return this.#tally.drop("congested");
    const frame = offset + VNET_HEADER_BYTES;
    const dest = readMac(view, frame);
    this.#learning = true;
    this.#learn(readMac(view, frame + 6), this.#self);
    if (!isGroupMac(dest)) {
      const peer = this.macs.lookup(dest);
      if (peer === this.#self) return;
      if (peer !== undefined) {
        const session = this.#next(peer);
        if (session === undefined) return this.#tally.drop("no-route");
        return this.#send(session, peer, memory, offset, length);
      }
    } else if (dest >= LINK_LOCAL_FIRST && dest <= LINK_LOCAL_LAST) return;
    const branches = this.routes.flood.get(this.#self) ?? [];
    // Each branch seals a copy of its own.
    if (memory === this.#transmitter.memory && branches.length > 1) {
      memory = this.#transmitter.putAside(offset, length);
      offset = 0;
    }
    for (const local of branches) {
      const session = this.sessions.get(local);
      if (session !== undefined) this.#send(session, 0, memory, offset, length);
    }
  }

  /** Handles an opened record of `length` bytes (nonce and tag included) from `session`. */
  received(session: Session, memory: Memory, offset: number, length: number, datagramBytes: number): void {
    if (length < RECORD_OVERHEAD) return this.#tally.drop("record-malformed");
    const { view } = memory;
    const kind = view.getUint8(offset + AT_KIND);
    const body = offset + AT_BODY;
    const bodyBytes = length - RECORD_OVERHEAD - view.getUint16(offset + AT_PADDING, true);
    if (bodyBytes < 0) return this.#tally.drop("record-malformed");
    if (kind === KIND_CONTROL) {
      const message = memory.u8.slice(body, body + Math.min(bodyBytes, MAX_CONTROL_BYTES));
      const answered = this.#answer(session, message, datagramBytes);
      return this.#emit({ event: "control", session: session.local, message, datagramBytes, answered });
    }
    if (kind !== KIND_FRAMES && kind !== KIND_SEGMENTS) return this.#tally.drop("record-malformed");
    const source = readMac(view, offset + AT_SOURCE);
    const dest = readMac(view, offset + AT_DEST);
    const hops = view.getUint8(offset + AT_HOPS);
    if (source === this.#self) return this.#tally.drop("looped");
    this.#learning = source === session.peer;
    if (!this.#learning && !this.#mayRelay(session, source)) return;
    if (this.inbound.shouldDrop(this.#now) && kind === KIND_SEGMENTS && isTcp(view.getUint8(body + AT_GSO_TYPE)))
      return this.#tally.drop("congested");
    // Relay first: delivery may change the record in place.
    if (dest === 0) {
      for (const local of this.routes.flood.get(source) ?? []) {
        const next = this.sessions.get(local);
        if (next !== undefined && next !== session) this.#relay(next, memory, offset, length, hops);
      }
    } else if (dest !== this.#self) {
      const next = this.#next(dest);
      if (next === undefined) return this.#tally.drop("no-route");
      return this.#relay(next, memory, offset, length, hops);
    }
    if (kind === KIND_SEGMENTS) {
      this.#datagrams.close();
      const headers = body + DESCRIPTOR_BYTES;
      if (bodyBytes < DESCRIPTOR_BYTES + ETHERNET_HEADER) return this.#tally.drop("record-malformed");
      if (!this.#learn(readMac(view, headers + 6), source)) return;
      if (!this.#segments.add(source, memory, body, bodyBytes)) this.#tally.drop("record-malformed");
      return;
    }
    this.#segments.close();
    this.#deliverFrames(source, memory, body, bodyBytes);
  }

  /** Judges a record that a neighbour relays, or says that it does. False: it is dropped. */
  #mayRelay(session: Session, source: number): boolean {
    session.guard ??= this.guards.of(session.peer);
    const verdict = session.guard.judge(source, this.#now);
    this.#learning = verdict === "proven";
    if (verdict !== "refused") return true;
    this.#tally.drop("source-refused");
    this.#emit({ event: "source-refused", neighbour: session.peer, source });
    return false;
  }

  /** Answers a ping in this thread: a busy event loop must not look like a failed path. */
  #answer(session: Session, message: Uint8Array, datagramBytes: number): boolean {
    const ping = session.keys.remote === 0 ? undefined : decodePathMessage(message);
    if (ping?.type !== "ping") return false;
    const pong = encodePathMessage({ type: "pong", id: ping.id, datagramBytes });
    this.#transmitter.control(session, pong, 0);
    return true;
  }

  #deliverFrames(source: number, memory: Memory, body: number, bodyBytes: number): void {
    const { view } = memory;
    const end = body + bodyBytes;
    for (let at = body; at < end; ) {
      const length = at + 2 <= end ? view.getUint16(at, true) || end - at - 2 : 0;
      if (length < SHORTEST_FRAME || at + 2 + length > end) return this.#tally.drop("frame-malformed");
      if (this.#learn(readMac(view, at + 2 + VNET_HEADER_BYTES + 6), source)) this.#write(memory, at + 2, length);
      at += 2 + ((length + 1) & ~1);
    }
  }

  #write(memory: Memory, offset: number, length: number): void {
    if (this.#device.takesUdpSuperFrames && this.#datagrams.add(memory, offset, length)) return;
    this.#count(this.#device.write(memory, offset, length), 1);
  }

  #count(written: boolean, frames: number): void {
    if (written) this.#tally.counters.framesDelivered += frames;
    else this.#tally.drop("tap-write-failed", frames);
  }

  #next(peer: number): Session | undefined {
    const local = this.routes.unicast.get(peer);
    return local === undefined ? undefined : this.sessions.get(local);
  }

  #relay(next: Session, memory: Memory, offset: number, length: number, hops: number): void {
    if (hops <= 1) return this.#tally.drop("hops-exceeded");
    this.#transmitter.relay(next, memory, offset, length, hops - 1);
  }

  #send(session: Session, dest: number, memory: Memory, offset: number, length: number): void {
    const type = memory.view.getUint8(offset + AT_GSO_TYPE);
    if (type !== GSO_NONE) {
      const start = offset + VNET_HEADER_BYTES;
      const csumStart = memory.view.getUint16(offset + 6, true);
      const gsoSize = memory.view.getUint16(offset + 4, true);
      const headers = memory.u8.subarray(start, Math.min(start + MAX_HEADERS, offset + length));
      const layout = isSuperFrame(type) ? layoutOf(headers, type, csumStart) : undefined;
      if (layout === undefined || gsoSize === 0 || VNET_HEADER_BYTES + layout.headers >= length)
        return this.#tally.drop("frame-malformed");
      this.#superFrame ??= { memory, offset, length, layout, gsoType: type, gsoSize };
      const frame = this.#superFrame;
      frame.memory = memory;
      frame.offset = offset;
      frame.length = length;
      frame.layout = layout;
      frame.gsoType = type;
      frame.gsoSize = gsoSize;
      return this.#transmitter.superFrame(session, dest, frame);
    }
    this.#transmitter.frame(session, dest, memory, offset, length);
  }

  /** Learns the MAC of a frame's source. False: the frame must be dropped. */
  #learn(mac: number, peer: number): boolean {
    if (isGroupMac(mac)) {
      this.#tally.drop("frame-malformed");
      return false;
    }
    if (!this.#learning) {
      if (this.macs.lookup(mac) !== this.#self) return true;
      this.#tally.drop("own-mac");
      return false;
    }
    switch (this.macs.learn(mac, peer, this.#now)) {
      case "new":
        this.#emit({ event: "mac-learnt", mac, peer });
        return true;
      case "moved":
        this.#emit({ event: "mac-learnt", mac, peer });
        this.#emit({ event: "mac-moved", mac, from: this.macs.movedFrom, to: peer });
        return true;
      case "refused":
        this.#tally.drop("own-mac");
        this.#emit({ event: "mac-refused", mac, peer });
        return false;
      case "held":
        this.#emit({ event: "mac-held", mac, at: this.macs.lookup(mac)!, claimedBy: peer });
        return true;
      case "full":
        // Frames to the MAC are flooded.
        this.#tally.drop("mac-table-full");
        this.#emit({ event: "mac-full", mac, peer });
        return true;
      default:
        return true;
    }
  }
}
