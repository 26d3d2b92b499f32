import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionMaker, type ConnectionView, FIRST_RETRY_MS, LAST_RETRY_MS } from "#mesh/connection-maker.js";
import { parseMac } from "#src/mac.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const self = "02:00:00:00:00:01";
const target = (host: string, port = 6783, given = false) => ({
  text: given ? `${host}:${port}` : host,
  address: `${host}:${port}`,
  port: given,
});
const make = (options: Partial<{ discovery: boolean; limit: number }> = {}) =>
  new ConnectionMaker(seededRandom(1), { discovery: true, limit: 0, port: 6783, ...options });
const due = (maker: ConnectionMaker, now: number, connections: ConnectionView[] = []) =>
  maker.due(now, connections, [], self).map(({ address }) => address);

test("a failing target is tried at once, then after about 2 s, then ever later, up to 6 min and a half more", () => {
  const maker = make();
  maker.connect([target("10.0.0.2")], false, 0);
  let now = 0;
  const waits: number[] = [];
  for (let i = 0; i < 25; i++) {
    assert.deepEqual(due(maker, now), ["10.0.0.2:6783"]);
    maker.failed("10.0.0.2:6783", "connection refused", now);
    waits.push(maker.nextAt() - now);
    assert.deepEqual(due(maker, maker.nextAt() - 1), []);
    now = maker.nextAt();
  }
  waits.forEach((wait, i) => {
    const middle = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 1.5 ** i);
    assert.ok(wait >= middle / 2 && wait <= middle * 1.5, `wait ${i} is ${wait}`);
  });
  const [status] = maker.status();
  assert.deepEqual([status.state, status.error, status.retryAt], ["failed", "connection refused", now]);
});

test("connect tries again at once; a sound connection that ends is, too", () => {
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

test("what is pointless is never tried again", () => {
  const maker = make();
  maker.connect([target("10.0.0.1")], false, 0);
  due(maker, 0);
  maker.failed("10.0.0.1:6783", "cannot connect to ourself", 0, { never: true });
  assert.equal(maker.nextAt(), Number.POSITIVE_INFINITY);
  assert.deepEqual(due(maker, 1e12), []);
});

test("a target without a port is not dialled while its host has connected to us; one with a port is", () => {
  const inbound = [{ remoteAddress: "10.0.0.2:40000", outbound: false, peer: "02:00:00:00:00:02" }];
  for (const [given, expected] of [
    [false, []],
    [true, ["10.0.0.2:6783"]],
  ] as const) {
    const maker = make();
    maker.connect([target("10.0.0.2", 6783, given)], false, 0);
    assert.deepEqual(due(maker, 0, inbound), expected);
  }
});

test("addresses that others reach are discovered; behind an inbound link our own port is guessed; without discovery none is", () => {
  const records = [
    {
      name: parseMac("::2"),
      nickname: "",
      key: "",
      uid: "",
      incarnation: 1,
      version: 1,
      links: [
        { to: parseMac("::3"), address: "10.0.0.3:7000", outbound: true, established: true },
        { to: parseMac("::4"), address: "10.0.0.4:51000", outbound: false, established: true },
        { to: self, address: "10.0.0.1:6783", outbound: true, established: true },
      ],
    },
  ];
  const connected = [{ remoteAddress: "10.0.0.2:6783", outbound: true, peer: parseMac("::2") }];
  assert.deepEqual(
    make()
      .due(0, connected, records, self)
      .map(({ address }) => address),
    ["10.0.0.3:7000", "10.0.0.4:6783"],
  );
  assert.deepEqual(make({ discovery: false }).due(0, connected, records, self), []);
});

test("a discovered address is forgotten when nobody reaches it any more; a target never", () => {
  const links = [{ to: parseMac("::3"), address: "10.0.0.3:6783", outbound: true, established: true }];
  const record = { name: parseMac("::2"), nickname: "", key: "", uid: "", incarnation: 1, version: 1, links };
  const maker = make();
  maker.connect([target("10.0.0.9")], false, 0);
  maker.due(0, [], [record], self);
  for (const address of ["10.0.0.3:6783", "10.0.0.9:6783"]) maker.failed(address, "refused", 0);
  maker.due(1, [], [], self);
  assert.deepEqual(
    maker.status().map(({ address }) => address),
    ["10.0.0.9:6783"],
  );
});

test("the limit counts connections and attempts together", () => {
  const maker = make({ limit: 2 });
  maker.connect([target("10.0.0.2"), target("10.0.0.3"), target("10.0.0.4")], false, 0);
  const one = [{ remoteAddress: "10.0.0.9:40000", outbound: false, peer: "02:00:00:00:00:09" }];
  assert.equal(due(maker, 0, one).length, 1);
  assert.equal(due(maker, 0, one).length, 0);
});

test("forget needs the words of connect, and replace drops what is not named", () => {
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

test("two addresses of one peer: while one is connected, the other is left alone", () => {
  const maker = make();
  maker.connect([target("10.0.0.2", 6783, true)], false, 0);
  due(maker, 0);
  maker.failed("10.0.0.2:6783", "Multiple connections", 0, { peer: "02:00:00:00:00:02" });
  const other = [{ remoteAddress: "10.9.9.9:40000", outbound: false, peer: "02:00:00:00:00:02" }];
  assert.deepEqual(due(maker, 1e9, other), []);
  assert.deepEqual(due(maker, 1e9), ["10.0.0.2:6783"]);
});
