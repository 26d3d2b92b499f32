import assert from "node:assert/strict";
import { test } from "node:test";
import { dialsFirst, MAX_DISCOVERED } from "#mesh/dialling/discovery.js";
import {
  type ConnectionView,
  DIAL_RETRY,
  DISCOVERY_DIALS,
  DialSchedule,
  REDIAL,
  REDIAL_FOR_MS,
  YIELD_MS,
} from "#mesh/dialling/schedule.js";
import type { PeerRecord } from "#mesh/peer.js";
import { parseMac } from "#src/mac.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const self = "02:00:00:00:00:01";
const target = (host: string, port = 6783, given = false) => ({
  text: given ? `${host}:${port}` : host,
  address: `${host}:${port}`,
  port: given,
});
const make = (options: Partial<{ discovery: boolean; limit: number }> = {}) =>
  new DialSchedule(seededRandom(1), { discovery: true, limit: 0, port: 6783, ...options });
/** All peers that the records name are known. */
const due = (maker: DialSchedule, now: number, connections: ConnectionView[] = [], records: PeerRecord[] = []) => {
  const named = new Set(records.flatMap(({ links }) => links.map(({ to }) => to)));
  const known = [...records, ...[...named].map((name) => naming(name, []))];
  return maker
    .due(now, { connections, records: known, self, own: () => new Set(["10.0.0.1"]) })
    .map(({ address }) => address);
};
const inboundFrom = (host: number, peer: number): ConnectionView => ({
  remoteAddress: `10.0.0.${host}:40000`,
  outbound: false,
  dialled: undefined,
  peer: parseMac(`::${peer}`),
});
/** A record of peer `from` that names where it reaches others. */
const naming = (from: string, links: readonly (readonly [to: string, address: string, outbound?: boolean])[]) => ({
  name: parseMac(from),
  nickname: "",
  identity: "",
  key: "",
  uid: "",
  incarnation: 1,
  version: 1,
  links: links.map(([to, address, outbound = true]) => ({
    to: parseMac(to),
    identity: "",
    key: "",
    address,
    outbound,
    established: true,
  })),
});

test("a failing target is dialled immediately, after about 2 s, and with growing delays of up to 9 min", () => {
  const maker = make();
  maker.connect([target("10.0.0.2")], false, 0);
  let now = 0;
  const waits: number[] = [];
  for (let i = 0; i < 25; i++) {
    assert.deepEqual(due(maker, now), ["10.0.0.2:6783"]);
    maker.failed("10.0.0.2:6783", "connection refused", now);
    const next = maker.nextAt(now, 1_000);
    waits.push(next - now);
    assert.deepEqual(due(maker, next - 1), []);
    now = next;
  }
  waits.forEach((wait, i) => {
    const middle = Math.min(DIAL_RETRY.lastMs, DIAL_RETRY.firstMs * DIAL_RETRY.factor ** i);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `wait ${i} is ${wait}`);
  });
  const [status] = maker.status();
  assert.deepEqual([status.state, status.error, status.retryAt], ["failed", "connection refused", now]);
});

test("connect makes an attempt due immediately, and so does the end of a sound connection", () => {
  const maker = make();
  maker.connect([target("10.0.0.2")], false, 0);
  due(maker, 0);
  maker.failed("10.0.0.2:6783", "refused", 0);
  assert.deepEqual(due(maker, 10), []);
  maker.connect([target("10.0.0.2")], false, 10);
  assert.deepEqual(due(maker, 10), ["10.0.0.2:6783"]);
  maker.succeeded("10.0.0.2:6783", "02:00:00:00:00:02");
  maker.failed("10.0.0.2:6783", "reset", 70_011);
  assert.deepEqual(due(maker, 70_011), ["10.0.0.2:6783"]);
});

test("after the end of a sound connection a peer is dialled several times a second, for as long as a restart takes", () => {
  const maker = make();
  maker.connect([target("10.0.0.2")], false, 0);
  due(maker, 0);
  maker.succeeded("10.0.0.2:6783", "02:00:00:00:00:02");
  let now = 60_000;
  const dials: number[] = [];
  for (maker.failed("10.0.0.2:6783", "stopping", now); now < 90_000; now = maker.nextAt(now, 1_000)) {
    assert.deepEqual(due(maker, now), ["10.0.0.2:6783"]);
    dials.push(now - 60_000);
    maker.failed("10.0.0.2:6783", "connection refused", now);
  }
  const soon = dials.filter((at) => at < REDIAL_FOR_MS);
  const waits = soon.map((at, i) => at - (soon[i - 1] ?? 0));
  assert.ok(Math.max(...waits) <= REDIAL.lastMs * (1 + REDIAL.spread), `${waits}`);
  assert.ok(dials.length - soon.length <= 6, `${dials.length - soon.length} dials afterwards`);
});

test("a connection that ends at once is dialled again after about 2 s: the other end does not want it", () => {
  const maker = make();
  maker.connect([target("10.0.0.2")], false, 0);
  due(maker, 0);
  maker.succeeded("10.0.0.2:6783", "02:00:00:00:00:02");
  maker.failed("10.0.0.2:6783", "Connection limit reached", 500);
  assert.ok(maker.nextAt(500, 1_000) >= 500 + DIAL_RETRY.firstMs / 2);
});

test("a due attempt that is not possible does not delay those that become due", () => {
  const maker = make({ limit: 1 });
  maker.connect([target("10.0.0.2"), target("10.0.0.3")], false, 0);
  assert.deepEqual(due(maker, 0), ["10.0.0.2:6783"]);
  maker.failed("10.0.0.2:6783", "refused", 0);
  // The second target is due, and checked again after the pause; the first one is due after at least 1 s.
  assert.equal(maker.nextAt(0, 1_000), Math.min(1_000, maker.status()[0].retryAt));
  assert.equal(maker.nextAt(0, 60_000), maker.status()[0].retryAt);
});

test("an address of our own is never dialled again", () => {
  const maker = make();
  maker.connect([target("10.0.0.1")], false, 0);
  due(maker, 0);
  maker.failed("10.0.0.1:6783", "cannot connect to ourself", 0, { never: true });
  assert.equal(maker.nextAt(0, 1_000), Number.POSITIVE_INFINITY);
  assert.deepEqual(due(maker, 1e12), []);
});

test("a target without a port is not dialled while its host has connected to us; one with a port is", () => {
  const inbound = [inboundFrom(2, 2)];
  for (const [given, expected] of [
    [false, []],
    [true, ["10.0.0.2:6783"]],
  ] as const) {
    const maker = make();
    maker.connect([target("10.0.0.2", 6783, given)], false, 0);
    assert.deepEqual(due(maker, 0, inbound), expected);
  }
});

test("addresses that other peers reach are discovered; for an inbound link our own port is assumed; without discovery there are none", () => {
  const records = [
    naming("::2", [
      ["::4", "10.0.0.3:7000"],
      ["::6", "10.0.0.5:51000", false],
      [self, "10.0.0.1:6783"],
    ]),
  ];
  const connected = [{ ...inboundFrom(2, 2), remoteAddress: "10.0.0.2:6783", outbound: true }];
  assert.deepEqual(due(make(), 0, connected, records), ["10.0.0.3:7000", "10.0.0.5:6783"]);
  assert.deepEqual(due(make({ discovery: false }), 0, connected, records), []);
});

test("of two peers that discover each other one dials at once, the other only if no connection comes", () => {
  const names = [0, 1, 2, 3, 0x10, 0x1f].map((octet) => parseMac(`::${octet.toString(16)}:1`));
  for (const a of names) {
    for (const b of names) if (a !== b) assert.notEqual(dialsFirst(a, b), dialsFirst(b, a), `${a} ${b}`);
  }
  const records = [
    naming("::2", [
      ["::3", "10.0.0.3:6783"],
      ["::4", "10.0.0.4:6783"],
    ]),
  ];
  const connected = [{ ...inboundFrom(2, 2), remoteAddress: "10.0.0.2:6783", outbound: true }];
  const maker = make();
  assert.deepEqual(due(maker, 0, connected, records), ["10.0.0.4:6783"]);
  assert.deepEqual(due(maker, YIELD_MS - 1, connected, records), []);
  assert.deepEqual(due(maker, 2 * YIELD_MS, connected, records), ["10.0.0.3:6783"]);
  // The other end has dialled meanwhile.
  const yielding = make();
  due(yielding, 0, connected, records);
  assert.deepEqual(due(yielding, 2 * YIELD_MS, [...connected, inboundFrom(3, 3)], records), []);
});

test("a peer of which there is no record is not dialled: its handshake would be refused", () => {
  const records = [naming("::2", [["::4", "10.0.0.4:7000"]])];
  const context = { connections: [], self, own: () => new Set<string>() };
  assert.deepEqual(make().due(0, { ...context, records }), []);
  assert.equal(make().due(0, { ...context, records: [...records, naming("::4", [])] }).length, 1);
});

test("a reported address is dialled only if it is an address of another host", () => {
  const addresses = [
    "localhost:80",
    "db.example.org:5432",
    "127.0.0.1:9999",
    "127.8.8.8:80",
    "0.0.0.0:80",
    "0.1.2.3:80",
    "169.254.169.254:80",
    "224.0.0.1:80",
    "255.255.255.255:80",
    "10.0.0.1:22",
    "10.0.0.256:80",
    "10.0.0.5:0",
    "10.0.0.5:65536",
    "[::1]:80",
    ":undefined",
    "10.0.0.5:6783",
  ];
  const record = naming(
    "::2",
    addresses.map((address, i) => [`02:00:00:00:01:${i.toString(16).padStart(2, "0")}`, address]),
  );
  assert.deepEqual(due(make(), 0, [], [record]), ["10.0.0.5:6783"]);
});

test("of any number of reported addresses few are dialled at the same time, a bounded number is kept, and true ones come first", () => {
  const far = (i: number) => `10.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}:80`;
  const hostile = naming(
    "::66",
    Array.from({ length: 4_000 }, (_, i) => [`02:00:00:00:${(i >> 8).toString(16)}:${(i & 255).toString(16)}`, far(i)]),
  );
  const honest = ["::2", "::3"].map((name) => naming(name, [["::4", "10.0.0.4:6783"]]));
  const maker = make();
  const first = due(maker, 0, [], [hostile, ...honest]);
  assert.equal(first.length, DISCOVERY_DIALS);
  assert.equal(first[0], "10.0.0.4:6783");
  assert.deepEqual(due(maker, 0, [], [hostile, ...honest]), []);
  maker.failed(first[1], "refused", 0);
  assert.equal(due(maker, 1, [], [hostile, ...honest]).length, 1);
  // With one witness each, a record has its turn beside the others.
  assert.ok(due(make(), 0, [], [hostile, honest[0]]).includes("10.0.0.4:6783"));
  let now = 0;
  const tried = new Set<string>();
  for (let i = 0; i < 1_000; i++) {
    for (const address of due(maker, now, [], [hostile, ...honest])) {
      tried.add(address);
      maker.failed(address, "refused", now);
    }
    now += 1_000;
  }
  assert.ok(tried.size <= MAX_DISCOVERED, `${tried.size} addresses`);
  assert.ok(maker.status().length <= MAX_DISCOVERED);
});

test("any address may be a target of the operator", () => {
  const maker = make();
  maker.connect([target("127.0.0.1"), target("host.example")], false, 0);
  assert.deepEqual(due(maker, 0), ["127.0.0.1:6783", "host.example:6783"]);
});

test("a target by name is not dialled while one of its hosts has connected to us", () => {
  const maker = make();
  maker.connect([target("h2")], false, 0);
  assert.deepEqual(due(maker, 0), ["h2:6783"]);
  maker.resolved("h2:6783", ["10.0.0.8", "10.0.0.2"]);
  maker.failed("h2:6783", "refused", 0);
  assert.deepEqual(due(maker, 10_000, [inboundFrom(2, 2)]), []);
  assert.deepEqual(maker.status(), []);
  assert.deepEqual(due(maker, 10_000), ["h2:6783"]);
});

test("a discovered address is dropped when no peer reaches it any more; a target never", () => {
  const record = naming("::2", [["::3", "10.0.0.3:6783"]]);
  const maker = make();
  maker.connect([target("10.0.0.9")], false, 0);
  due(maker, 0, [], [record]);
  for (const address of ["10.0.0.3:6783", "10.0.0.9:6783"]) maker.failed(address, "refused", 0);
  due(maker, 1);
  assert.deepEqual(
    maker.status().map(({ address }) => address),
    ["10.0.0.9:6783"],
  );
});

test("the limit counts connections and attempts together", () => {
  const maker = make({ limit: 2 });
  maker.connect([target("10.0.0.2"), target("10.0.0.3"), target("10.0.0.4")], false, 0);
  const one = [inboundFrom(9, 9)];
  assert.equal(due(maker, 0, one).length, 1);
  assert.equal(due(maker, 0, one).length, 0);
});

test("forget takes the texts of connect, and replace drops all other targets", () => {
  const maker = make();
  maker.connect([target("10.0.0.2"), target("10.0.0.3", 7000, true)], false, 0);
  maker.forget(["10.0.0.3"]);
  assert.equal(maker.targets.length, 2);
  maker.forget(["10.0.0.3:7000"]);
  assert.deepEqual(
    maker.targets.map(({ text }) => text),
    ["10.0.0.2"],
  );
  maker.connect([target("10.0.0.4")], true, 0);
  assert.deepEqual(
    maker.targets.map(({ text }) => text),
    ["10.0.0.4"],
  );
});

test("while one address of a peer is connected, its other address is not dialled", () => {
  const maker = make();
  maker.connect([target("10.0.0.2", 6783, true)], false, 0);
  due(maker, 0);
  maker.failed("10.0.0.2:6783", "Multiple connections", 0, { peer: parseMac("::2") });
  const other = [inboundFrom(99, 2)];
  assert.deepEqual(due(maker, 1e9, other), []);
  // Nothing is wrong with the target, and nothing is to be done for it.
  assert.deepEqual(maker.status(), []);
  assert.equal(maker.nextAt(1e9, 1_000), Number.POSITIVE_INFINITY);
  assert.deepEqual(due(maker, 1e9), ["10.0.0.2:6783"]);
});
