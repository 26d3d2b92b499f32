/** What goes in on one side comes out on the other, whatever happens on the way. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { closeSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { SMALL_PING } from "#router/carriers/sleeve/path.js";
import { decodePathMessage, encodePathMessage } from "#router/datapath/path-message.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { endpoint } from "#src/net/endpoint.js";
import { End, frameBytes, free, pair, randomFrame, SEED, sender } from "#test/fuzz/ends.js";
import { seededRandom } from "#test/sim/virtual-time.js";

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
    const controls = (end: End) =>
      end.events
        .filter((event) => event.event === "control")
        .map(({ message, answered }) => ({ ...decodePathMessage(message), answered }));
    assert.deepEqual(controls(b), [{ type: "ping", id: 7, datagramBytes, before: "unanswered", answered: true }]);
    assert.deepEqual(controls(a), [{ type: "pong", id: 7, datagramBytes, before: undefined, answered: false }]);
  }
  // A ping for a session whose remote number is unknown yet is left to the event loop.
  b.switch.sessions.get(2)!.keys.remote = 0;
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

test("frames in use are reported once a second, and the first large one immediately", async () => {
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
      if (i === 10) opening.keys.setKey("open", epoch, key(epoch), new Uint8Array(4), 0);
      if (i === 20) sealing.keys.setKey("seal", epoch, key(epoch), new Uint8Array(4), 0);
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

test("a datagram of no bytes is counted, and a full queue is distinguished from a lossy path", async () => {
  const [a, b] = await pair(1_472);
  const spy = createSocket("udp4");
  await new Promise((resolve) => spy.send(new Uint8Array(0), b.port, "127.0.0.1", resolve));
  b.pump();
  assert.equal(b.tally.drops["datagram-malformed"], 1);
  spy.close();
  assert.equal(b.udp.dropped(), 0);
  const memory = new Memory(70_000);
  memory.u8.set(randomFrame(seededRandom(SEED), 1, 60_000));
  // Nothing is read: the kernel's queue of 16 MB (twice the requested size) fills.
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
