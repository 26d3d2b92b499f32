/**
 * Two ends of the frame path in one process, over loopback, with files in the place of TAP devices: what goes in on one
 * side must come out on the other, and what an attacker sends must come out nowhere, nor hurt.
 *
 * Every native call is watched meanwhile (native-guard.ts). `npm run fuzz` runs twelve million cases.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SMALL_PING } from "#router/carriers/sleeve/path.js";
import { BufferRing } from "#router/datapath/buffer-ring.js";
import { decodePathMessage, encodePathMessage } from "#router/datapath/control.js";
import { FramePort } from "#router/datapath/frame-port.js";
import { type DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receiver.js";
import {
  AT_BODY,
  AT_DEST,
  AT_HOPS,
  AT_KIND,
  AT_LANE,
  AT_PADDING,
  AT_SOURCE,
  DATAGRAM_HEADER,
  DATAGRAM_TYPE,
  KIND_SEGMENTS,
  MAX_HOPS,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import { FLOOR_DATAGRAM, Session } from "#router/datapath/session.js";
import { DESCRIPTOR_BYTES, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, writeDescriptor } from "#router/datapath/super-frame.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { libc, viewOf } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import { TAG_BYTES } from "#src/linux/native/record-cipher.js";
import { MAX_SEGMENTS, openFrameSockets } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import { endpoint } from "#src/net/endpoint.js";
import type { Random } from "#src/random.js";
import { NativeGuard } from "#test/fuzz/native-guard.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const RUNS = Number(process.env.FUZZ_RUNS ?? 50_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const ALL = { vnetHeader: true, tso: true, uso: true, segment: true, gro: true, openssl: true };
/** Of a TAP with its largest MTU, and a VLAN tag. */
const LARGEST_FRAME = 65_521 + 18;
const guard = new NativeGuard(viewOf);
const folder = mkdtempSync(join(tmpdir(), "weave-fuzz-"));
after(() => rmSync(folder, { recursive: true, force: true }));

class End {
  readonly port: number;
  readonly switch: Switch;
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly tally = new Tally();
  readonly ring = new BufferRing();
  readonly events: DatapathEvent[] = [];
  /** Of each time that the path was told of frames, whether they were large. */
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
    session.remote = peer;
    session.address = endpoint("127.0.0.1", other.port);
    session.datagramBytes = datagramBytes;
    session.setKey("seal", 0, new Uint8Array(32).fill(self), new Uint8Array(4), 0);
    session.setKey("open", 0, new Uint8Array(32).fill(peer), new Uint8Array(4), 0);
    this.switch.sessions.set(self, session);
    this.switch.routes = { unicast: new Map([[peer, self]]), flood: new Map([[self, [self]]]) };
  }

  pump(): void {
    while (this.receiver.pump());
    this.ring.settle();
    this.transmitter.flush();
  }

  /** What the TAP was given since the last call. */
  taken(): Buffer {
    const bytes = readFileSync(this.file);
    truncateSync(this.file);
    return bytes;
  }
}

const free = () =>
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
async function pair(datagramBytes: number, joining = true, tap?: string): Promise<[End, End]> {
  const [a, b] = [new End(1, await free()), new End(2, await free(), tap, joining)];
  a.join(b, 1, 2, datagramBytes);
  b.join(a, 2, 1, datagramBytes);
  return [a, b];
}

/** A frame with its virtio header, from MAC 2:…:source to everyone. */
function randomFrame(random: Random, source: number, length: number): Uint8Array {
  const bytes = new Uint8Array(10 + length);
  bytes.set(random.bytes(Math.min(length, 64)), 10);
  for (let i = 74; i < bytes.length; i++) bytes[i] = i * source;
  bytes.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, source], 10);
  return bytes;
}

/** Of a frame: small, of any size, or about the largest that there is, where lengths come near 2^16. */
function frameBytes(random: Random): number {
  if (random.below(10) > 0) return 14 + random.below(1_400);
  return random.below(2) === 0 ? 14 + random.below(65_000) : LARGEST_FRAME - random.below(300);
}

for (const joining of [true, false])
  test(`frames of every size come out as they went in, in order; datagrams ${joining ? "joined" : "one by one"}`, async () => {
    const random = seededRandom(SEED);
    const any = Array.from({ length: 6 }, () => FLOOR_DATAGRAM + random.below(9_188 - FLOOR_DATAGRAM));
    for (const datagramBytes of [FLOOR_DATAGRAM, 1_452, 1_472, 8_972, ...any]) {
      const [a, b] = await pair(datagramBytes, joining);
      const memory = new Memory(70_000);
      for (let round = 0; round < 30; round++) {
        const frames = Array.from({ length: 1 + random.below(20) }, () => randomFrame(random, 1, frameBytes(random)));
        for (const frame of frames) {
          memory.u8.set(frame);
          a.switch.captured(memory, 0, frame.length);
        }
        a.transmitter.flush();
        b.pump();
        assert.ok(
          b.taken().equals(Buffer.concat(frames)),
          `seed ${SEED}, datagrams of ${datagramBytes}, round ${round}`,
        );
      }
      assert.equal(
        b.tally.drops["authentication-failed"] + b.tally.drops.replayed + b.tally.drops["record-malformed"],
        0,
      );
      closeSync(a.fd);
      closeSync(b.fd);
    }
  });

test("a ping is answered where it arrives, with the size that came, while other frames are on their way", async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const memory = new Memory(70_000);
  const frame = randomFrame(random, 1, 1_000);
  memory.u8.set(frame);
  for (const datagramBytes of [SMALL_PING, 548, 1_472, 8_972]) {
    a.events.length = b.events.length = 0;
    a.switch.captured(memory, 0, frame.length);
    const ping = encodePathMessage({ type: "ping", id: 7, datagramBytes, before: "unanswered" });
    a.transmitter.control(a.switch.sessions.get(1)!, ping, datagramBytes);
    b.pump();
    a.pump();
    assert.ok(b.taken().equals(Buffer.from(frame)));
    const heard = (end: End) =>
      end.events
        .filter((event) => event.event === "control")
        .map(({ message, answered }) => ({ ...decodePathMessage(message), answered }));
    assert.deepEqual(heard(b), [{ type: "ping", id: 7, datagramBytes, before: "unanswered", answered: true }]);
    assert.deepEqual(heard(a), [{ type: "pong", id: 7, datagramBytes, before: undefined, answered: false }]);
  }
  // One whose session the other end does not know yet is left to the event loop.
  b.switch.sessions.get(2)!.remote = 0;
  b.events.length = 0;
  a.transmitter.control(a.switch.sessions.get(1)!, encodePathMessage({ type: "ping", id: 8, datagramBytes: 60 }), 0);
  b.pump();
  assert.deepEqual(
    b.events.map((event) => event.event === "control" && event.answered),
    [false],
  );
  closeSync(a.fd);
  closeSync(b.fd);
});

test("the path is told once a second that frames are sent, and at once when the first large one is", async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const memory = new Memory(70_000);
  const send = (bytes: number, at: number) => {
    a.transmitter.tick(at);
    memory.u8.set(randomFrame(random, 1, bytes));
    a.switch.captured(memory, 0, 10 + bytes);
    a.transmitter.flush();
    return a.used.splice(0);
  };
  assert.deepEqual(send(100, 5_000), [false]);
  assert.deepEqual(send(100, 5_900), []);
  assert.deepEqual(send(1_000, 5_950), [true]);
  assert.deepEqual(send(1_000, 5_960), []);
  assert.deepEqual(send(100, 6_940), []);
  assert.deepEqual(send(100, 6_960), [false]);
  closeSync(a.fd);
  closeSync(b.fd);
});

/** What A sends to B, caught on the way and never delivered. */
async function caught(a: End, datagramBytes: number, random: Random): Promise<Uint8Array[]> {
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

/** A TCP super-frame with its virtio header, as a kernel would hand it over; the checksums are nobody's business here. */
function tcpSuperFrame(random: Random, payload: number): Uint8Array {
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
function sender(port: number): (bytes: Uint8Array, size: number) => void {
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

/** One change of what was caught: what an attacker on the way can do without a key. */
function spoil(bytes: Uint8Array, random: Random): void {
  switch (random.below(5)) {
    case 0:
      // The headers: index, count, lane and epoch, session, counter.
      bytes[1 + random.below(11)] = random.below(256);
      break;
    case 1:
      bytes.set(random.bytes(Math.min(bytes.length, 1 + random.below(40))));
      break;
    case 2:
      bytes.fill(0, random.below(bytes.length));
      break;
    case 3:
      bytes.set([DATAGRAM_TYPE, random.below(6), random.below(6), random.below(256), 2, 0, 0, 0]);
      break;
    default:
      bytes[random.below(bytes.length)] ^= 1 + random.below(255);
  }
}

for (const joining of [true, false])
  test(`${RUNS} hostile datagrams (random, cut, changed, repeated, mixed, of wrong sizes), ${joining ? "joined" : "one by one"}, deliver nothing and break nothing`, {
    timeout: 1_800_000,
  }, async () => {
    const random = seededRandom(SEED);
    const [a, b] = await pair(1_472, joining);
    const corpus = await caught(a, 1_472, random);
    const send = sender(b.port);
    // What is authentic is delivered first: a copy that happens to be unchanged is then a replay.
    for (const datagram of corpus) {
      send(datagram, datagram.length);
      b.pump();
    }
    const { counters } = b.tally;
    const delivered = counters.framesDelivered;
    assert.ok(delivered > 100, `only ${delivered} frames were delivered`);
    b.events.length = 0;
    const before = counters.datagramsReceived;
    const calls = guard.calls;
    while (counters.datagramsReceived - before < RUNS) {
      // A run of what followed one another, some of it spoilt, perhaps cut up differently than it was.
      const first = random.below(corpus.length);
      const run = corpus.slice(first, first + 1 + random.below(44));
      const size = run[0].length;
      const bytes = new Uint8Array(Math.min(run.length * size, 65_507));
      for (const [i, datagram] of run.entries()) {
        const copy = Uint8Array.from(datagram.subarray(0, Math.min(size, bytes.length - i * size)));
        if (copy.length === 0) break;
        if (random.below(3) > 0) spoil(copy, random);
        bytes.set(copy, i * size);
      }
      const wrongSize = random.below(4) === 0;
      const end = random.below(4) === 0 ? 1 + random.below(bytes.length) : bytes.length;
      send(bytes.subarray(0, end), wrongSize ? 1 + random.below(2_000) : size);
      b.pump();
    }
    assert.equal(guard.violation, undefined);
    assert.ok(guard.calls - calls > RUNS / 50, `only ${guard.calls - calls} native calls were watched`);
    assert.equal(counters.framesDelivered, delivered, "something forged was delivered");
    assert.deepEqual(b.events, []);
    const refused = Object.values(b.tally.drops).reduce((sum, count) => sum + count, 0);
    assert.ok(refused > RUNS / 8, `only ${refused} drops were counted`);
    // The way is still open for what is real.
    const memory = new Memory(4_096);
    const frame = randomFrame(random, 1, 500);
    memory.u8.set(frame);
    b.taken();
    a.switch.captured(memory, 0, frame.length);
    a.transmitter.flush();
    b.pump();
    assert.ok(b.taken().equals(Buffer.from(frame)));
  });

test(`${RUNS} records of a peer that has the keys and means harm break nothing`, { timeout: 1_800_000 }, async () => {
  const random = seededRandom(SEED + 1);
  // Nothing is checked of what is written: to no file, then, which would grow.
  const [a, b] = await pair(1_472, true, "/dev/null");
  b.switch.routes = {
    unicast: new Map([
      [1, 2],
      [77, 2],
    ]),
    flood: new Map([
      [1, [2]],
      [5, [2]],
    ]),
  };
  const send = sender(b.port);
  const session = a.switch.sessions.get(1)!;
  const record = new Memory(70_000);
  const calls = guard.calls;
  for (let run = 0; run < RUNS; ) {
    const length = RECORD_OVERHEAD + random.below(random.below(20) === 0 ? 9_000 : 1_300);
    const batch: Uint8Array[] = [];
    let total = 0;
    const fragments = Math.ceil(length / 1_460);
    while (
      batch.length < 200 &&
      total + length + fragments * DATAGRAM_HEADER <= 60_000 &&
      (batch.length + 1) * fragments <= 64
    ) {
      hostileRecord(record, length, random);
      const counter = session.seal(record, 0, length, fragments);
      const fragment = Math.ceil(length / fragments);
      const bytes = new Uint8Array(length + fragments * DATAGRAM_HEADER);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < fragments; i++) {
        const at = i * (fragment + DATAGRAM_HEADER);
        bytes.set([DATAGRAM_TYPE, i, fragments, session.laneEpoch], at);
        view.setUint32(at + 4, session.remote, true);
        view.setUint32(at + 8, counter, true);
        bytes.set(record.u8.subarray(i * fragment, Math.min(length, (i + 1) * fragment)), at + DATAGRAM_HEADER);
      }
      batch.push(bytes);
      total += bytes.length;
      if (fragments > 1 && length % fragments !== 0) break;
    }
    const fragment = Math.ceil(length / fragments);
    send(Uint8Array.from(Buffer.concat(batch)), fragment + DATAGRAM_HEADER);
    b.pump();
    run += batch.length;
  }
  assert.equal(guard.violation, undefined);
  assert.ok(guard.calls - calls > RUNS / 4);
  assert.ok(b.tally.counters.recordsReceived > RUNS * 0.9, `${b.tally.counters.recordsReceived} records were opened`);
  assert.ok(b.tally.drops["record-malformed"] + b.tally.drops["frame-malformed"] > RUNS / 10);
});

/** Fills a record's header and body: each part is sometimes what a sender of ours would write. */
function hostileRecord(record: Memory, length: number, random: Random): void {
  const { u8, view } = record;
  const body = AT_BODY;
  const end = length - TAG_BYTES;
  u8.fill(random.below(256), AT_KIND, end);
  const often = (chance: number) => random.below(100) < chance;
  u8[AT_KIND] = often(90) ? random.below(3) : random.below(256);
  u8[AT_HOPS] = often(50) ? MAX_HOPS : random.below(256);
  writeMac(view, AT_SOURCE, often(80) ? 1 : random.below(100));
  writeMac(view, AT_DEST, often(60) ? 2 : often(50) ? 0 : random.below(100));
  view.setUint16(AT_PADDING, often(80) ? 0 : random.below(0x10000), true);
  if (end - body < 100) return;
  if (u8[AT_KIND] === KIND_SEGMENTS) {
    writeDescriptor(view, body, {
      flags: random.below(256),
      gsoType: often(80) ? [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4][random.below(3)] : random.below(256),
      headers: often(80) ? [42, 54, 66, 74][random.below(4)] : random.below(0x10000),
      gsoSize: often(50) ? 100 : random.below(0x10000),
      csumStart: often(80) ? [34, 38, 54][random.below(3)] : random.below(0x10000),
      id: random.below(3),
      offset: often(60) ? random.below(20) * 100 : random.below(2 ** 32),
    });
    const frame = body + DESCRIPTOR_BYTES;
    u8.set([2, 0, 0, 0, 0, random.below(4), 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0], frame);
    if (often(20)) u8.set([0x86, 0xdd], frame + 12);
    if (often(20)) u8.set([0x81, 0x00, 0, 1, 8, 0], frame + 12);
    u8[frame + 23] = often(50) ? 6 : 17;
    u8[frame + 46] = random.below(16) << 4;
  } else {
    for (let at = body; at + 40 < end; ) {
      const size = often(90) ? 24 + random.below(60) : random.below(0x10000);
      view.setUint16(at, size, true);
      u8.set([random.below(2), often(70) ? 0 : random.below(256), ...random.bytes(8)], at + 2);
      u8.set([2, 0, 0, 0, 0, 1, often(90) ? 2 : 3, 0, 0, 0, 0, random.below(50)], at + 12);
      at += 2 + ((size + 1) & ~1);
    }
  }
}

test("the guard would have seen a native call that leaves the memory", () => {
  const memory = new Memory(64);
  const outside = memory.at(0, memory.size) + memory.size;
  assert.throws(() => libc.read(0, outside - 8, 9), /outside all mapped memory/);
  assert.throws(() => libc.memmove(memory.at(0, 8), 16, 8), /outside all mapped memory/);
  const parts = new IoVector(1);
  parts.push(memory, 0, 64);
  memory.free();
  assert.throws(() => libc.writev(1, parts.address(), 1), /outside all mapped memory/);
  guard.violation = undefined;
});

test("datagrams that arrive in any order, some of them twice, deliver each frame once", async () => {
  const random = seededRandom(SEED + 2);
  for (const joining of [true, false]) {
    const [a, b] = await pair(1_472, joining);
    const spy = new End(9, await free());
    const address = a.switch.sessions.get(1)!.address;
    a.switch.sessions.get(1)!.address = endpoint("127.0.0.1", spy.port);
    const memory = new Memory(70_000);
    const buffer = new Memory(70_000);
    const parts = new IoVector(1);
    parts.push(buffer, 0, 65_536);
    const datagrams: { bytes: Uint8Array; at: number }[] = [];
    const frames: string[] = [];
    for (let i = 0; i < 400; i++) {
      const frame = randomFrame(random, 1, 14 + random.below(4_000));
      frames.push(Buffer.from(frame).toString("hex"));
      memory.u8.set(frame);
      a.switch.captured(memory, 0, frame.length);
      a.transmitter.flush();
      for (let count = spy.udp.receive(parts); count > 0; count = spy.udp.receive(parts)) {
        for (let at = 0; at < count; at += spy.udp.segmentBytes) {
          const bytes = buffer.u8.slice(at, Math.min(count, at + spy.udp.segmentBytes));
          // Each is late by up to a dozen others; one in ten comes a second time.
          for (let copy = random.below(10) === 0 ? 2 : 1; copy > 0; copy--)
            datagrams.push({ bytes, at: datagrams.length + random.below(12) });
        }
      }
    }
    const send = sender(b.port);
    const seen: string[] = [];
    for (const { bytes } of datagrams.sort((x, y) => x.at - y.at)) {
      send(bytes, bytes.length);
      if (random.below(5) > 0) continue;
      b.pump();
      const taken = b.taken();
      if (taken.length > 0) seen.push(taken.toString("hex"));
    }
    b.pump();
    seen.push(b.taken().toString("hex"));
    const all = seen.join("");
    assert.equal(b.tally.counters.framesDelivered, 400);
    assert.equal(all.length, frames.join("").length);
    for (const frame of frames) assert.ok(all.includes(frame));
    a.switch.sessions.get(1)!.address = address;
  }
});

test("keys that change in the middle of a flow lose nothing, two hundred times", async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const memory = new Memory(70_000);
  const [sealing, opening] = [a.switch.sessions.get(1)!, b.switch.sessions.get(2)!];
  const key = (epoch: number) => new Uint8Array(32).fill(epoch % 251);
  for (let epoch = 1; epoch <= 200; epoch++) {
    const sent: Uint8Array[] = [];
    for (let i = 0; i < 30; i++) {
      // The other end can open before this one seals; what is under way then is sealed with the key before.
      if (i === 10) opening.setKey("open", epoch, key(epoch), new Uint8Array(4), 0);
      if (i === 20) sealing.setKey("seal", epoch, key(epoch), new Uint8Array(4), 0);
      const frame = randomFrame(random, 1, 14 + random.below(3_000));
      sent.push(frame);
      memory.u8.set(frame);
      a.switch.captured(memory, 0, frame.length);
      if (random.below(4) === 0) a.transmitter.flush();
    }
    a.transmitter.flush();
    b.pump();
    assert.ok(b.taken().equals(Buffer.concat(sent)), `epoch ${epoch}`);
  }
  assert.deepEqual(
    Object.entries(b.tally.drops).filter(([, count]) => count > 0),
    [],
  );
});

test("a datagram of no bytes is counted, and a full queue is told from a lossy path", async () => {
  const [a, b] = await pair(1_472);
  const spy = createSocket("udp4");
  await new Promise((resolve) => spy.send(new Uint8Array(0), b.port, "127.0.0.1", resolve));
  b.pump();
  assert.equal(b.tally.drops["datagram-malformed"], 1);
  spy.close();
  assert.equal(b.udp.dropped(), 0);
  const memory = new Memory(70_000);
  memory.u8.set(randomFrame(seededRandom(SEED), 1, 60_000));
  // Nobody reads: the kernel's queue of 16 MB (twice what was asked for) fills.
  for (let i = 0; i < 1_000; i++) {
    a.switch.captured(memory, 0, 60_010);
    a.transmitter.flush();
  }
  assert.ok(b.udp.dropped() > 0);
});

test("a datagram that is sent again delivers nothing again", async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const spy = createSocket("udp4");
  await new Promise<void>((resolve) => spy.bind(0, "127.0.0.1", resolve));
  a.switch.sessions.get(1)!.address = endpoint("127.0.0.1", spy.address().port);
  const memory = new Memory(4_096);
  const frame = randomFrame(random, 1, 300);
  memory.u8.set(frame);
  const caught = new Promise<Buffer>((resolve) => spy.once("message", resolve));
  a.switch.captured(memory, 0, frame.length);
  a.transmitter.flush();
  const datagram = await caught;
  for (let i = 0; i < 5; i++) await new Promise((resolve) => spy.send(datagram, b.port, "127.0.0.1", resolve));
  await sleep(20);
  b.pump();
  assert.ok(b.taken().equals(Buffer.from(frame)));
  assert.equal(b.tally.drops.replayed, 4);
  spy.close();
});

test("frames shorter than an Ethernet header, with false offsets, or from a multicast source are counted and dropped", async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const memory = new Memory(70_000);
  for (let length = 0; length < 24; length++) a.switch.captured(memory, 0, length);
  assert.equal(a.tally.drops["frame-malformed"], 24);
  for (let run = 0; run < 2_000; run++) {
    const frame = randomFrame(random, 1, 14 + random.below(2_000));
    // A virtio header that claims segmentation, with offsets from nowhere.
    frame.set([1, 1 + random.below(5), ...random.bytes(8)], 0);
    memory.u8.set(frame);
    a.switch.captured(memory, 0, frame.length);
  }
  a.transmitter.flush();
  b.pump();
  memory.u8.set(randomFrame(random, 1, 100));
  memory.u8[16] = 3;
  const before = a.tally.drops["frame-malformed"];
  a.switch.captured(memory, 0, 110);
  assert.equal(a.tally.drops["frame-malformed"], before + 1);
});
