import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyStart, type PeerLink, type PeerRecord } from "#mesh/peer.js";
import { decodeReplicaMessage, encodeReplicaMessage } from "#mesh/replica/replica-message.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { TOPOLOGY_FORMAT, type TopologyRecord } from "#mesh/topology/record.js";
import { Routes } from "#mesh/topology/routes.js";
import { FORGET_AFTER_MS, Topology } from "#mesh/topology/topology.js";
import { retire } from "#mesh/trust/retirement.js";
import { memoryTrust, type Trust } from "#mesh/trust/trust.js";
import { silentLog } from "#src/log.js";
import { signedState } from "#test/sim/signed-state.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const name = (index: number) => `02:00:00:00:00:${index.toString(16).padStart(2, "0")}`;
const signers = new Map<number, Signer>();
const signer = (index: number): Signer => {
  const found = signers.get(index) ?? makeSigner(seededRandom(index).bytes(32));
  signers.set(index, found);
  return found;
};
const link = (to: number, established = true, owner = to): PeerLink => ({
  to: name(to),
  key: keyStart(signer(owner).identity),
  address: `10.0.0.${to}:6783`,
  outbound: true,
  established,
});
/** @param owner whose identity it is */
const identity = (index: number, incarnation = 1, owner = index) => ({
  name: name(index),
  nickname: `h${owner}`,
  identity: signer(owner).identity,
  key: owner.toString(16).padEnd(64, "0"),
  uid: incarnation.toString(16).padStart(16, "0"),
  incarnation,
});
const record = (index: number, version: number, links: PeerLink[]): PeerRecord => ({
  ...identity(index),
  version,
  links,
});

/** What a peer says, as another peer passes it on. */
const said = (
  index: number,
  version: number,
  links: PeerLink[],
  { incarnation = 1, owner = index, by = owner }: { incarnation?: number; owner?: number; by?: number } = {},
) => {
  const { nickname, identity: self, key, uid } = identity(index, incarnation, owner);
  const records: TopologyRecord[] = [
    { kind: "self", nickname, identity: self, key, uid },
    ...links.map((each) => ({ kind: "link" as const, ...each })),
  ];
  return encodeReplicaMessage({
    kind: "states",
    states: [signedState(TOPOLOGY_FORMAT, signer(by), { origin: name(index), incarnation, version }, records)],
  });
};

interface Made {
  readonly topology: Topology;
  readonly trust: Trust;
  readonly replicas: Replicas;
  readonly clock: VirtualClock;
  /** Payloads that the peer has gossiped. */
  readonly sent: Uint8Array[];
  take(...payloads: Uint8Array[]): void;
}

function make(index: number, incarnation = 1): Made {
  const clock = new VirtualClock();
  const replicas = new Replicas(signer(index));
  const trust = memoryTrust({ self: { name: name(index), identity: signer(index).identity }, clock });
  const time = () => clock.wall();
  const deps = { replicas, trust, clock, log: silentLog, time, neighbours: () => [], changed() {}, incarnation() {} };
  const topology = new Topology(identity(index, incarnation), deps);
  const sent: Uint8Array[] = [];
  topology.open({ unicast: () => true, broadcast() {}, gossip: (payload) => void sent.push(payload) });
  const take = (...payloads: Uint8Array[]) => {
    for (const payload of payloads) topology.gossiper.onGossip(name(77), payload, name(77));
  };
  return { topology, trust, replicas, clock, sent, take };
}

test("peers that receive the same news in any order and repeated have the same records", () => {
  const news = fc.array(
    fc.record({
      peer: fc.integer({ min: 2, max: 5 }),
      version: fc.integer({ min: 8, max: 12 }),
      incarnation: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 12 },
  );
  fc.assert(
    fc.property(news, fc.infiniteStream(fc.nat(1_000)), (events, random) => {
      // The content follows from the version: an honest peer signs one content of each.
      const payloads = events.map(({ peer, version, incarnation }) =>
        said(
          peer,
          version,
          [1, 2, 3, 4, 5].filter((to) => to !== peer && (version + to) % 3 > 0).map((to) => link(to)),
          { incarnation },
        ),
      );
      const shuffled = () =>
        [...payloads, ...payloads]
          .map((payload) => ({ payload, key: random.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ payload }) => payload);
      const records = [make(1), make(1)].map(({ topology, take }) => {
        topology.setLinks([2, 3, 4, 5].map((to) => link(to)));
        take(...shuffled());
        topology.updateReachability(0);
        return [topology.digest(), topology.reachable().sort((a, b) => (a.name < b.name ? -1 : 1))];
      });
      assert.deepEqual(records[0], records[1]);
    }),
    { numRuns: 40 },
  );
});

test("a peer's record has what it said: identity, links and version", async () => {
  const a = make(2);
  a.topology.setLinks([{ ...link(1), address: "some.host:1" }, link(3, false)]);
  await a.clock.run(100);
  const b = make(1);
  b.topology.setLinks([link(2)]);
  b.take(...a.sent);
  assert.deepEqual(b.topology.get(name(2)), a.topology.self);
  assert.deepEqual(a.topology.self.links, [{ ...link(1), address: "some.host:1" }, link(3, false)]);
  const [message] = a.sent.map((payload) => decodeReplicaMessage("topology", payload));
  assert.ok(message.kind === "states" && a.sent[0].length < 280, `${a.sent[0].length} bytes for a peer and two links`);
});

test("what another identity has signed is no record of a peer, and is counted by the neighbour that sent it", () => {
  const { topology, replicas, take } = make(1);
  topology.setLinks([link(2)]);
  take(said(2, 5, [link(1)]));
  const before = topology.get(name(2));
  topology.updateReachability(0);
  take(said(2, 9, [], { by: 6 }), said(2, 9, [], { owner: 6 }), said(2, 1, []));
  assert.deepEqual(topology.get(name(2)), before);
  const { forged = 0, outdated = 0 } = replicas.rejections.byNeighbour.get(name(77)) ?? {};
  assert.deepEqual([forged, outdated], [2, 1]);
});

test("a name that is pinned to an identity goes to no other, also while it is away; once it is forgotten, it does", () => {
  const { topology, trust, take } = make(1);
  topology.setLinks([link(2)]);
  take(said(2, 1, []));
  topology.updateReachability(0);
  topology.setLinks([]);
  assert.deepEqual(topology.updateReachability(1).suspended, [name(2)]);
  const other = said(2, 9, [], { incarnation: 9, owner: 6 });
  take(other);
  assert.equal(topology.get(name(2))?.nickname, "h2");
  trust.forget(name(2));
  take(said(2, 10, [], { incarnation: 9, owner: 6 }));
  assert.equal(topology.get(name(2))?.nickname, "h6");
});

test("two contents of one version, both signed by the peer, remove its records; its next start is accepted", () => {
  const { topology, replicas, take } = make(1);
  topology.setLinks([link(2)]);
  take(said(2, 5, [link(1)]), said(2, 5, [link(3)]));
  topology.updateReachability(0);
  assert.equal(topology.get(name(2)), undefined);
  assert.deepEqual(
    replicas.equivocations.map(({ set, origin, version }) => [set, origin, version]),
    [["topology", name(2), 5]],
  );
  take(said(2, 6, [link(1)]));
  assert.equal(topology.get(name(2)), undefined);
  take(said(2, 6, [link(1)], { incarnation: 2 }));
  assert.equal(topology.get(name(2))?.incarnation, 2);
});

test("a neighbour is known from its hello until its records arrive, and again when it restarts", () => {
  const { topology, take } = make(1);
  topology.greet(identity(2, 4));
  topology.setLinks([link(2)]);
  topology.updateReachability(0);
  assert.deepEqual(
    topology
      .reachable()
      .map(({ version }) => version)
      .sort(),
    [0, topology.self.version],
  );
  take(said(2, 6, [link(3)], { incarnation: 4 }));
  assert.equal(topology.get(name(2))?.links.length, 1);
  topology.greet(identity(2, 5));
  assert.deepEqual([topology.get(name(2))?.incarnation, topology.get(name(2))?.links], [5, []]);
});

test("an identity that is revoked has no records", () => {
  const { topology, take } = make(1);
  topology.setLinks([link(2)]);
  take(said(2, 6, [link(3)]), said(3, 7, []));
  topology.updateReachability(0);
  topology.revoke(signer(2).identity);
  assert.equal(topology.get(name(2)), undefined);
  assert.deepEqual(topology.updateReachability(1), {
    suspended: [name(2), name(3)],
    resumed: [],
    forgotten: [name(2)],
  });
  const later = topology.updateReachability(2);
  assert.deepEqual([later.suspended, later.forgotten], [[], []], "once");
});

test("of a revoked identity that is suspended only the end is reported; of a name with a new owner, that it is back", () => {
  const { topology, trust, take } = make(1);
  topology.setLinks([link(2), link(3)]);
  take(said(2, 6, []), said(3, 7, []));
  topology.updateReachability(0);
  topology.setLinks([link(3)]);
  assert.deepEqual(topology.updateReachability(1).suspended, [name(2)]);
  trust.exclude(signer(2).identity);
  topology.revoke(signer(2).identity);
  assert.deepEqual(topology.updateReachability(2), { suspended: [], resumed: [], forgotten: [name(2)] });

  trust.retire(retire(identity(3), signer(3), 0));
  topology.revoke(signer(3).identity);
  topology.setLinks([link(3, true, 6)]);
  take(said(3, 1, [], { incarnation: 2, owner: 6 }));
  assert.deepEqual(topology.updateReachability(3), { suspended: [name(3)], resumed: [name(3)], forgotten: [] });
  assert.equal(topology.get(name(3))?.nickname, "h6");
});

test("nothing verifies by an excluded or retired identity, while its name stays pinned until it retires", () => {
  const { topology, trust, take } = make(1);
  topology.setLinks([link(2), link(3)]);
  take(said(2, 6, []), said(3, 7, []));
  topology.updateReachability(0);
  const { peers } = topology;
  const ids = () => [2, 3].map((each) => [peers.identity(name(each)), peers.pinnedIdentity(name(each))]);
  const [two, three] = [signer(2).identity, signer(3).identity];
  assert.deepEqual(ids(), [
    [two, two],
    [three, three],
  ]);
  trust.exclude(two);
  trust.retire(retire(identity(3), signer(3), 0));
  assert.deepEqual(ids(), [
    [undefined, two],
    [undefined, three],
  ]);
  for (const each of [two, three]) topology.revoke(each);
  assert.deepEqual(ids(), [
    [undefined, two],
    [undefined, undefined],
  ]);
  trust.include(two);
  assert.deepEqual(ids()[0], [two, two]);
});

test("a link leads to the machine whose identity it contains: to the name's new owner, not to the old one", () => {
  const { topology: c, trust, take } = make(1);
  c.setLinks([link(2)]);
  take(said(2, 5, [link(3)]), said(3, 5, [], { incarnation: 9 }));
  c.updateReachability(0);
  take(said(2, 6, []));
  assert.deepEqual(c.updateReachability(1).suspended, [name(3)]);
  // A neighbour has connected to another machine of that name, whose clock is behind: the link arrives first.
  take(said(2, 7, [link(3, true, 6)]));
  assert.deepEqual(c.updateReachability(2).resumed, []);
  assert.equal(new Routes(name(1), [c.self, c.get(name(2))!, c.get(name(3))!], "all").unicast(name(3)), undefined);
  trust.forget(name(3));
  take(said(3, 5, [], { incarnation: 4, owner: 6 }));
  assert.deepEqual(c.updateReachability(3).resumed, [name(3)]);
});

test("an unreachable peer is suspended, resumes, and is forgotten only after the full time", () => {
  const { topology: a, take } = make(1);
  a.setLinks([link(2)]);
  take(said(2, 5, [link(3)]), said(3, 5, []));
  assert.deepEqual(a.updateReachability(0), { suspended: [], resumed: [], forgotten: [] });
  assert.equal(a.reachable().length, 3);
  a.setLinks([]);
  assert.deepEqual([...a.updateReachability(1_000).suspended].sort(), [name(2), name(3)]);
  a.setLinks([link(2)]);
  assert.deepEqual([...a.updateReachability(2_000).resumed].sort(), [name(2), name(3)]);
  a.setLinks([]);
  a.updateReachability(3_000);
  assert.deepEqual(a.updateReachability(3_000 + FORGET_AFTER_MS - 1).forgotten, []);
  assert.deepEqual([...a.updateReachability(3_000 + FORGET_AFTER_MS).forgotten].sort(), [name(2), name(3)]);
  assert.equal(a.get(name(2)), undefined);
});

/** Random connected graphs, as the records of their peers. */
const graphs = fc
  .tuple(
    fc.integer({ min: 2, max: 9 }),
    fc.array(fc.tuple(fc.nat(8), fc.nat(8)), { maxLength: 12 }),
    fc.array(fc.nat(100), { minLength: 9, maxLength: 9 }),
  )
  .map(([count, extra, parents]) => {
    const edges = new Set<string>();
    const add = (a: number, b: number) => {
      if (a !== b && a < count && b < count) edges.add(`${Math.min(a, b)} ${Math.max(a, b)}`);
    };
    for (let i = 1; i < count; i++) add(i, parents[i - 1] % i);
    for (const [a, b] of extra) add(a, b);
    return Array.from({ length: count }, (_, i) => {
      const links = [...edges]
        .map((edge) => edge.split(" ").map(Number))
        .filter((ends) => ends.includes(i))
        .map(([a, b]) => link(a === i ? b : a));
      return record(i, 1, links);
    });
  });

test("in any connected graph a flood from any peer reaches every other exactly once, and every unicast arrives", () => {
  fc.assert(
    fc.property(graphs, (records) => {
      const routes = new Map(records.map(({ name: self }) => [self, new Routes(self, records, "established")]));
      for (const { name: source } of records) {
        const reached: string[] = [];
        const queue = [source];
        for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
          const next = routes.get(at)!.flood(source);
          reached.push(...next);
          queue.push(...next);
        }
        assert.deepEqual(
          reached.sort(),
          records
            .map((r) => r.name)
            .filter((n) => n !== source)
            .sort(),
        );
        for (const { name: dest } of records) {
          let at = source;
          for (let hops = 0; at !== dest; hops++) {
            assert.ok(hops < records.length, "a unicast goes round in circles");
            at = routes.get(at)!.unicast(dest)!;
          }
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("frames take only links that both ends report as established; gossip takes all", () => {
  const records = [record(1, 1, [link(2)]), record(2, 1, [link(1, false)])];
  assert.equal(new Routes(name(1), records, "established").unicast(name(2)), undefined);
  assert.equal(new Routes(name(1), records, "all").unicast(name(2)), name(2));
});
