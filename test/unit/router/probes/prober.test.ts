import assert from "node:assert/strict";
import { test } from "node:test";
import type { BridgeFrameEvents } from "#router/probes/bridge-frames.js";
import { decodeProbe, encodeProbe, PROBE_TOKEN_BYTES } from "#router/probes/probe-frame.js";
import { Prober } from "#router/probes/prober.js";
import { Emitter } from "#src/emitter.js";
import { macFromNumber } from "#src/mac.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const [SELF, PEER, OTHER] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"];

/** A prober on a wire that this test is the other end of. */
function onWire() {
  const clock = new VirtualClock();
  const sent: Uint8Array[] = [];
  const events = new Emitter<BridgeFrameEvents>();
  const wire = { arpUsers: 0, onSend: (_frame: Uint8Array) => {} };
  const frames = {
    events,
    refresh() {},
    send(frame: Uint8Array) {
      sent.push(frame);
      wire.onSend(frame);
      return true;
    },
    useArp() {
      wire.arpUsers++;
      return () => void wire.arpUsers--;
    },
  };
  return { clock, sent, events, wire, prober: new Prober({ self: SELF, frames, clock, random: seededRandom(1) }) };
}

const request = (from: string) =>
  encodeProbe({ type: "request", from, to: SELF, token: new Uint8Array(PROBE_TOKEN_BYTES), bytes: 100 });

test("round trips are measured, and a probe that is not answered in time is lost", async () => {
  const { clock, events, wire, prober } = onWire();
  let count = 0;
  wire.onSend = (frame) => {
    const probe = decodeProbe(frame)!;
    count++;
    // The third answer comes too late.
    const delay = count === 3 ? 300 : 10 * count;
    clock.after(
      delay,
      () => void events.emit("probe", encodeProbe({ ...probe, type: "answer", from: PEER, to: SELF })),
    );
  };
  const done = prober.echo(PEER, { count: 4, waitMs: 200 });
  await clock.run(2_000);
  assert.deepEqual(await done, { sent: 4, times: [10, 20, 40] });
});

test("an answer counts once, from the peer that was probed, with the probe's token", async () => {
  const { clock, events, wire, prober } = onWire();
  wire.onSend = (frame) => {
    const probe = decodeProbe(frame)!;
    const answer = { ...probe, type: "answer", to: SELF } as const;
    clock.after(1, () => void events.emit("probe", encodeProbe({ ...answer, from: OTHER })));
    clock.after(2, () => void events.emit("probe", encodeProbe({ ...answer, from: PEER, token: new Uint8Array(8) })));
    for (const at of [5, 6, 7])
      clock.after(at, () => void events.emit("probe", encodeProbe({ ...answer, from: PEER })));
  };
  const done = prober.echo(PEER, { count: 2, waitMs: 100 });
  await clock.run(1_000);
  assert.deepEqual(await done, { sent: 2, times: [5, 5] });
});

test("probes of others are answered with their size, and a flood of them at a limited rate", () => {
  const { sent, events } = onWire();
  events.emit("probe", request(PEER));
  assert.deepEqual(decodeProbe(sent[0]), {
    type: "answer",
    from: SELF,
    to: PEER,
    token: new Uint8Array(PROBE_TOKEN_BYTES),
    bytes: 100,
  });
  for (let i = 0; i < 1_000; i++) events.emit("probe", request(OTHER));
  assert.equal(sent.length, 81, "a burst of 80 from one source");
  for (let i = 0; i < 10_000; i++) events.emit("probe", request(macFromNumber(0x02_00_00_01_00_00 + i)));
  assert.ok(sent.length <= 400, `${sent.length} answers to made-up sources`);
  events.emit("probe", request(SELF));
  assert.ok(sent.length <= 400);
});

test("ARP: the MACs that answer are known, and replies for other addresses do not count", async () => {
  const { clock, events, wire, prober } = onWire();
  const reply = (address: string, mac: string) => {
    const frame = Buffer.alloc(42);
    frame.writeUInt16BE(0x0806, 12);
    frame.set([0, 1, 8, 0, 6, 4, 0, 2], 14);
    frame.set(Buffer.from(mac.replaceAll(":", ""), "hex"), 22);
    frame.set(address.split(".").map(Number), 28);
    return frame;
  };
  wire.onSend = () => {
    clock.after(1, () => void events.emit("arp", reply("10.32.0.8", PEER)));
    clock.after(3, () => void events.emit("arp", reply("10.32.0.9", PEER)));
    clock.after(4, () => void events.emit("arp", reply("10.32.0.9", OTHER)));
  };
  const done = prober.arp("10.32.0.9", undefined, { count: 2, waitMs: 100 });
  await clock.run(1_000);
  const { sent, times, macs } = await done;
  assert.deepEqual([sent, times.length, macs, wire.arpUsers], [2, 2, [PEER, OTHER], 0]);
  // Of a certain MAC: the reply of another one is no answer.
  const one = prober.arp("10.32.0.9", "02:00:00:00:00:77", { count: 1, waitMs: 100 });
  await clock.run(1_000);
  assert.deepEqual((await one).times, []);
});
