/**
 * What a peer that knows the password can send: each message of every channel with one part changed, or several; counters at their
 * limits; cut and mixed up. Nothing is thrown but what callers expect, honest data stays, and honest peers go on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Nameserver } from "#dns/nameserver.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import type { Gossiper } from "#mesh/gossip.js";
import { decodeMessage } from "#mesh/messages.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { CARRIERS } from "#router/carriers/carrier-list.js";
import { CarrierMessages } from "#router/carriers/messages.js";
import { Questions } from "#router/probes/questions.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { casesOf, SEED } from "#test/fuzz/share.js";
import { mutate, mutateBytes, type Plain, pack, pick, unpack } from "#test/hostile/mutation.js";
import { assertConnected } from "#test/sim/assertions.js";
import { GossipNetwork, SimNode } from "#test/sim/gossip-network.js";
import { HostilePeer } from "#test/sim/hostile-peer.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";
import { Network } from "#test/sim/network.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const TIMEOUT_MS = 1_800_000;
/** Most messages are rejected, and a fifth of the time would go into the stacks of these errors; three lines find a fault. */
Error.stackTraceLimit = 3;
const QUIET = { lost: 0, doubled: 0, delay: 5 };
/** A corpus keeps at most so many messages: later ones replace any. */
const CORPUS = 2_000;

/** Changes once, seldom up to four times. */
function changed(value: Plain, random: ReturnType<typeof seededRandom>): Plain {
  let result = value;
  for (let i = random.below(8) === 0 ? random.below(4) : 0; i >= 0; i--) result = mutate(result, random);
  return result;
}

/** Runs something that may reject a message, and nothing else. @returns whether it was accepted */
function accepted(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (error instanceof WeaveError) return false;
    throw error;
  }
}

const KEY = "ab".repeat(32);
const NAME = "02:00:00:00:00:01";
const LINK = { to: NAME, key: "ab".repeat(8), address: "10.0.0.1:6783", outbound: true, established: true };
const RECORD = {
  name: NAME,
  nickname: "h1",
  identity: KEY,
  key: KEY,
  uid: "ab".repeat(8),
  incarnation: 1_700_000_000_000,
  version: 3,
  links: [LINK, LINK],
};
/** One message of each kind. */
const MESH_MESSAGES: Plain[] = [
  { kind: "heartbeat" },
  { kind: "bye", code: "WEAVE_CONNECTION", text: "done" },
  { kind: "topology", records: [RECORD], deltas: [] },
  {
    kind: "topology",
    records: [],
    deltas: [{ name: NAME, incarnation: 1, from: 1, to: 2, set: [LINK], drop: [NAME] }],
  },
  { kind: "digest", digest: "ab".repeat(16) },
  { kind: "summary", entries: [[NAME, 1, 2, "ab".repeat(8)]] },
  { kind: "want", names: [NAME] },
  { kind: "unicast", channel: "x", from: NAME, to: NAME, hops: 8, payload: new Uint8Array(20) },
  { kind: "broadcast", channel: "x", from: NAME, hops: 8, payload: new Uint8Array(20) },
  { kind: "gossip", channel: "x", from: NAME, payload: new Uint8Array(20) },
  { kind: "push", channel: "x", from: NAME, payload: new Uint8Array(20) },
  { kind: "notices", channel: "x", notices: [new Uint8Array(20)] },
  { kind: "branch", channel: "x", grown: true },
  { kind: "overlay", payload: new Uint8Array(20) },
];

test(`${casesOf(262)} messages of the mesh, each changed: decoded to what the shape says, or rejected`, {
  timeout: TIMEOUT_MS,
}, () => {
  const random = seededRandom(SEED);
  let valid = 0;
  const count = casesOf(262);
  for (let i = 0; i < count; i++) {
    const bytes = pack(changed(pick(MESH_MESSAGES, random), random));
    const sent = random.below(10) === 0 ? mutateBytes(bytes, random) : bytes;
    if (accepted(() => decodeMessage(sent))) valid++;
  }
  assert.ok(valid > count / 100 && valid < count * 0.9, `${valid} of ${count} were accepted`);
});

const OVERLAY_MESSAGES: Plain[] = [
  { kind: "open", session: 7 },
  { kind: "rekey-offer", epoch: 2, key: new Uint8Array(32) },
  { kind: "rekey-answer", epoch: 2, key: new Uint8Array(32) },
  { kind: "rekey-done", epoch: 2 },
  { kind: "arrivals", expected: 100, accepted: 98, datagrams: 120 },
  { kind: "record", record: new Uint8Array(60) },
];

test(`${casesOf(66)} messages of the overlay, each changed`, { timeout: TIMEOUT_MS }, () => {
  const random = seededRandom(SEED + 1);
  const messages = new CarrierMessages(CARRIERS);
  let valid = 0;
  for (let i = casesOf(66); i > 0; i--)
    if (accepted(() => messages.decode(pack(changed(pick(OVERLAY_MESSAGES, random), random))))) valid++;
  assert.ok(valid > 0);
});

const TRIPS = { sent: 5, times: [0.5, 1.25] };
const ENDPOINT = {
  ...{ id: "ab".repeat(32), name: "web1", state: "running", mac: NAME, addresses: ["10.32.0.1/12"], port: "vethwepl1" },
  ...{ portState: "forwarding", isolated: false, up: true, mtu: 1_376, arp: TRIPS },
};
const LEG = { kind: "leg", via: NAME, carrier: "sleeve", encrypted: true, mtu: 1_394, reason: "", fullBytes: 1_376 };
const REACH = { kind: "reach", host: TRIPS, container: TRIPS, macs: [NAME], place: NAME };
const QUESTIONS: Plain[] = [
  { ask: "leg", to: NAME },
  { ask: "endpoints", what: "web1" },
  { ask: "reach", peer: NAME, address: "10.32.0.1", mac: NAME },
];
const ANSWERS: Plain[] = [
  { ...LEG, small: TRIPS, full: TRIPS },
  { kind: "endpoints", endpoints: [ENDPOINT] },
  REACH,
  { kind: "refused", why: "busy" },
];

test(`${casesOf(66)} questions and answers about probes, each changed: they are rejected, or answered at a limited rate`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const random = seededRandom(SEED + 9);
  const clock = new VirtualClock();
  let answered = 0;
  const questions = new Questions({
    answer: async () => {
      answered++;
      return { kind: "refused", why: "" };
    },
    clock,
    random,
    log: silentLog,
  });
  questions.open({ unicast: () => true });
  let valid = 0;
  const count = casesOf(66);
  for (let i = 0; i < count; i++) {
    const id = "ab".repeat(16);
    const message: Plain =
      random.below(2) === 0
        ? { kind: "question", id, question: pick(QUESTIONS, random) }
        : { kind: "answer", id, answer: pick(ANSWERS, random) };
    const bytes = pack(changed(message, random));
    const sent = random.below(10) === 0 ? mutateBytes(bytes, random) : bytes;
    if (accepted(() => questions.gossiper.onUnicast(NAME, sent, NAME))) valid++;
    if (i % 100 === 99) await clock.run(10);
  }
  assert.ok(valid > count / 100 && valid < count * 0.9, `${valid} of ${count} were accepted`);
  assert.ok(answered > 0 && answered <= 12 + 4 * (clock.now() / 1_000 + 1), `${answered} were answered`);
});

// ── Services ────────────────────────────────────────────────────────────────────────────────────────────────────────

type How = "onUnicast" | "onBroadcast" | "onGossip";

/** What the gossipers of a network have received: the corpus. */
class Corpus {
  readonly caught: { how: How; from: string; payload: Uint8Array }[] = [];
  readonly #random = seededRandom(SEED + 7);

  /** Records what a gossiper receives. */
  watched(gossiper: Gossiper): Gossiper {
    const note = (how: How, from: string, payload: Uint8Array) => {
      const at = this.caught.length < CORPUS ? this.caught.length : this.#random.below(CORPUS);
      this.caught[at] = { how, from, payload: Uint8Array.from(payload) };
    };
    return new Proxy(gossiper, {
      get: (target, key) => {
        const value = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (key === "onUnicast" || key === "onBroadcast" || key === "onGossip")
            note(key, args[0] as string, args[1] as Uint8Array);
          return value.apply(target, args);
        };
      },
    });
  }

  /** Sends a changed message to a gossiper, as a member can: under any name, on any way. */
  attack(gossiper: Gossiper, peers: readonly string[], random: ReturnType<typeof seededRandom>): boolean {
    const { how, from, payload } = pick(this.caught, random);
    const data = unpack(payload);
    const forged =
      random.below(10) === 0 || data === undefined ? mutateBytes(payload, random) : pack(changed(data, random));
    const sender = random.below(2) === 0 ? from : pick(peers, random);
    const way = random.below(5) === 0 ? pick(["onUnicast", "onBroadcast", "onGossip"] as const, random) : how;
    return accepted(() => gossiper[way](sender as never, forged, pick(peers, random) as never));
  }
}

class NamesNetwork extends GossipNetwork<SimNode & { names?: Nameserver }> {
  start(corpus: Corpus): void {
    const host: SimNode & { names?: Nameserver } = new SimNode(this.hosts.length);
    this.hosts.push(host);
    host.names = new Nameserver({
      self: host.name,
      incarnation: 1,
      domain: "weave.local.",
      clock: this.clock,
      random: this.random,
      log: silentLog,
      store: memoryStore(new Map()),
      prefix: "names/",
      peers: this.peers(host),
      replicas: new Replicas(host.signer),
    });
    host.gossiper = corpus.watched(host.names.gossiper);
    host.names.open(this.channel(host));
    this.began(host);
  }
}

test(`${casesOf(50)} messages of names, each changed: the names of honest peers stay`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const random = seededRandom(SEED + 2);
  const corpus = new Corpus();
  const network = new NamesNetwork(SEED, QUIET);
  for (let i = 0; i < 3; i++) network.start(corpus);
  for (const [i, { names }] of network.hosts.entries())
    for (let n = 0; n < 5; n++) names!.add(`c${n}`, `10.32.${i}.${n}`, `h${i}n${n}.weave.local.`);
  await network.run(60_000);
  assert.ok(corpus.caught.length > 5, "there is nothing to change");
  const peers = network.hosts.map(({ name }) => name);
  const [victim, other] = network.hosts;
  let valid = 0;
  const count = casesOf(50);
  for (let i = 0; i < count; i++) {
    if (corpus.attack(victim.names!.gossiper, peers, random)) valid++;
    if (i % 500 === 499) {
      // Honest peers go on: what they say afterwards is changed as well.
      const round = Math.floor(i / 500) % 1_000;
      other.names!.remove({ ident: "moving" });
      other.names!.add("moving", `10.32.9.${round % 250}`, `moving.weave.local.`);
      await network.run(2_000);
    }
  }
  await network.run(30 * 60_000);
  assert.deepEqual(network.errors, []);
  assert.ok(valid > 0, "nothing was accepted");
  for (const host of network.hosts)
    for (let n = 0; n < 5; n++)
      for (let i = 0; i < 3; i++)
        assert.deepEqual(
          host.names!.lookup(`h${i}n${n}.weave.local.`),
          [`10.32.${i}.${n}`],
          `${host.name} lost a name`,
        );
});

test(`${casesOf(10)} messages of allocators, each changed: nothing is thrown, and addresses go on`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const random = seededRandom(SEED + 3);
  const corpus = new Corpus();
  const network = new IpamNetwork(SEED, QUIET);
  for (let i = 0; i < 3; i++) {
    const host = network.add({ mode: "consensus", quorum: () => 2 });
    network.start(host);
    host.gossiper = corpus.watched(host.gossiper!);
  }
  const [victim] = network.hosts;
  const address = (ident: string) =>
    victim.allocator!.requests.allocate(ident, parseSubnet(victim.range), { container: true });
  const first = address("first");
  await network.run(60_000);
  await first;
  const peers = network.hosts.map(({ name }) => name);
  const count = casesOf(10);
  for (let i = 0; i < count; i++) {
    corpus.attack(victim.allocator!.gossiper, peers, random);
    if (i % 100 === 99) await network.run(1_000);
  }
  await network.run(60_000);
  assert.deepEqual(network.errors, []);
});

test(`${casesOf(10)} messages of a member to a mesh, each changed: nothing is thrown, no session ends, routes stay`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const random = seededRandom(SEED + 4);
  // Seeds of hostile peers are small numbers.
  const network = new Network(SEED + 1_000);
  const peers = [0, 1].map((i) => network.start(i));
  network.connect(peers[1], peers[0]);
  await network.clock.run(5_000);
  const hostile = peers.map((peer, i) => {
    const each = new HostilePeer(network, 1 + i);
    each.join(peer);
    return each;
  });
  await network.clock.run(35_000);
  const open = () => hostile.map((each) => each.open);
  assert.deepEqual(open(), [1, 1]);
  const count = casesOf(10);
  for (let i = 0; i < count; i++) {
    const mallory = pick(hostile, random);
    const base =
      mallory.received.length > 0 && random.below(2) === 0
        ? pick(mallory.received, random)
        : pick(MESH_MESSAGES, random);
    const message = changed(base as Plain, random) as { kind?: unknown } | null;
    // A farewell ends the session, as it should.
    if (message?.kind === "bye") continue;
    mallory.send(message as never);
    if (i % 100 === 99) {
      if (mallory.received.length > CORPUS) mallory.received.splice(0, mallory.received.length - CORPUS);
      await network.clock.run(200);
    }
  }
  await network.clock.run(5_000);
  assert.deepEqual(open(), [1, 1], "data has ended a session");
  for (const each of hostile) each.leave();
  await network.clock.run(5 * 60_000);
  assertConnected(peers);
});
