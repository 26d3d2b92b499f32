import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyStart, type PeerDelta, type PeerLink, type PeerRecord } from "#mesh/peer.js";
import { Routes } from "#mesh/routes.js";
import { FORGET_AFTER_MS, Topology } from "#mesh/topology.js";

const name = (index: number) => `02:00:00:00:00:${index.toString(16).padStart(2, "0")}`;
const link = (to: number, established = true): PeerLink => ({
  to: name(to),
  key: keyStart(identity(to).key),
  address: `10.0.0.${to}:6783`,
  outbound: true,
  established,
});
const identity = (index: number, incarnation = 1) => ({
  name: name(index),
  nickname: `h${index}`,
  identity: index.toString(16).padEnd(64, "1"),
  key: index.toString(16).padEnd(64, "0"),
  uid: incarnation.toString(16).padStart(16, "0"),
  incarnation,
});
const record = (index: number, version: number, links: PeerLink[], incarnation = 1): PeerRecord => ({
  ...identity(index, incarnation),
  version,
  links,
});

/** The history of a peer as other peers may receive it: whole records and the deltas between them. */
const lives = fc.array(
  fc.record({
    peer: fc.integer({ min: 2, max: 5 }),
    links: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
    restart: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
);

test("peers that receive the same news in any order, repeated or whole, have the same records", () => {
  fc.assert(
    fc.property(lives, fc.infiniteStream(fc.nat(1_000)), (events, random) => {
      const writers = new Map<number, Topology>();
      const news: (PeerRecord | PeerDelta)[] = [];
      for (const { peer, links, restart } of events) {
        let writer = writers.get(peer);
        if (writer === undefined || restart) {
          writer = new Topology(identity(peer, (writer?.self.incarnation ?? 0) + 1));
          writers.set(peer, writer);
        }
        const delta = writer.setLinks(links.filter((to) => to !== peer).map((to) => link(to)));
        if (delta !== undefined) news.push(delta);
        news.push(writer.self);
      }
      const shuffled = () =>
        [...news, ...news].map((item) => ({ item, key: random.next().value as number })).sort((a, b) => a.key - b.key);
      const [a, b] = [new Topology(identity(1)), new Topology(identity(1))];
      for (const topology of [a, b]) {
        topology.setLinks([2, 3, 4, 5].map((to) => link(to)));
        for (const { item } of shuffled()) topology.merge([item]);
        topology.updateReachability(0);
      }
      assert.equal(a.digest(), b.digest());
      for (const [peer, writer] of writers) assert.deepEqual(a.get(name(peer)), writer.self);
      // Merging it all again is no news.
      assert.deepEqual(a.merge(news).news, []);
    }),
    { numRuns: 300 },
  );
});

test("comparing summaries makes two peers equal in one exchange", () => {
  const [a, b] = [new Topology(identity(1)), new Topology(identity(2))];
  a.setLinks([link(2), link(3)]);
  b.setLinks([link(1), link(4)]);
  a.merge([record(3, 5, [])]);
  b.merge([record(4, 2, [])]);
  for (const topology of [a, b]) topology.updateReachability(0);
  const { lacking, wanted } = a.compare(b.summary());
  b.merge(lacking);
  a.merge(wanted.map((wantedName) => b.get(wantedName)!));
  for (const topology of [a, b]) topology.updateReachability(0);
  assert.equal(a.digest(), b.digest());
});

test("a delta that does not follow the known version causes a request for the whole record", () => {
  const a = new Topology(identity(1));
  const delta: PeerDelta = { name: name(2), incarnation: 1, from: 4, to: 5, set: [], drop: [] };
  assert.deepEqual(a.merge([delta]), { news: [], wanted: [name(2)], rejected: 0 });
  a.merge([record(2, 4, [link(1)])]);
  assert.equal(a.merge([delta]).news.length, 1);
  assert.equal(a.get(name(2))?.version, 5);
  assert.deepEqual(a.merge([delta]), { news: [], wanted: [], rejected: 0 });
});

test("an earlier incarnation of this peer that others still hold is superseded by a later one", () => {
  const a = new Topology(identity(1, 10));
  const ghost: PeerRecord = { ...record(1, 7, [link(9)], 10), uid: "f".repeat(16) };
  assert.equal(a.merge([ghost]).news.length, 1);
  assert.ok(a.self.incarnation > 10);
  assert.deepEqual(a.merge([a.self]).news, []);
});

test("a second key for a reachable name is rejected and reported; for an unreachable name it is accepted", () => {
  const a = new Topology(identity(1));
  a.setLinks([link(2)]);
  a.merge([record(2, 1, [])]);
  a.updateReachability(0);
  const other: PeerRecord = { ...record(2, 9, [], 9), key: "e".repeat(64), nickname: "clone" };
  assert.deepEqual(a.merge([other]).news, []);
  assert.deepEqual(
    a.conflicts().map(({ kept, refused }) => [kept.nickname, refused.nickname]),
    [["h2", "clone"]],
  );
  a.setLinks([]);
  assert.deepEqual(a.updateReachability(1).suspended, [name(2)]);
  assert.equal(a.merge([other]).news.length, 1);
});

test("a link leads to the machine whose key it contains: to the name's new owner, not to the old one", () => {
  const c = new Topology(identity(1));
  c.setLinks([link(2)]);
  c.merge([record(2, 1, [link(3)]), record(3, 1, [], 9)]);
  c.updateReachability(0);
  c.merge([record(2, 2, [])]);
  assert.deepEqual(c.updateReachability(1).suspended, [name(3)]);
  // A neighbour has connected to another machine of that name, whose clock is behind: the link arrives first.
  const newKey = "d".repeat(64);
  c.merge([record(2, 3, [{ ...link(3), key: keyStart(newKey) }])]);
  assert.deepEqual(c.updateReachability(2).resumed, []);
  assert.equal(new Routes(name(1), [c.self, c.get(name(2))!, c.get(name(3))!], "all").unicast(name(3)), undefined);
  const returned = { ...record(3, 1, [], 4), key: newKey };
  assert.equal(c.merge([returned]).news.length, 1);
  assert.deepEqual(c.updateReachability(3).resumed, [name(3)]);
  assert.deepEqual(c.conflicts(), []);
});

test("an unreachable peer is suspended, resumes, and is forgotten only after the full time", () => {
  const a = new Topology(identity(1));
  a.setLinks([link(2)]);
  a.merge([record(2, 1, [link(3)]), record(3, 1, [])]);
  assert.deepEqual(a.updateReachability(0), { suspended: [], resumed: [], forgotten: [] });
  assert.equal(a.reachable().length, 3);
  a.setLinks([]);
  assert.deepEqual(a.updateReachability(1_000).suspended, [name(2), name(3)]);
  a.setLinks([link(2)]);
  assert.deepEqual(a.updateReachability(2_000).resumed, [name(2), name(3)]);
  a.setLinks([]);
  a.updateReachability(3_000);
  assert.deepEqual(a.updateReachability(3_000 + FORGET_AFTER_MS - 1).forgotten, []);
  assert.deepEqual(a.updateReachability(3_000 + FORGET_AFTER_MS).forgotten, [name(2), name(3)]);
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
