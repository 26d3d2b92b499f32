import assert from "node:assert/strict";
import { test } from "node:test";
import { NAME_FORMAT } from "#dns/name-record.js";
import { Nameserver } from "#dns/nameserver.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { PeerName } from "#mesh/peer.js";
import { MAX_SET_MESSAGE_BYTES } from "#mesh/replica/replica-message.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { newsOf } from "#test/sim/gossip-network.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";
import { nameOf as name, signerOf, stateOf, statesPayload } from "../mesh/replica/words.js";

/** Name servers whose messages arrive immediately, and go to all others. */
class Peers {
  readonly clock = new VirtualClock();
  readonly servers = new Map<PeerName, Nameserver>();
  readonly replicas = new Map<PeerName, Replicas>();
  /** Peers that exist without a name server. */
  readonly others = new Set<number>();
  readonly sizes: number[] = [];

  start(index: number, incarnation = this.clock.wall(), time?: () => number): Nameserver {
    const self = name(index);
    const replicas = new Replicas(signerOf(index));
    this.others.add(index);
    const identity = (peer: PeerName) =>
      [...this.others].map((each) => (name(each) === peer ? signerOf(each).identity : "")).find(Boolean);
    const server = new Nameserver({
      self,
      incarnation,
      domain: "weave.local.",
      clock: this.clock,
      random: seededRandom(index),
      log: silentLog,
      store: memoryStore(),
      prefix: "names/",
      peers: {
        reachable: () => new Set([...this.others].map(name)),
        nickname: () => undefined,
        identity,
        pinnedIdentity: identity,
      },
      replicas,
      ...(time ? { time } : {}),
    });
    this.servers.set(self, server);
    this.replicas.set(self, replicas);
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
      for (const news of newsOf(server.gossiper.onGossip(from, payload, from))) this.spread(to, news);
    }
  }

  /** Each compares with each, as repair does after a while. */
  async repair(): Promise<void> {
    await this.clock.run(2_500);
    for (const [from, server] of this.servers)
      for (const [to, other] of this.servers)
        if (to !== from) other.gossiper.onGossip(from, server.gossiper.state()!, from);
    await this.clock.run(2_500);
  }
}

const EVIL = { hostname: "db.weave.local.", address: "6.6.6.6", ident: "x" };

for (const [what, incarnation] of [
  ["the latest plausible incarnation", (now: number) => now + MAX_AHEAD_MS],
  ["the owner's own incarnation", (now: number) => now],
] as const) {
  for (const byOwner of [false, true]) {
    test(`other names under ${what}, signed by ${byOwner ? "the owner's key" : "another peer"}, do not stay`, async () => {
      const peers = new Peers();
      const now = peers.clock.wall();
      const [owner, other] = [peers.start(1, now), peers.start(2)];
      peers.others.add(9);
      owner.add("c1", "10.32.0.1", "db.weave.local");
      await peers.clock.run(50);
      const state = stateOf(NAME_FORMAT, 1, {
        incarnation: incarnation(now),
        version: 1_000_000_000,
        fields: [EVIL],
        signer: signerOf(byOwner ? 1 : 9),
      });
      other.gossiper.onGossip(name(9), statesPayload(state), name(9));
      assert.deepEqual(other.lookup("db.weave.local."), [byOwner ? "6.6.6.6" : "10.32.0.1"]);
      await peers.repair();
      for (const server of [owner, other]) assert.deepEqual(server.lookup("db.weave.local."), ["10.32.0.1"]);
      assert.equal(owner.digest, other.digest);
      // The owner can change them afterwards.
      owner.remove({ ident: "c1" });
      owner.add("c2", "10.32.0.2", "db.weave.local");
      await peers.clock.run(50);
      for (const server of [owner, other]) assert.deepEqual(server.lookup("db.weave.local."), ["10.32.0.2"]);
    });
  }
}

test("an owner with a new disk and a clock a week behind replaces its old names", async () => {
  const peers = new Peers();
  const now = peers.clock.wall();
  const old = peers.start(1, now);
  const other = peers.start(2);
  await peers.repair();
  old.add("c1", "10.32.0.1", "old.weave.local");
  await peers.clock.run(50);
  assert.deepEqual(other.lookup("old.weave.local."), ["10.32.0.1"]);
  old.stop();
  peers.servers.delete(name(1));
  const back = peers.start(1, now - 7 * 24 * 3_600_000, () => now);
  back.add("c2", "10.32.0.2", "new.weave.local");
  await peers.repair();
  assert.deepEqual(other.lookup("new.weave.local."), ["10.32.0.2"]);
  assert.equal(other.lookup("old.weave.local."), undefined);
});

test("names of unknown origins are not kept, and are counted", async () => {
  const peers = new Peers();
  const [a, b] = [peers.start(1), peers.start(2)];
  for (let i = 0; i < 300; i++) {
    const state = stateOf(NAME_FORMAT, 0x1000 + i, { incarnation: 1, fields: [EVIL] });
    for (const server of [a, b]) server.gossiper.onGossip(name(9), statesPayload(state), name(9));
  }
  assert.equal(a.size, 0);
  assert.equal(peers.replicas.get(name(1))!.rejections.byNeighbour.get(name(9))?.["unknown-origin"], 300);
  a.add("c", "10.32.0.1", "c.weave.local");
  await peers.repair();
  assert.deepEqual([a.digest, b.size], [b.digest, 1]);
});

test("very many long names are sent in messages below the limit; more are rejected", async () => {
  const peers = new Peers();
  const label = "x".repeat(60);
  const ident = "c".repeat(64);
  const giver = peers.start(1);
  let count = 0;
  const add = () => {
    for (; count <= 65_536; count++)
      giver.add(
        ident,
        `10.${32 + (count >> 16)}.${(count >> 8) & 255}.${count & 255}`,
        `${label}.${label}.weave.local`,
      );
  };
  assert.throws(add, { code: "WEAVE_DNS_NAME" });
  // More than containers on a host.
  assert.ok(count > 1_500, `only ${count} names`);
  const newcomer = peers.start(9);
  await peers.repair();
  assert.equal(newcomer.size, count);
  assert.ok(Math.max(...peers.sizes) <= MAX_SET_MESSAGE_BYTES);
});

test("thousands of addresses of one name, or names of one address, are those of a peer: others still have theirs", async () => {
  const peers = new Peers();
  const [own, other] = [peers.start(1), peers.start(2)];
  await peers.repair();
  let version = 0;
  for (const index of [3, 4, 5, 6, 7]) {
    peers.others.add(index);
    const hostile = peers.start(index);
    for (let n = 0; n < 1_100; n++) {
      hostile.add("x", `10.${index}.${n >> 8}.${n & 255}`, "db.weave.local");
      if (index === 3) hostile.add("x", "10.32.0.1", `n${n}.weave.local`);
      version++;
    }
  }
  other.add("c", "10.32.0.1", "db.weave.local");
  await peers.repair();
  assert.equal(own.size, version + 1_100 + 1);
  const found = own.lookup("db.weave.local.")!;
  assert.ok(found.includes("10.32.0.1"));
  assert.ok(found.length <= 5 * 1_024 + 1);
  assert.equal(own.reverse("10.32.0.1"), "db.weave.local.");
});
