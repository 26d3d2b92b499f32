import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_MESSAGE_BYTES } from "#mesh/channel.js";
import { MAX_AHEAD_MS, MAX_COUNT, meshTime, successor } from "#mesh/counter.js";
import { FairSlots } from "#mesh/fair-slots.js";
import { decodeMessage, encodeMessage, topologyMessages } from "#mesh/messages.js";
import { keyStart, MAX_PEERS, type PeerRecord } from "#mesh/peer.js";
import { Refusal, Refusals } from "#mesh/refusals.js";
import { Topology } from "#mesh/topology.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const name = (i: number) =>
  `02:00:00:${[i >> 16, (i >> 8) & 255, i & 255].map((octet) => octet.toString(16).padStart(2, "0")).join(":")}`;
const KEY = "a".repeat(64);
const record = (i: number, links: number): PeerRecord => ({
  name: name(i),
  nickname: "n".repeat(63),
  identity: KEY,
  key: KEY,
  uid: "b".repeat(16),
  incarnation: 1_700_000_000_000,
  version: 1,
  links: Array.from({ length: links }, (_, j) => ({
    to: name(j),
    key: keyStart(KEY),
    address: "255.255.255.255:65535",
    outbound: true,
    established: true,
  })),
});

test("successors stay within the range that the shapes accept", () => {
  assert.equal(successor(1), 2);
  assert.equal(successor(MAX_COUNT), MAX_COUNT);
  assert.equal(successor(Number.MAX_SAFE_INTEGER), MAX_COUNT);
});

test("the network's time is ours, or the neighbours' where ours is behind; fewer than half of them cannot advance it", () => {
  assert.equal(meshTime(100, []), 100);
  assert.equal(meshTime(100, [50]), 100);
  assert.equal(meshTime(100, [500]), 500);
  assert.equal(meshTime(100, [200, 9e9]), 200);
  assert.equal(meshTime(100, [9e9, 200, 210, 9e9, 220]), 220);
});

test("the topology of a thousand peers with two hundred links each is sent whole, in messages far below the limit", () => {
  const records = Array.from({ length: 1_000 }, (_, i) => record(i, 200));
  assert.ok(
    encodeMessage({ kind: "topology", records, deltas: [] }).length > MAX_MESSAGE_BYTES,
    "this is no large topology",
  );
  const received: PeerRecord[] = [];
  for (const message of topologyMessages(records, [])) {
    const bytes = encodeMessage(message);
    assert.ok(bytes.length < MAX_MESSAGE_BYTES / 5, `a message of ${bytes.length} bytes`);
    const decoded = decodeMessage(bytes);
    if (decoded.kind === "topology") received.push(...decoded.records);
  }
  assert.deepEqual(received, records);
});

test("the largest record that the shapes accept fits one message, and so does its result after deltas", () => {
  const largest = record(1, MAX_PEERS);
  const [message, ...more] = topologyMessages([largest], []);
  assert.equal(more.length, 0);
  assert.ok(encodeMessage(message).length < MAX_MESSAGE_BYTES);
  const topology = new Topology({ ...record(9, 0), name: "02:00:00:ff:ff:ff" });
  topology.merge([largest]);
  const set = [{ ...largest.links[0], to: "02:00:00:ee:ee:ee" }];
  topology.merge([{ name: largest.name, incarnation: largest.incarnation, from: 1, to: 2, set, drop: [] }]);
  const kept = topology.get(largest.name)!;
  decodeMessage(encodeMessage({ kind: "topology", records: [kept], deltas: [] }));
});

test("summaries and requests have an acceptable shape for any number of invented peers", () => {
  const self = { ...record(0xfff000, 0) };
  const topology = new Topology(self);
  const made = Array.from({ length: 3 * MAX_PEERS }, (_, i) => record(i + 1, 0));
  const hub = {
    ...record(0, 0),
    links: made.slice(0, MAX_PEERS - 1).map(({ name: to }) => ({ ...record(0, 1).links[0], to })),
  };
  topology.setLinks([{ ...record(0, 1).links[0], to: hub.name }]);
  topology.merge([hub, ...made]);
  topology.updateReachability(0);
  const entries = topology.summary();
  assert.equal(entries.length, MAX_PEERS);
  decodeMessage(encodeMessage({ kind: "summary", entries }));
  // A peer that is there is not kept out by those that are not.
  topology.setLinks([]);
  topology.updateReachability(1);
  assert.equal(topology.merge([record(0xabcdef, 0)]).news.length, 1);
});

test("an impossible incarnation is counted and changes nothing; one that was accepted before is replaced", () => {
  let latest = 10 * MAX_AHEAD_MS;
  const topology = new Topology({ ...record(1, 0), incarnation: 5 }, () => latest);
  topology.setLinks([{ ...record(0, 1).links[0], to: name(2) }]);
  const lie = { ...record(2, 0), incarnation: latest + 1 };
  const merged = topology.merge([
    lie,
    { ...record(1, 0), incarnation: latest + 1 },
    { name: name(2), incarnation: latest + 1, from: 1, to: 2, set: [], drop: [] },
  ]);
  assert.deepEqual(merged, { news: [], wanted: [], rejected: 3 });
  assert.equal(topology.self.incarnation, 5);
  latest += 2;
  assert.equal(topology.merge([lie]).news.length, 1);
  topology.updateReachability(0);
  latest -= 2;
  assert.ok(!topology.summary().some(([peer]) => peer === name(2)), "other peers are sent an impossible incarnation");
  const truth = { ...record(2, 0), incarnation: 7 };
  assert.deepEqual(topology.compare([[name(2), 7, 1, "0"]]).wanted, [name(2)]);
  assert.equal(topology.merge([truth]).news.length, 1);
});

test("slots: a source that floods displaces itself; of many sources one is displaced at random", () => {
  const random = seededRandom(3);
  const slots = new FairSlots<string>(random, { total: 20, each: 8 });
  slots.add("honest", "h");
  let displaced = 0;
  for (let i = 0; i < 1_000; i++) {
    const dropped = slots.add(`10.0.0.${i % 3}`, `x${i}`);
    assert.notEqual(dropped, "h");
    if (dropped !== undefined) displaced++;
  }
  assert.equal(slots.size, 20);
  assert.equal(displaced, 1_000 - 19);
  assert.equal([...slots].filter((item) => item === "h").length, 1);
  slots.delete("honest", "h");
  slots.delete("honest", "h");
  assert.equal(slots.size, 19);
  const alone = new FairSlots<number>(random, { total: 100, each: 8 });
  for (let i = 0; i < 50; i++) alone.add("one", i);
  assert.equal(alone.size, 8);
});

test("refusals are few, counted by host and reason, and dropped after a quarter of an hour or when the peer is admitted", () => {
  const refusals = new Refusals();
  const wrong = new Refusal("password", "the passwords differ");
  for (let i = 0; i < 3; i++) refusals.note(`10.0.0.1:${i + 1}`, wrong, i);
  assert.deepEqual(refusals.list(10), [
    { address: "10.0.0.1:3", reason: "password", text: "the passwords differ", count: 3, at: 2 },
  ]);
  refusals.clear("10.0.0.1");
  assert.deepEqual(refusals.list(10), []);
  for (let i = 0; i < 1_000; i++) refusals.note(`10.0.${i >> 8}.${i & 255}:1`, wrong, i);
  assert.equal(refusals.list(1_000).length, 32);
  assert.equal(refusals.counts.password, 1_003);
  assert.deepEqual(refusals.list(1_000_000 + 15 * 60_000), []);
});
