/** Two ends of the frame path in one process, over loopback, with files in place of TAP devices; every native call is watched. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { BufferRing } from "#router/datapath/buffer-ring.js";
import { FramePort } from "#router/datapath/frame-port.js";
import { type DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receiver.js";
import { AT_LANE } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM, Session } from "#router/datapath/session.js";
import { GSO_TCPV4 } from "#router/datapath/super-frame.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { viewOf } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { MAX_SEGMENTS, openFrameSockets } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import { endpoint } from "#src/net/endpoint.js";
import type { Random } from "#src/random.js";
import { NativeGuard } from "#test/fuzz/native-guard.js";
import { casesOf, SEED } from "#test/fuzz/share.js";

export const RUNS = casesOf(200);
export { SEED };
export const ALL = { vnetHeader: true, tso: true, uso: true, segment: true, gro: true, openssl: true };
/** The longest frame of a TAP with its largest MTU, and a VLAN tag. */
export const LARGEST_FRAME = 65_521 + 18;
/** Watches every native call of this process. */
export const guard = new NativeGuard(viewOf);
const folder = mkdtempSync(join(tmpdir(), "weave-fuzz-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** One end: switch, transmitter and receiver with a UDP socket of their own; what it delivers goes to a file. */
export class End {
  readonly port: number;
  readonly switch: Switch;
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly tally = new Tally();
  readonly ring = new BufferRing();
  readonly events: DatapathEvent[] = [];
  /** For each report of frames in use, whether they were large. */
  readonly used: boolean[] = [];
  readonly file: string;
  readonly fd: number;
  readonly udp: UdpReceiver;
  readonly sender: UdpSender;

  constructor(self: number, port: number, file = join(folder, `tap-${port}`), joining = true) {
    this.port = port;
    const sockets = openFrameSockets(endpoint("127.0.0.1", port), 1, AT_LANE, ALL);
    const udp = new UdpReceiver(sockets.fds[0]);
    this.udp = udp;
    this.sender = new UdpSender(sockets.fds[0], sockets.offloads.segment);
    udp.gro = joining;
    this.file = file;
    this.fd = openSync(this.file, "a");
    this.transmitter = new Transmitter(self, this.tally, {
      tooBig: () => {},
      record: () => {},
      frames: (_session, large) => this.used.push(large),
    });
    const { ring, tally, transmitter } = this;
    const emit = (event: DatapathEvent) => this.events.push(event);
    this.switch = new Switch(self, { device: new FramePort(this.fd, ALL), transmitter, ring, tally, emit });
    this.receiver = new Receiver({ socket: udp, switch: this.switch, ring, tally, emit }, joining);
  }

  join(other: End, self: number, peer: number, datagramBytes: number): void {
    const { sender } = this;
    const session = new Session({ local: self, peer, encrypted: true, lane: 0, openssl: true, sender });
    session.keys.remote = peer;
    session.address = endpoint("127.0.0.1", other.port);
    session.datagramBytes = datagramBytes;
    session.keys.setKey("seal", 0, new Uint8Array(32).fill(self), new Uint8Array(4), 0);
    session.keys.setKey("open", 0, new Uint8Array(32).fill(peer), new Uint8Array(4), 0);
    this.switch.sessions.set(self, session);
    this.switch.routes = { unicast: new Map([[peer, self]]), flood: new Map([[self, [self]]]) };
  }

  pump(): void {
    while (this.receiver.pump());
    this.ring.settle();
    this.transmitter.flush();
  }

  /** What was written to the TAP since the last call. */
  taken(): Buffer {
    const bytes = readFileSync(this.file);
    truncateSync(this.file);
    return bytes;
  }
}

/** A UDP port that is free. */
export const free = () =>
  new Promise<number>((resolve) => {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });

/**
 * @param joining B's kernel joins datagrams
 * @param tap where B's frames go, if not to a file of its own
 */
export async function pair(datagramBytes: number, joining = true, tap?: string): Promise<[End, End]> {
  const [a, b] = [new End(1, await free()), new End(2, await free(), tap, joining)];
  a.join(b, 1, 2, datagramBytes);
  b.join(a, 2, 1, datagramBytes);
  return [a, b];
}

/** A frame with its virtio header, from MAC 2:…:source to everyone. */
export function randomFrame(random: Random, source: number, length: number): Uint8Array {
  const bytes = new Uint8Array(10 + length);
  bytes.set(random.bytes(Math.min(length, 64)), 10);
  for (let i = 74; i < bytes.length; i++) bytes[i] = i * source;
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, source], 10);
  return bytes;
}

/** Of a frame: small, of any size, or about the largest that there is, where lengths come near 2^16. */
export function frameBytes(random: Random): number {
  if (random.below(10) > 0) return 14 + random.below(1_400);
  return random.below(2) === 0 ? 14 + random.below(65_000) : LARGEST_FRAME - random.below(300);
}

/** What A sends to B, caught on the way and never delivered. */
export async function caught(a: End, datagramBytes: number, random: Random): Promise<Uint8Array[]> {
  const spy = new End(9, await free());
  const session = a.switch.sessions.get(1)!;
  const address = session.address;
  session.address = endpoint("127.0.0.1", spy.port);
  session.datagramsPerRecord = 4;
  const memory = new Memory(70_000);
  const buffer = new Memory(70_000);
  const parts = new IoVector(1);
  parts.push(buffer, 0, 65_536);
  const datagrams: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    const frame =
      i % 3 === 0
        ? tcpSuperFrame(random, 2_000 + random.below(40_000))
        : randomFrame(random, 1, i % 50 === 1 ? LARGEST_FRAME - random.below(300) : 14 + random.below(9_000));
    session.datagramBytes = FLOOR_DATAGRAM + random.below(datagramBytes - FLOOR_DATAGRAM + 1);
    memory.u8.set(frame);
    a.switch.captured(memory, 0, frame.length);
    a.transmitter.flush();
    for (let count = spy.udp.receive(parts); count > 0; count = spy.udp.receive(parts)) {
      for (let at = 0; at < count; at += spy.udp.segmentBytes)
        datagrams.push(buffer.u8.slice(at, Math.min(count, at + spy.udp.segmentBytes)));
    }
  }
  session.address = address;
  session.datagramBytes = datagramBytes;
  assert.ok(datagrams.length >= 600, `only ${datagrams.length} datagrams were caught`);
  assert.ok(datagrams.every(({ length }) => length <= datagramBytes));
  return datagrams;
}

/** A TCP super-frame with its virtio header, as a kernel would hand it over; its checksums are not looked at. */
export function tcpSuperFrame(random: Random, payload: number): Uint8Array {
  const bytes = new Uint8Array(10 + 54 + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([1, GSO_TCPV4, 54, 0, 0, 0, 34, 0, 16, 0], 0);
  view.setUint16(4, 536 + random.below(900), true);
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0, 0x45], 10);
  view.setUint16(10 + 16, 40 + payload, false);
  bytes[10 + 23] = 6;
  bytes[10 + 46] = 0x50;
  return bytes;
}

/** Sends a buffer to B in datagrams of `size` bytes with one call, as the kernel's segmentation makes it. */
export function sender(port: number): (bytes: Uint8Array, size: number) => void {
  const sockets = openFrameSockets(endpoint("127.0.0.1", 0), 1, AT_LANE, ALL);
  const udp = new UdpSender(sockets.fds[0], sockets.offloads.segment);
  const memory = new Memory(70_000);
  const parts = new IoVector(1);
  const path = { address: endpoint("127.0.0.1", port), source: undefined, batches: true };
  return (bytes, size) => {
    memory.u8.set(bytes);
    parts.clear();
    parts.push(memory, 0, bytes.length);
    const sent = udp.send(parts, Math.max(size, Math.ceil(bytes.length / MAX_SEGMENTS)), 1, path);
    assert.equal(sent, bytes.length);
  };
}
