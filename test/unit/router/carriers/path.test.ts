import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  BLOCKED_MS,
  BUSY_BEAT_MS,
  CONNECTING_PATIENCE_MS,
  IDLE_BEAT_MS,
  LOST_MS,
  Path,
  type PathEffect,
  SMALL_PING,
} from "#router/carriers/sleeve/path.js";
import { decodePathMessage, encodePathMessage } from "#router/datapath/path-message.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** Effects and traffic beside the pings of a path. */
interface Traffic {
  onEffect?: (effect: PathEffect, now: number) => void;
  /** Frames that are sent once a second. */
  frames?: "small" | "large" | undefined;
}

/** Runs a path against a network that answers pings of at most `carries(now)` bytes, until `ms` have passed. */
function drive(
  path: Path,
  carries: (now: number) => number,
  from: number,
  ms: number,
  { onEffect = () => {}, frames }: Traffic = {},
): number {
  let now = from;
  const follow = (effects: readonly PathEffect[]) => {
    for (const effect of effects) {
      onEffect(effect, now);
      if (effect.do === "ping" && effect.datagramBytes <= carries(now))
        follow(path.pong(effect.id, effect.datagramBytes, now));
    }
  };
  let framesAt = frames === undefined ? Number.POSITIVE_INFINITY : from;
  while (now < from + ms) {
    follow(path.tick(now));
    if (now >= framesAt) {
      framesAt += 1_000;
      follow(path.frames(frames === "large", now));
    }
    now = Math.max(now + 1, Math.min(path.wakeAt, framesAt, from + ms));
  }
  return now;
}

/** Both ends of a path, and the datagrams of each. */
class TwoEnds {
  readonly ends = [new Path(true, 0), new Path(false, 0)] as const;
  readonly seen: { end: number; effect: PathEffect; now: number }[] = [];
  now = 0;
  /** Whether a datagram of so many bytes passes from an end to the other. */
  passes: (from: number, bytes: number) => boolean = () => true;
  /** Bytes of IP packets that each end has sent. */
  readonly bytes = [0, 0];
  readonly framesOf: ("small" | "large" | undefined)[] = [undefined, undefined];

  constructor() {
    for (const end of this.ends) end.limit(1_472, 0);
  }

  run(ms: number): void {
    const until = this.now + ms;
    let framesAt = this.now;
    while (this.now < until) {
      for (const [i, path] of this.ends.entries()) {
        this.#follow(i, path.tick(this.now));
        const frames = this.framesOf[i];
        if (frames !== undefined && this.now >= framesAt) this.#follow(i, path.frames(frames === "large", this.now));
      }
      if (this.now >= framesAt) framesAt += 1_000;
      this.now = Math.max(this.now + 1, Math.min(this.ends[0].wakeAt, this.ends[1].wakeAt, framesAt, until));
    }
  }

  /** When an end saw an effect of this kind for the first time after `since`. */
  when(end: number, what: PathEffect["do"], since: number): number | undefined {
    return this.seen.find((each) => each.end === end && each.effect.do === what && each.now >= since)?.now;
  }

  #follow(end: number, effects: readonly PathEffect[]): void {
    const other = 1 - end;
    for (const effect of effects) {
      this.seen.push({ end, effect, now: this.now });
      if (effect.do !== "ping") continue;
      this.bytes[end] += 28 + effect.datagramBytes;
      if (!this.passes(end, effect.datagramBytes)) continue;
      this.bytes[other] += 28 + SMALL_PING;
      const answers = this.passes(other, SMALL_PING);
      this.#follow(other, this.ends[other].pinged(effect.before, this.now));
      if (answers) this.#follow(end, this.ends[end].pong(effect.id, effect.datagramBytes, this.now));
    }
  }
}

test("a path that carries every size is established by the first answer, and its full size is known after the second", () => {
  const path = new Path(true, 0);
  const seen: string[] = [];
  path.limit(1_472, 0);
  drive(path, () => 1_472, 0, 100, { onEffect: (effect) => void seen.push(effect.do) });
  assert.deepEqual(seen, ["ping", "established", "ping", "size"]);
  assert.equal(path.datagramBytes, 1_472);
  assert.equal(path.reason, "the size of our own link");
});

test("the search finds any size of path to within a few bytes, for any ceiling", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: FLOOR_DATAGRAM, max: 9_188 }),
      fc.integer({ min: FLOOR_DATAGRAM, max: 9_188 }),
      (carries, ceiling) => {
        const path = new Path(true, 0);
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

test("a path that shrinks under traffic falls back within some heartbeats, and a larger size is found when the path grows", () => {
  const path = new Path(true, 0);
  path.limit(1_472, 0);
  let now = drive(path, () => 1_472, 0, 1_000);
  now = drive(path, () => 1_000, now, 3 * BUSY_BEAT_MS, { frames: "large" });
  assert.ok(path.datagramBytes <= 1_000 && path.datagramBytes > 980, String(path.datagramBytes));
  assert.equal(path.state, "established");
  drive(path, () => 1_472, now, 6 * 60_000, { frames: "large" });
  assert.equal(path.datagramBytes, 1_472);
});

test("a path that shrank while it was idle is noticed within 3 s of the first large frame", () => {
  const path = new Path(true, 0);
  path.limit(1_472, 0);
  const now = drive(path, (at) => (at < 10_000 ? 1_472 : 1_000), 0, 300_000);
  assert.equal(path.datagramBytes, 1_472);
  drive(path, () => 1_000, now, 3_000, { frames: "large" });
  assert.ok(path.datagramBytes <= 1_000, String(path.datagramBytes));
});

test("an idle path that carries less than our link is not searched forever", () => {
  const path = new Path(true, 0);
  path.limit(8_972, 0);
  let now = drive(path, () => 1_472, 0, 30_000);
  let largest = 0;
  now = drive(path, () => 1_472, now, 3_600_000, {
    onEffect: (effect) => {
      if (effect.do === "ping") largest = Math.max(largest, effect.datagramBytes);
    },
  });
  assert.equal(largest, SMALL_PING);
  const tried = new Set<number>();
  drive(path, () => 1_472, now, 1_000, {
    frames: "large",
    onEffect: (effect) => void (effect.do === "ping" && tried.add(effect.datagramBytes)),
  });
  assert.ok(tried.has(8_972), "the first large frame brings another search");
});

test("a path without answers is lost within three seconds, and probed forever, but less often after a minute", () => {
  const path = new Path(true, 0);
  const seen: [string, number][] = [];
  const pings = [0, 0];
  drive(path, () => 0, 0, 20 * 60_000, {
    onEffect: (effect, now) => {
      if (effect.do === "ping") pings[now < 60_000 ? 0 : 1]++;
      else seen.push([effect.do, now]);
    },
  });
  assert.deepEqual(seen, [
    ["lost", CONNECTING_PATIENCE_MS],
    ["doubt", CONNECTING_PATIENCE_MS],
  ]);
  assert.ok(pings[0] >= 30 && pings[0] < 50, `${pings[0]} pings in the first minute`);
  assert.ok(Math.abs(pings[1] - (19 * 60_000) / BLOCKED_MS) < 5, `${pings[1]} pings in 19 minutes`);
});

test("a path that falls silent is lost within 12 s, idle or not, and back within 15 s when it answers again", () => {
  for (const frames of [undefined, "small", "large"] as const) {
    for (const offset of [0, 700, 1_500, 2_900, 4_400]) {
      const path = new Path(true, 0);
      path.limit(1_472, 0);
      const blockedAt = 60_000 + offset;
      const againAt = blockedAt + 90_000;
      const seen: [string, number][] = [];
      drive(path, (now) => (now >= blockedAt && now < againAt ? 0 : 1_472), 0, 300_000, {
        frames,
        onEffect: (effect, now) => effect.do !== "ping" && now > 1_000 && seen.push([effect.do, now]),
      });
      const [doubt, lost, back, sure, size] = seen;
      assert.deepEqual(
        [doubt[0], lost[0], back[0], sure[0], size[0], seen.length],
        ["doubt", "lost", "established", "doubt", "size", 5],
      );
      assert.ok(lost[1] - blockedAt <= LOST_MS, `${lost[1] - blockedAt} ms`);
      assert.ok(doubt[1] - blockedAt <= (frames === undefined ? IDLE_BEAT_MS : BUSY_BEAT_MS) + 1_600);
      assert.ok(back[1] - againAt <= BLOCKED_MS + 1_500, `${back[1] - againAt} ms`);
      assert.equal(path.datagramBytes, 1_472);
    }
  }
});

test("a path that loses a third of its datagrams is never lost, nor is its size for long", () => {
  for (const frames of [undefined, "small", "large"] as const) {
    const random = seededRandom(5);
    const path = new Path(true, 0);
    path.limit(1_472, 0);
    let full = 0;
    let beats = 0;
    drive(path, () => (random.below(100) < 33 ? 0 : 1_472), 0, 3_600_000, {
      frames,
      onEffect: (effect) => {
        assert.notEqual(effect.do, "lost");
        if (effect.do !== "ping") return;
        beats++;
        if (path.datagramBytes === 1_472) full++;
      },
    });
    assert.ok(full / beats > 0.5, `${full} of ${beats}`);
  }
});

test("one exchange proves an idle path to both ends: each sends less than 20 bytes a second", () => {
  const both = new TwoEnds();
  both.run(60_000);
  both.bytes.fill(0);
  both.run(600_000);
  for (const bytes of both.bytes) assert.ok(bytes / 600 < 20, `${bytes / 600} B/s`);
  assert.deepEqual(
    both.ends.map(({ state, datagramBytes }) => [state, datagramBytes]),
    [
      ["established", 1_472],
      ["established", 1_472],
    ],
  );
  assert.ok(
    both.seen.every(({ effect, now }) => effect.do !== "doubt" || now < 1_000),
    "neither end ever doubts",
  );
});

test("a cut one way or both ways is noticed by both ends within 12 s, with frames from either end or none", () => {
  const kinds = [undefined, "small", "large"] as const;
  for (const cut of [[0], [1], [0, 1]])
    for (const leader of kinds)
      for (const follower of kinds)
        for (const offset of [0, 900, 2_500, 4_999]) {
          const both = new TwoEnds();
          both.framesOf[0] = leader;
          both.framesOf[1] = follower;
          both.run(60_000 + offset);
          const from = both.now;
          both.passes = (end) => !cut.includes(end);
          both.run(30_000);
          for (const end of [0, 1]) {
            const lost = both.when(end, "lost", from);
            const what = `${cut} cut, ${leader} and ${follower} frames, end ${end}: ${lost && lost - from} ms`;
            assert.ok(lost !== undefined && lost - from <= LOST_MS + 100, what);
            const doubt = both.when(end, "doubt", from)!;
            assert.ok(doubt - from <= IDLE_BEAT_MS + 3_100, `${what}, doubt after ${doubt - from} ms`);
          }
        }
});

test("while both ends lose a third each way, neither loses the path", () => {
  for (const seed of [1, 2, 3]) {
    const random = seededRandom(seed);
    const both = new TwoEnds();
    both.framesOf[0] = seed === 2 ? "large" : undefined;
    both.run(10_000);
    both.passes = () => random.below(100) >= 30;
    both.run(3_600_000);
    assert.ok(both.seen.every(({ effect }) => effect.do !== "lost"));
  }
});

test("a process that was stopped for 20 s does not count that time as silence of the other end", () => {
  for (const asleepAt of [30_000, 33_000, 34_999]) {
    const path = new Path(true, 0);
    path.limit(1_472, 0);
    const now = drive(path, () => 1_472, 0, asleepAt) + 20_000;
    drive(path, () => 1_472, now, 20_000, { onEffect: (effect) => assert.equal(effect.do, "ping") });
  }
});

test("one answer on a lost path does not bring it back; three in a row do", () => {
  const path = new Path(true, 0);
  drive(path, () => 0, 0, CONNECTING_PATIENCE_MS + 1);
  assert.equal(path.state, "lost");
  const now = 10_000;
  path.pong(1, FLOOR_DATAGRAM, now);
  path.pong(2, FLOOR_DATAGRAM, now + 500);
  assert.equal(path.state, "lost");
  path.pong(3, FLOOR_DATAGRAM, now + 1_000);
  assert.equal(path.state, "established");
});

test("a smaller MTU of our own link takes effect immediately", () => {
  const path = new Path(true, 0);
  path.limit(1_472, 0);
  drive(path, () => 1_472, 0, 1_000);
  const sizes = path.limit(1_172, 1_000).filter((effect) => effect.do === "size");
  assert.deepEqual(sizes, [{ do: "size", datagramBytes: FLOOR_DATAGRAM }]);
  drive(path, () => 1_172, 1_000, 1_000);
  assert.equal(path.datagramBytes, 1_172);
});

test("path messages are decoded as they were encoded; other bytes are rejected", () => {
  for (const before of ["answered", "unanswered", undefined] as const) {
    const message = { type: "ping", id: 0xdeadbeef, datagramBytes: 1_472, before } as const;
    assert.deepEqual(decodePathMessage(encodePathMessage(message)), message);
  }
  for (const bytes of [new Uint8Array(0), new Uint8Array(7), new Uint8Array(64), new Uint8Array(64).fill(9)])
    assert.equal(decodePathMessage(bytes), undefined);
});
