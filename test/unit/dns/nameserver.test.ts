import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT, type NameFields } from "#dns/name-record.js";
import { Nameserver } from "#dns/nameserver.js";
import { MAX_MESSAGE_BYTES } from "#mesh/channel.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import { MAX_RECORDS, type OriginState } from "#mesh/replica/record-format.js";
import { ReplicaCodec } from "#mesh/replica/replica-message.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const codec = new ReplicaCodec(NAME_FORMAT);
const name = (index: number): PeerName =>
  `02:00:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;

/** Name servers whose messages arrive immediately, and go to all others. */
class Peers {
  readonly clock = new VirtualClock();
  readonly servers = new Map<PeerName, Nameserver>();
  readonly sizes: number[] = [];

  start(index: number, incarnation = this.clock.wall(), time?: () => number): Nameserver {
    const self = name(index);
    const server = new Nameserver({
      self,
      incarnation,
      domain: "weave.local.",
      clock: this.clock,
      random: seededRandom(index),
      log: silentLog,
      store: memoryStore(),
      prefix: "names/",
      peers: { reachable: () => new Set(this.servers.keys()), nickname: () => undefined, identity: () => undefined },
      ...(time ? { time } : {}),
    });
    this.servers.set(self, server);
    server.open({
      unicast: (to, payload) => {
        this.sizes.push(payload.length);
        this.servers.get(to)?.gossiper.onUnicast(self, payload, self);
        return true;
      },
      broadcast() {},
      gossip: (payload) => this.spread(self, payload),
    });
    return server;
  }

  /** As gossip does: a server passes on the part that is new to it. */
  spread(from: PeerName, payload: Uint8Array): void {
    for (const [to, server] of this.servers) {
      if (to === from) continue;
      const news = server.gossiper.onGossip(from, payload, from);
      if (news instanceof Uint8Array) this.spread(to, news);
      else for (const each of news ?? []) this.spread(to, each.payload);
    }
  }

  /** Each compares with each, as repair does after a while. */
  repair(): void {
    for (const [from, server] of this.servers)
      for (const [to, other] of this.servers)
        if (to !== from) other.gossiper.onGossip(from, server.gossiper.state()!, from);
  }
}

const forged = (
  origin: PeerName,
  incarnation: number,
  change: Partial<OriginState<NameFields>> = {},
): OriginState<NameFields> => ({
  origin,
  incarnation,
  horizon: 0,
  records: [{ hostname: "db.weave.local.", address: "6.6.6.6", ident: "x", origin, version: 1e9, tombstone: 0 }],
  ...change,
});

for (const [what, attack] of [
  ["the largest incarnation", () => forged(name(1), 2 ** 48)],
  ["the latest plausible incarnation", (_: number, now: number) => forged(name(1), now + MAX_AHEAD_MS)],
  ["a record in the owner's own incarnation", (own: number) => forged(name(1), own)],
  ["a horizon above all names", (own: number) => forged(name(1), own, { horizon: 2 ** 48, records: [] })],
] as const) {
  for (const hidden of [false, true]) {
    test(`forged names (${what}${hidden ? ", not sent to the owner" : ""}) are replaced by the owner's`, async () => {
      const peers = new Peers();
      const incarnation = peers.clock.wall();
      const [owner, other] = [peers.start(1, incarnation), peers.start(2)];
      owner.add("c1", "10.32.0.1", "db.weave.local");
      const state = attack(incarnation, peers.clock.wall());
      const payload = codec.encode({ kind: "states", states: [state] });
      if (hidden) other.gossiper.onGossip(name(9), payload, name(9));
      else peers.spread(name(9), payload);
      await peers.clock.run(10);
      peers.repair();
      await peers.clock.run(10);
      peers.repair();
      for (const server of [owner, other]) assert.deepEqual(server.lookup("db.weave.local."), ["10.32.0.1"]);
      assert.equal(owner.digest, other.digest);
      // The owner can change them afterwards.
      owner.remove({ ident: "c1" });
      owner.add("c2", "10.32.0.2", "db.weave.local");
      for (const server of [owner, other]) assert.deepEqual(server.lookup("db.weave.local."), ["10.32.0.2"]);
    });
  }
}

test("a counter of more than 48 bits is malformed", () => {
  assert.throws(() => codec.decode(codec.encode({ kind: "states", states: [forged(name(1), 2 ** 48 + 1)] })), {
    code: "WEAVE_MESSAGE_MALFORMED",
  });
});

test("an owner with a new disk and a clock a week behind replaces its old names", () => {
  const peers = new Peers();
  const now = peers.clock.wall();
  const old = peers.start(1, now);
  const other = peers.start(2);
  old.add("c1", "10.32.0.1", "old.weave.local");
  assert.deepEqual(other.lookup("old.weave.local."), ["10.32.0.1"]);
  old.stop();
  peers.servers.delete(name(1));
  const back = peers.start(1, now - 7 * 24 * 3_600_000, () => now);
  back.add("c2", "10.32.0.2", "new.weave.local");
  peers.repair();
  assert.deepEqual(other.lookup("new.weave.local."), ["10.32.0.2"]);
  assert.equal(other.lookup("old.weave.local."), undefined);
});

test("records of unknown origins are few and expire, and summaries stay short enough", async () => {
  const peers = new Peers();
  const [a, b] = [peers.start(1), peers.start(2)];
  for (let i = 0; i < 2 * MAX_PEERS; i++) {
    const payload = codec.encode({ kind: "states", states: [forged(name(0x1000 + i), 1)] });
    for (const server of [a, b]) server.gossiper.onGossip(name(9), payload, name(9));
  }
  assert.ok(a.size <= 256, `${a.size} names of unknown peers`);
  assert.ok(a.rejected > MAX_PEERS);
  a.add("c", "10.32.0.1", "c.weave.local");
  peers.repair();
  assert.equal(a.digest, b.digest);
  await peers.clock.run(17 * 60_000);
  assert.equal(a.size, 1);
});

test("very many long names are sent in messages below the limit; more are rejected", () => {
  const peers = new Peers();
  const newcomer = peers.start(9);
  peers.servers.delete(name(9));
  const label = "x".repeat(60);
  const ident = "c".repeat(64);
  let count = 0;
  for (const giver of [peers.start(1), peers.start(2)]) {
    count = 0;
    const add = () => {
      for (; count <= MAX_RECORDS; count++)
        giver.add(
          ident,
          `10.${32 + (count >> 16)}.${(count >> 8) & 255}.${count & 255}`,
          `${label}.${label}.weave.local`,
        );
    };
    assert.throws(add, { code: "WEAVE_DNS_NAME" });
    assert.ok(count > 20_000, `only ${count} names`);
  }
  peers.servers.set(name(9), newcomer);
  peers.repair();
  assert.equal(newcomer.size, 2 * count);
  assert.ok(Math.max(...peers.sizes) < MAX_MESSAGE_BYTES);
});

test("thousands of addresses of one name, or names of one address, are those of a peer: others still have theirs", async () => {
  const peers = new Peers();
  const [own, other] = [peers.start(1), peers.start(2)];
  const states = [3, 4, 5, 6, 7].map((index) => {
    const origin = name(index);
    const record = (n: number) => ({ ident: "x", origin, version: n + 1, tombstone: 0 });
    const addresses = Array.from({ length: 3_000 }, (_, n) => ({
      ...record(n),
      hostname: "db.weave.local.",
      address: `10.${index}.${n >> 8}.${n & 255}`,
    }));
    const names = Array.from({ length: 3_000 }, (_, n) => ({
      ...record(3_000 + n),
      hostname: `n${n}.weave.local.`,
      address: "10.32.0.1",
    }));
    peers.servers.set(origin, own);
    return { origin, incarnation: peers.clock.wall(), horizon: 0, records: [...addresses, ...names] };
  });
  own.gossiper.onGossip(name(3), codec.encode({ kind: "states", states: states.slice(0, 1) }), name(3));
  other.add("c", "10.32.0.1", "db.weave.local");
  await peers.clock.run(10);
  assert.equal(own.size, 6_001);
  const found = own.lookup("db.weave.local.")!;
  assert.deepEqual([found.length, found.includes("10.32.0.1")], [1_025, true]);
  assert.equal(own.reverse("10.32.0.1"), "db.weave.local.");

  for (const state of states.slice(1))
    own.gossiper.onGossip(state.origin, codec.encode({ kind: "states", states: [state] }), state.origin);
  assert.equal(own.size, 30_001);
  assert.equal(own.lookup("db.weave.local.")!.length, 4_097);
});
