import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FLOOR_DATAGRAM, SAFE_DATAGRAMS } from "#router/datapath/session.js";
import { decodePathMessage, encodePathMessage } from "#router/sleeve/control.js";
import { DataKeys, type KeyEffect, type RekeyMessage } from "#router/sleeve/keys.js";
import { CONNECTING_PATIENCE_MS, HEARTBEAT_MS, LOST_MS, Path, type PathEffect } from "#router/sleeve/path.js";
import { RecordSize } from "#router/sleeve/record-size.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** Runs a path against a network that answers pings of at most `carries(now)` bytes, until `ms` have passed. */
function drive(
  path: Path,
  carries: (now: number) => number,
  from: number,
  ms: number,
  onEffect: (effect: PathEffect, now: number) => void = () => {},
): number {
  let now = from;
  const follow = (effects: readonly PathEffect[]) => {
    for (const effect of effects) {
      onEffect(effect, now);
      if (effect.do === "ping" && effect.datagramBytes <= carries(now))
        follow(path.pong(effect.id, effect.datagramBytes, now));
    }
  };
  while (now < from + ms) {
    follow(path.tick(now));
    now = Math.max(now + 1, Math.min(path.wakeAt, from + ms));
  }
  return now;
}

test("a path that carries all is established by one answer, and its full size known by the next", () => {
  const path = new Path(0);
  const seen: string[] = [];
  path.limit(1_472, 0);
  drive(
    path,
    () => 1_472,
    0,
    100,
    (effect) => void seen.push(effect.do),
  );
  assert.deepEqual(seen, ["ping", "established", "ping", "size"]);
  assert.equal(path.datagramBytes, 1_472);
  assert.equal(path.reason, "the size of our own link");
});

test("any size of path is found to within a few bytes, whatever the ceiling", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: FLOOR_DATAGRAM, max: 9_188 }),
      fc.integer({ min: FLOOR_DATAGRAM, max: 9_188 }),
      (carries, ceiling) => {
        const path = new Path(0);
        path.limit(ceiling, 0);
        drive(path, () => carries, 0, 30_000);
        const best = Math.min(carries, ceiling);
        assert.ok(path.datagramBytes <= best && path.datagramBytes >= best - 8, `${path.datagramBytes} of ${best}`);
        const [, refused] = /^datagrams of (\d+) bytes do not pass$/.exec(path.reason) ?? [];
        if (path.datagramBytes < ceiling) assert.ok(Number(refused) > carries || ceiling - best <= 8, path.reason);
      },
    ),
    { numRuns: 300 },
  );
});

test("a path that shrinks falls back within some heartbeats, and one that grows again is found", () => {
  const path = new Path(0);
  path.limit(1_472, 0);
  let now = drive(path, () => 1_472, 0, 1_000);
  now = drive(path, () => 1_000, now, 6 * HEARTBEAT_MS);
  assert.ok(path.datagramBytes <= 1_000 && path.datagramBytes > 980, String(path.datagramBytes));
  assert.equal(path.state, "established");
  drive(path, () => 1_472, now, 11 * 60_000);
  assert.equal(path.datagramBytes, 1_472);
});

test("a path without answers is lost within three seconds, and asked on for ever", () => {
  const path = new Path(0);
  const seen: [string, number][] = [];
  let pings = 0;
  drive(
    path,
    () => 0,
    0,
    10 * 60_000,
    (effect, now) => (effect.do === "ping" ? void pings++ : void seen.push([effect.do, now])),
  );
  assert.deepEqual(seen, [["lost", CONNECTING_PATIENCE_MS]]);
  assert.ok(pings > 250 && pings < 400, `${pings} pings in ten minutes`);
});

test("a path that falls silent is lost within 15 s, and back within 30 s when it answers again", () => {
  for (const offset of [0, 700, 1_500, 2_900]) {
    const path = new Path(0);
    path.limit(1_472, 0);
    const blockedAt = 60_000 + offset;
    const againAt = blockedAt + 90_000;
    const seen: [string, number][] = [];
    drive(
      path,
      (now) => (now >= blockedAt && now < againAt ? 0 : 1_472),
      0,
      300_000,
      (effect, now) => effect.do !== "ping" && now > 1_000 && seen.push([effect.do, now]),
    );
    const [lost, back, size] = seen;
    assert.deepEqual([lost[0], back[0], size[0], seen.length], ["lost", "established", "size", 3]);
    assert.ok(lost[1] - blockedAt <= LOST_MS, `${lost[1] - blockedAt} ms`);
    assert.ok(back[1] - againAt <= 5_000, `${back[1] - againAt} ms`);
    assert.equal(path.datagramBytes, 1_472);
  }
});

test("a path that loses a third of what it carries is never given up, nor its size for long", () => {
  const random = seededRandom(5);
  const path = new Path(0);
  path.limit(1_472, 0);
  let full = 0;
  let beats = 0;
  drive(
    path,
    () => (random.below(100) < 33 ? 0 : 1_472),
    0,
    3_600_000,
    (effect) => {
      assert.notEqual(effect.do, "lost");
      if (effect.do !== "ping") return;
      beats++;
      if (path.datagramBytes === 1_472) full++;
    },
  );
  assert.ok(full / beats > 0.5, `${full} of ${beats}`);
});

test("one answer on a lost path does not bring it back; three in a row do", () => {
  const path = new Path(0);
  path.tick(CONNECTING_PATIENCE_MS);
  assert.equal(path.state, "lost");
  const now = 10_000;
  path.pong(1, FLOOR_DATAGRAM, now);
  path.pong(2, FLOOR_DATAGRAM, now + 500);
  assert.equal(path.state, "lost");
  path.pong(3, FLOOR_DATAGRAM, now + 1_000);
  assert.equal(path.state, "established");
});

test("records shrink under loss, by the loss of datagrams, and grow again when it has gone", () => {
  const random = seededRandom(9);
  const run = (size: RecordSize, from: number, seconds: number, loss: number): number => {
    let now = from;
    for (; now < from + seconds * 1_000; now += 500) {
      // 20,000 datagrams in half a second, each lost by chance; a record needs all of its own.
      const expected = Math.floor(20_000 / size.datagrams);
      let accepted = 0;
      for (let i = 0; i < expected; i++) {
        let whole = true;
        for (let n = 0; n < size.datagrams; n++) whole = random.below(100_000) >= loss * 100_000 && whole;
        if (whole) accepted++;
      }
      size.report({ expected, accepted, datagrams: accepted * size.datagrams }, now);
    }
    return now;
  };
  const size = new RecordSize(0);
  assert.equal(size.datagrams, SAFE_DATAGRAMS);
  let now = run(size, 0, 4, 0);
  assert.equal(size.datagrams, 8);
  now = run(size, now, 4, 0.003);
  assert.equal(size.datagrams, 4);
  now = run(size, now, 4, 0.01);
  assert.equal(size.datagrams, 1);
  assert.ok(Math.abs(size.loss - 0.01) < 0.003, String(size.loss));
  now = run(size, now, 15, 0.05);
  assert.ok(Math.abs(size.loss - 0.05) < 0.01, String(size.loss));
  now = run(size, now, 60, 0.0003);
  assert.equal(size.datagrams, 8);
});

test("reports that cannot be true change nothing", () => {
  const size = new RecordSize(0);
  for (const report of [
    { expected: 0, accepted: 0, datagrams: 0 },
    { expected: 10, accepted: 5, datagrams: 2 },
    { expected: 100_000, accepted: 0, datagrams: 100_000 },
  ])
    assert.equal(size.report(report, 1), false);
  // More than was sent: the late ones of the report before.
  size.report({ expected: 10_000, accepted: 40_000, datagrams: 40_000 }, 2);
  assert.equal(size.loss, 0);
});

test("records that come late, after the report that misses them, are not lost", () => {
  const size = new RecordSize(0);
  let now = 0;
  const report = (accepted: number) => {
    now += 500;
    size.report({ expected: 2_000, accepted, datagrams: 4 * accepted }, now);
  };
  for (let i = 0; i < 60; i++) {
    // Others have overtaken thirty; at the next report they have come.
    report(1_970);
    report(2_030);
    assert.ok(size.loss < 0.0001, `${size.loss} at ${now} ms`);
  }
  assert.equal(size.datagrams, 8);
  for (let i = 0; i < 60; i++) report(1_970);
  assert.ok(Math.abs(size.loss - 0.00375) < 0.0003, `${size.loss} of what did not come at all`);
});

test("a link that shrinks under us is followed at once", () => {
  const path = new Path(0);
  path.limit(1_472, 0);
  drive(path, () => 1_472, 0, 1_000);
  const sizes = path.limit(1_172, 1_000).filter((effect) => effect.do === "size");
  assert.deepEqual(sizes, [{ do: "size", datagramBytes: FLOOR_DATAGRAM }]);
  drive(path, () => 1_172, 1_000, 1_000);
  assert.equal(path.datagramBytes, 1_172);
});

test("path messages survive the wire, and rubbish is none", () => {
  const message = { type: "ping", id: 0xdeadbeef, datagramBytes: 1_472 } as const;
  assert.deepEqual(decodePathMessage(encodePathMessage(message)), message);
  for (const bytes of [new Uint8Array(0), new Uint8Array(7), new Uint8Array(64), new Uint8Array(64).fill(9)])
    assert.equal(decodePathMessage(bytes), undefined);
});

type Installed = { direction: string; epoch: number; key: string; salt: string };

/** Two ends, and the messages between them. */
function ends() {
  const secret = new Uint8Array(32).fill(3);
  const [a, b] = [new DataKeys(true, secret, seededRandom(1)), new DataKeys(false, secret, seededRandom(2))];
  const installed: Installed[][] = [[], []];
  const apply = (end: 0 | 1, effects: readonly KeyEffect[]): RekeyMessage[] => {
    const messages: RekeyMessage[] = [];
    for (const effect of effects) {
      if (effect.do === "send") messages.push(effect.message);
      else
        installed[end].push({
          direction: effect.direction,
          epoch: effect.epoch,
          key: Buffer.from(effect.key).toString("hex"),
          salt: Buffer.from(effect.salt).toString("hex"),
        });
    }
    return messages;
  };
  return { a, b, installed, apply };
}

test("both ends have the same keys, one for each direction and generation, and no two alike", () => {
  const { a, b, installed, apply } = ends();
  apply(0, a.start());
  apply(1, b.start());
  for (let round = 0; round < 3; round++) {
    const [offer] = apply(0, a.rekey());
    const [answer] = apply(1, b.receive(offer));
    const [done] = apply(0, a.receive(answer));
    apply(1, b.receive(done));
  }
  const pick = (end: number, direction: string) =>
    installed[end].filter((key) => key.direction === direction).map(({ epoch, key, salt }) => ({ epoch, key, salt }));
  assert.deepEqual(pick(0, "seal"), pick(1, "open"));
  assert.deepEqual(pick(1, "seal"), pick(0, "open"));
  const keys = installed[0].map(({ key }) => key);
  assert.equal(new Set(keys).size, 8);
});

test("no end seals with a generation before the other can open it", () => {
  const { a, b, installed, apply } = ends();
  apply(0, a.start());
  apply(1, b.start());
  const [offer] = apply(0, a.rekey());
  const [answer] = apply(1, b.receive(offer));
  assert.equal(installed[1].filter(({ direction, epoch }) => direction === "seal" && epoch === 1).length, 0);
  const [done] = apply(0, a.receive(answer));
  assert.equal(installed[0].filter(({ direction, epoch }) => direction === "open" && epoch === 1).length, 1);
  apply(1, b.receive(done));
  assert.equal(installed[1].filter(({ direction, epoch }) => direction === "seal" && epoch === 1).length, 1);
});

test("rekey messages out of turn are refused and change nothing; an offer that was lost is made again", () => {
  const { a, b, apply } = ends();
  const key = new Uint8Array(32).fill(9);
  for (const message of [
    { kind: "rekey-answer", epoch: 1, key },
    { kind: "rekey-offer", epoch: 2, key },
    { kind: "rekey-done", epoch: 7 },
  ] as const) {
    assert.throws(() => a.receive(message), { code: "WEAVE_MESSAGE_MALFORMED" });
    assert.throws(() => b.receive(message), { code: "WEAVE_MESSAGE_MALFORMED" });
  }
  apply(0, a.rekey());
  const [offer] = apply(0, a.rekey());
  const [answer] = apply(1, b.receive(offer));
  apply(0, a.receive(answer));
  assert.equal(a.epoch, 1);
  assert.equal(b.epoch, 1);
});
