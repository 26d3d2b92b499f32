/**
 * Two ends of the frame path in one process, over loopback, with files in the place of TAP devices: what goes in on one
 * side must come out on the other, and what an attacker sends must come out nowhere, nor hurt.
 *
 * `FUZZ_RUNS=1000000 node --test dist/test/fuzz/datapath.test.js` for more.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type DatapathEvent, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receive.js";
import { DATAGRAM_TYPE } from "#router/datapath/record.js";
import { Session } from "#router/datapath/session.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmit.js";
import { Memory } from "#src/host/native/memory.js";
import { endpoint, openUdp, UdpSocket } from "#src/host/native/udp.js";
import type { Random } from "#src/random.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const RUNS = Number(process.env.FUZZ_RUNS ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const folder = mkdtempSync(join(tmpdir(), "weave-fuzz-"));
after(() => rmSync(folder, { recursive: true, force: true }));

class End {
  readonly port: number;
  readonly switch: Switch;
  readonly transmitter: Transmitter;
  readonly receiver: Receiver;
  readonly tally = new Tally();
  readonly events: DatapathEvent[] = [];
  readonly file: string;
  readonly fd: number;

  constructor(self: number, port: number) {
    this.port = port;
    const udp = new UdpSocket(openUdp("127.0.0.1", port));
    this.file = join(folder, `tap-${port}`);
    this.fd = openSync(this.file, "a");
    this.transmitter = new Transmitter(udp, this.tally, () => {});
    this.switch = new Switch(
      self,
      { fd: this.fd, name: "file", close: () => {} },
      this.transmitter,
      this.tally,
      (event) => this.events.push(event),
    );
    this.receiver = new Receiver(udp, this.switch, this.tally, (event) => this.events.push(event));
  }

  join(other: End, self: number, peer: number, datagramBytes: number): void {
    const session = new Session(self, peer, true);
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
    this.switch.settle();
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

async function pair(datagramBytes: number): Promise<[End, End]> {
  const [a, b] = [new End(1, await free()), new End(2, await free())];
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

test("frames of every size come out as they went in, in order, for small and large datagrams", async () => {
  for (const datagramBytes of [548, 1_472, 8_972]) {
    const random = seededRandom(SEED);
    const [a, b] = await pair(datagramBytes);
    const memory = new Memory(70_000);
    for (let round = 0; round < 60; round++) {
      const frames = Array.from({ length: 1 + random.below(40) }, () =>
        randomFrame(random, 1, random.below(10) === 0 ? 14 + random.below(65_000) : 14 + random.below(1_400)),
      );
      for (const frame of frames.slice(0, 20)) {
        memory.u8.set(frame);
        a.switch.captured(memory, 0, frame.length);
      }
      a.transmitter.flush();
      b.pump();
      assert.ok(
        b.taken().equals(Buffer.concat(frames.slice(0, 20))),
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

test(`${RUNS} hostile datagrams – random, cut, changed, repeated, mixed – deliver nothing and break nothing`, {
  timeout: 600_000,
}, async () => {
  const random = seededRandom(SEED);
  const [a, b] = await pair(1_472);
  const spy = createSocket("udp4");
  const captured: Buffer[] = [];
  await new Promise<void>((resolve) => spy.bind(0, "127.0.0.1", resolve));
  spy.on("message", (message) => captured.push(message));
  // Real datagrams to start from: what A would send, caught on the way.
  a.switch.sessions.get(1)!.address = endpoint("127.0.0.1", spy.address().port);
  const memory = new Memory(70_000);
  for (let i = 0; i < 60; i++) {
    const frame = randomFrame(random, 1, 14 + random.below(12_000));
    memory.u8.set(frame);
    a.switch.captured(memory, 0, frame.length);
    a.transmitter.flush();
  }
  for (let i = 0; i < 50 && captured.length < 100; i++) await sleep(10);
  assert.ok(captured.length >= 60, `only ${captured.length} datagrams were caught`);
  const send = (bytes: Uint8Array) => new Promise((resolve) => spy.send(bytes, b.port, "127.0.0.1", resolve));
  // The real ones are delivered first: a copy that happens to be unchanged is then a replay.
  for (const datagram of captured) await send(datagram);
  b.pump();
  assert.ok(b.taken().length > 0);
  // They came from another port, and an authentic datagram moves the peer.
  assert.deepEqual(
    b.events.splice(0).map(({ event }) => event),
    ["address-changed"],
  );
  for (let run = 0; run < RUNS; run++) {
    let bytes: Uint8Array = Uint8Array.from(captured[random.below(captured.length)]);
    switch (random.below(6)) {
      case 0:
        bytes = random.bytes(random.below(200));
        break;
      case 1:
        bytes = bytes.subarray(0, random.below(bytes.length));
        break;
      case 2:
        // The headers: index, count, epoch, session, counter.
        bytes[1 + random.below(11)] = random.below(256);
        break;
      case 3:
        bytes = Uint8Array.from([
          DATAGRAM_TYPE,
          random.below(4),
          random.below(4),
          0,
          2,
          0,
          0,
          0,
          ...random.bytes(4 + random.below(1_400)),
        ]);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes, ...random.bytes(1 + random.below(20))]);
        break;
      default:
        bytes[12 + random.below(Math.max(1, bytes.length - 12))] ^= 1 + random.below(255);
    }
    await send(bytes);
    if (run % 16 === 15) b.pump();
  }
  b.pump();
  assert.equal(b.taken().length, 0, "something forged was delivered");
  assert.deepEqual(
    b.events.filter(({ event }) => event !== "control"),
    [],
  );
  const refused = Object.values(b.tally.drops).reduce((sum, count) => sum + count, 0);
  assert.ok(refused > RUNS / 4, `only ${refused} drops were counted`);
  // The way is still open for what is real.
  a.switch.sessions.get(1)!.address = endpoint("127.0.0.1", b.port);
  const frame = randomFrame(random, 1, 500);
  memory.u8.set(frame);
  a.switch.captured(memory, 0, frame.length);
  a.transmitter.flush();
  b.pump();
  assert.ok(b.taken().equals(Buffer.from(frame)));
  spy.close();
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
