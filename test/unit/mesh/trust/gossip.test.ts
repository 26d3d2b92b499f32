import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as z from "zod/mini";
import type { PeerIdentity } from "#mesh/peer.js";
import { makeSigner } from "#mesh/signing.js";
import { TrustGossip } from "#mesh/trust/gossip.js";
import { retire } from "#mesh/trust/retirement.js";
import { memoryTrust } from "#mesh/trust/trust.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const signer = (i: number) => makeSigner(new Uint8Array(32).fill(i + 1));
const peer = (i: number, by = i): PeerIdentity => ({
  name: `02:00:00:00:00:0${i}`,
  nickname: `h${i}`,
  identity: signer(by).identity,
  key: "0".repeat(64),
  uid: "0".repeat(16),
  incarnation: 1,
});

/** Peer `i`, which knows the peers 0 to 4. */
function open(i: number, clock = new VirtualClock()) {
  const trust = memoryTrust({ self: peer(i), clock });
  const sent: Uint8Array[] = [];
  const gossip = new TrustGossip({
    ...{ self: peer(i).name, signer: signer(i), trust, clock },
    time: () => clock.wall(),
    gossip: (payload) => void sent.push(payload),
  });
  for (let other = 0; other < 5; other++) if (other !== i) trust.pin(peer(other), true);
  const receive = (payload: Uint8Array, from = peer(1).name) => gossip.onGossip(from, payload, from);
  return { trust, gossip, sent, clock, receive };
}

type Raw = { retirements: Record<string, unknown>[]; conflicts: Record<string, unknown>[] };
const raw = (payload: Uint8Array) => decode(z.any(), payload, "a test") as Raw;
const changed = (payload: Uint8Array, change: Record<string, unknown>) => {
  const { retirements, conflicts } = raw(payload);
  return encode({ retirements, conflicts: conflicts.map((each) => ({ ...each, ...change })) });
};

test("a report counts only with the signature of its reporter, once, and near the present time", () => {
  const one = open(1);
  one.trust.refused(peer(2, 9));
  const [report] = one.sent;
  const three = open(3);
  for (const change of [
    { reporter: peer(4).name },
    { reporter: peer(7).name },
    { name: peer(4).name },
    { refused: signer(8).identity },
    { refusedNickname: "other" },
    { at: 1 },
    { at: 2 ** 48 },
    { signature: new Uint8Array(64) },
  ])
    assert.equal(three.receive(changed(report, change)), undefined, JSON.stringify(change));
  assert.deepEqual(three.trust.conflicts.list(), []);
  assert.deepEqual(raw(three.receive(report)!), raw(report), "it is passed on as it was signed");
  assert.equal(three.receive(report), undefined);
  assert.deepEqual(
    three.trust.conflicts.list().map(({ name, reporter }) => [name, reporter]),
    [[peer(2).name, peer(1).name]],
  );
  assert.deepEqual(three.sent, [], "what another peer has reported is not reported again");
});

test("a report that an excluded peer signs does not count, also when another one passes it on", () => {
  const [one, three] = [open(1), open(3)];
  one.trust.refused(peer(2, 9));
  three.trust.exclude(peer(1).identity);
  assert.equal(three.receive(one.sent[0], peer(4).name), undefined);
  assert.deepEqual(three.trust.conflicts.list(), []);
  three.trust.include(peer(1).identity);
  assert.ok(three.receive(one.sent[0], peer(4).name) !== undefined);
});

test("reports of one peer fill neither the list, nor the time of the others", async () => {
  const three = open(3);
  const clock = new VirtualClock();
  for (let i = 0; i < 2_000; i++) {
    const one = open(1, clock);
    one.trust.pin({ ...peer(1), name: `02:00:00:01:0${(i >> 8) & 7}:${(i & 255).toString(16).padStart(2, "0")}` });
    const name = `02:00:00:02:0${(i >> 8) & 7}:${(i & 255).toString(16).padStart(2, "0")}`;
    one.trust.pin({ ...peer(5), name });
    one.trust.refused({ ...peer(6), name });
    three.receive(one.sent[0]);
  }
  assert.equal(three.trust.conflicts.list().length, 16);
  const two = open(2, clock);
  two.trust.refused(peer(4, 9));
  assert.ok(three.receive(two.sent[0], peer(2).name) !== undefined, "another neighbour has a limit of its own");
});

test("a peer that makes this one refuse invented identities does not make it flood the network", async () => {
  const one = open(1);
  for (let second = 0; second < 600; second++) {
    for (let i = 2; i < 5; i++)
      one.trust.refused({ ...peer(i), identity: (second * 10 + i + 1_000).toString(16).padStart(64, "0") });
    await one.clock.run(1_000);
  }
  assert.ok(one.sent.length <= 3 * 11, `${one.sent.length} reports in ten minutes`);
  assert.ok(raw(one.gossip.state()!).conflicts.length <= 3);
});

test("a retirement reaches peers through others that know it not, is passed on once in a while, and forged ones not at all", async () => {
  const [one, stranger] = [open(1), open(2)];
  const payload = encode({ retirements: [retire(peer(7), signer(7), 5)], conflicts: [] });
  assert.deepEqual(raw(stranger.receive(payload)!), raw(payload));
  for (let i = 0; i < 10; i++) assert.equal(stranger.receive(payload), undefined);
  await stranger.clock.run(6_000);
  assert.ok(stranger.receive(payload) !== undefined);
  const { retirements } = raw(payload);
  const forged = encode({ retirements: [{ ...retirements[0], identity: peer(8).identity }], conflicts: [] });
  assert.equal(stranger.receive(forged), undefined);
  assert.equal(stranger.trust.judge(peer(7)), "new", "it is not kept");

  one.trust.pin(peer(7), true);
  assert.equal(one.receive(payload), undefined);
  assert.equal(one.sent.length, 1, "its event passes it on");
  assert.equal(one.trust.judge(peer(7)), "retired");
});

test("the peer that lacks a retirement reports the successor, and receives the retirement", async () => {
  const [one, two] = [open(1), open(2)];
  const payload = encode({ retirements: [retire(peer(4), signer(4), 5)], conflicts: [] });
  two.receive(payload);
  await two.clock.run(20_000);
  two.sent.length = 0;
  one.trust.refused(peer(4, 9));
  two.receive(one.sent[0]);
  assert.deepEqual(two.trust.conflicts.list(), []);
  assert.equal(two.sent.length, 1);
  one.receive(two.sent[0], peer(2).name);
  assert.equal(one.trust.judge(peer(4, 9)), "new");
  assert.deepEqual(one.trust.conflicts.list(), []);
});

test("any bytes are malformed or ignored, and change no pin", () => {
  const one = open(1);
  one.trust.refused(peer(2, 9));
  const valid = one.sent[0];
  const { trust, receive } = open(3);
  const pins = JSON.stringify(trust.list().map(({ name, identity }) => [name, identity]));
  const flipped = fc
    .tuple(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 }))
    .map(([at, bits]) => Uint8Array.from(valid, (byte, i) => (i === at ? byte ^ bits : byte)));
  const anything = fc.record({ retirements: fc.array(fc.anything()), conflicts: fc.array(fc.anything()) });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), flipped, anything.map(encodable)), (payload) => {
      try {
        receive(payload);
      } catch (error) {
        assert.ok(error instanceof WeaveError && error.code === "WEAVE_MESSAGE_MALFORMED", String(error));
      }
    }),
    { numRuns: 2_000 },
  );
  assert.equal(JSON.stringify(trust.list().map(({ name, identity }) => [name, identity])), pins);
});

function encodable(value: unknown): Uint8Array {
  try {
    return encode(value);
  } catch {
    return Uint8Array.of(0xc1);
  }
}
