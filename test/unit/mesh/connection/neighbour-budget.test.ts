import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_SHARE, MeteredWire, TURN_MS } from "#mesh/connection/metered-wire.js";
import {
  BURST_MS,
  costOf,
  EXCESS_SHARE,
  MAX_PAUSE_MS,
  NEIGHBOUR_SHARE,
  NeighbourBudgets,
  RESERVE_MS,
} from "#mesh/connection/neighbour-budget.js";
import { MESSAGE } from "#mesh/handshake/format.js";
import { makeSigner } from "#mesh/signing.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import { parseMac } from "#src/mac.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const MINUTE_MS = 60_000;
const nameOf = (i: number) => parseMac(`::${(i + 1).toString(16)}`);

/** Charges `cost` again and again, as soon as the neighbour is read again. @returns the share of the time that it took */
function flood(budgets: NeighbourBudgets, peers: number, cost: number, forMs: number): number {
  const next = Array.from({ length: peers }, () => 0);
  let used = 0;
  for (let now = 0; now < forMs; now += 1) {
    for (let i = 0; i < peers; i++) {
      if (next[i] > now) continue;
      used += cost;
      next[i] = now + cost + budgets.charge(nameOf(i), cost, now + cost);
    }
  }
  return used / forMs;
}

const none = () => {};

/** The wire below the metered one. */
const wireWith = (parts: Partial<Wire>): Wire => ({
  remoteAddress: "10.0.0.1:6783",
  localAddress: "10.0.0.2:6783",
  buffered: 0,
  received: 0,
  quietMs: 0,
  ...{ send: none, close: none, terminate: none, pause: none, resume: none, listen: none },
  ...parts,
});

test("a neighbour that sends all the time takes its share of a core, and once the burst and the reserve", () => {
  const budgets = new NeighbourBudgets();
  const share = flood(budgets, 1, 5, 10 * MINUTE_MS);
  assert.ok(share > NEIGHBOUR_SHARE && share < 0.25, `${share}`);
  const [{ peer, slowed, pausedMs, usedMs }] = budgets.slowed(10 * MINUTE_MS);
  assert.deepEqual([peer, slowed], [nameOf(0), true]);
  assert.ok(pausedMs > 7 * MINUTE_MS && usedMs > 0.15 * 10 * MINUTE_MS, `${pausedMs} ${usedMs}`);
  assert.equal(Math.round(budgets.pausedMs), pausedMs);
});

test("fifty neighbours that send all the time take less than half of a core together", () => {
  const share = flood(new NeighbourBudgets(), 50, 5, 10 * MINUTE_MS);
  assert.ok(share > EXCESS_SHARE && share < 0.65, `${share}`);
});

test("who stays within the burst is never slowed; a new connection brings no new burst", () => {
  const budgets = new NeighbourBudgets();
  assert.equal(budgets.charge("02:00:00:00:00:01", BURST_MS, 0), 0);
  assert.deepEqual(budgets.slowed(0), []);
  // The reserve, then.
  assert.equal(budgets.charge("02:00:00:00:00:01", RESERVE_MS, 0), 0);
  const pause = budgets.charge("02:00:00:00:00:01", 15, 0);
  assert.equal(pause, 15 / NEIGHBOUR_SHARE);
  // Another neighbour has its own burst, and no reserve.
  assert.equal(budgets.charge("02:00:00:00:00:02", BURST_MS, 0), 0);
  assert.ok(budgets.charge("02:00:00:00:00:02", 100, 0) > 0);
  // After some minutes everything is as in the beginning.
  assert.equal(budgets.charge("02:00:00:00:00:01", BURST_MS + RESERVE_MS, 10 * MINUTE_MS), 0);
  assert.deepEqual(
    budgets.slowed(10 * MINUTE_MS).map((each) => each.slowed),
    [false, false],
  );
});

test("a pause is shorter than the silence of a suspected peer, whatever a message has cost", () => {
  const budgets = new NeighbourBudgets();
  assert.equal(budgets.charge("02:00:00:00:00:01", 3_600_000, 0), MAX_PAUSE_MS);
  // The debt of an hour is not kept: a minute's is.
  assert.equal(budgets.charge("02:00:00:00:00:01", 0, 10 * MINUTE_MS), 0);
});

test("a wire in debt is not read until its pause ends, and counts signatures where no time passes", async () => {
  const clock = new VirtualClock();
  const budgets = new NeighbourBudgets();
  budgets.charge("02:00:00:00:00:01", BURST_MS + RESERVE_MS, clock.now());
  const calls: string[] = [];
  let handlers: WireHandlers | undefined;
  const inner = wireWith({
    send: () => void calls.push("send"),
    close: () => void calls.push("close"),
    terminate: () => void calls.push("terminate"),
    pause: () => void calls.push("pause"),
    resume: () => void calls.push("resume"),
    listen: (given) => {
      handlers = given;
    },
  });
  const reported: string[] = [];
  const received: [number, boolean][] = [];
  const signer = makeSigner(new Uint8Array(32));
  const wire = new MeteredWire(inner, {
    clock,
    cpuTime: () => clock.now(),
    signer,
    budgets,
    received: (bytes, isPart) => void received.push([bytes, isPart]),
    slowed: (peer) => void reported.push(peer),
  });
  const signature = signer.sign("rekey", new Uint8Array(1));
  wire.listen({
    message: () => {
      for (let i = 0; i < 100; i++) signer.verify(signer.identity, "rekey", new Uint8Array(1), signature);
    },
    closed() {},
  });
  handlers!.message(new Uint8Array(10));
  assert.deepEqual(calls, [], "who is not authenticated is not charged");
  handlers!.message(Uint8Array.of(MESSAGE.dataMore, 1));
  assert.deepEqual(received, [
    [10, false],
    [2, true],
  ]);
  wire.charge("02:00:00:00:00:01");
  handlers!.message(new Uint8Array(10));
  assert.deepEqual([calls, reported], [["pause"], ["02:00:00:00:00:01"]]);
  const pause = costOf(10, 0, 100) / NEIGHBOUR_SHARE;
  await clock.run(pause * 0.95);
  assert.deepEqual(calls, ["pause"]);
  await clock.run(pause * 0.1);
  assert.deepEqual(calls, ["pause", "resume"]);
  handlers!.message(new Uint8Array(10));
  wire.close();
  assert.deepEqual(calls, ["pause", "resume", "pause", "resume", "close"]);
});

test("the time of what is done after a message is charged to its sender", async () => {
  const clock = new VirtualClock();
  const budgets = new NeighbourBudgets();
  let now = 0;
  let handlers: WireHandlers | undefined;
  const inner = wireWith({
    listen: (given) => {
      handlers = given;
    },
  });
  const collects = () => {
    now += 25;
  };
  const signer = makeSigner(new Uint8Array(32));
  const deps = { clock, cpuTime: () => now, signer, budgets, received: collects, slowed: none };
  const wire = new MeteredWire(inner, deps);
  wire.listen({ message: none, closed: none });
  wire.charge("02:00:00:00:00:01");
  const ms = BURST_MS + RESERVE_MS;
  for (let i = 0; i <= ms / 20; i++) {
    handlers!.message(new Uint8Array(10));
    await clock.run(1);
  }
  const [{ usedMs }] = budgets.slowed(clock.now());
  assert.ok(usedMs >= ms, `${usedMs}`);
});

test("the time without reading is that of the clock, however many messages had arrived already", () => {
  const budgets = new NeighbourBudgets();
  budgets.charge("02:00:00:00:00:01", BURST_MS + RESERVE_MS, 0);
  for (let now = 0; now < 100; now++) budgets.charge("02:00:00:00:00:01", 10, now);
  const [{ pausedMs }] = budgets.slowed(100);
  assert.ok(pausedMs > 1_000 && pausedMs <= 99 + MAX_PAUSE_MS, `${pausedMs}`);
});

test("a neighbour within its share that sends very much at once gives way to the others after each turn", async () => {
  const clock = new VirtualClock();
  let now = 0;
  let paused = 0;
  let handlers: WireHandlers | undefined;
  const inner = wireWith({
    pause: () => void paused++,
    resume: () => void paused--,
    listen: (given) => {
      handlers = given;
    },
  });
  const budgets = new NeighbourBudgets();
  const signer = makeSigner(new Uint8Array(32));
  const wire = new MeteredWire(inner, { clock, cpuTime: () => now, signer, budgets, slowed: none });
  const handled: number[] = [];
  const closed: number[] = [];
  const message = (bytes: Uint8Array) => {
    now++;
    handled.push(bytes[0]);
  };
  wire.listen({ message, closed: () => void closed.push(handled.length) });
  wire.charge("02:00:00:00:00:01");
  // One read of the socket: of these messages each takes a millisecond.
  for (let i = 0; i < 100; i++) handlers!.message(Uint8Array.of(i));
  for (let turn = 1; paused > 0; turn++) {
    assert.ok(handled.length <= turn * TURN_MS, `${handled.length} messages after ${turn} turns`);
    await clock.run(1);
  }
  assert.deepEqual(
    handled,
    Array.from({ length: 100 }, (_, i) => i),
    "all in their sequence",
  );
  assert.ok(clock.now() >= 100 / TURN_MS, "in several turns");
  assert.deepEqual(budgets.slowed(clock.now()), [], "it is not slowed");
  // What waits when the other end closes the connection comes before its end.
  for (let i = 0; i < 50; i++) handlers!.message(Uint8Array.of(i));
  assert.ok(handled.length < 150);
  handlers!.closed("the other end");
  assert.deepEqual([handled.length, closed, paused], [150, [150], 0]);
});

test("frames over a connection pass evenly, at a share of their own, and leave its messages theirs", async () => {
  const clock = new VirtualClock();
  let handlers: WireHandlers | undefined;
  let pausedAt: number | undefined;
  let longest = 0;
  const inner = wireWith({
    pause: () => {
      pausedAt = clock.now();
    },
    resume: () => {
      longest = Math.max(longest, clock.now() - pausedAt!);
      pausedAt = undefined;
    },
    listen: (given) => {
      handlers = given;
    },
  });
  let worked = 0;
  let carried = 0;
  let isFrame = true;
  const budgets = new NeighbourBudgets();
  const signer = makeSigner(new Uint8Array(32));
  const slowed: string[] = [];
  const wire = new MeteredWire(inner, {
    ...{ clock, signer, budgets },
    cpuTime: () => worked,
    carried: () => carried,
    slowed: (peer) => void slowed.push(peer),
  });
  const message = () => {
    worked += 2;
    if (isFrame) carried++;
  };
  wire.listen({ message, closed: none });
  wire.charge("02:00:00:00:00:01");
  // For two minutes there is always one more.
  while (clock.now() < 120_000) {
    if (pausedAt === undefined) handlers!.message(new Uint8Array(1_000));
    else await clock.run(1);
  }
  // The clock stands still while messages are handled.
  const share = worked / (worked + 120_000);
  assert.ok(share > 0.9 * FRAME_SHARE && share < 1.1 * FRAME_SHARE, `${share} of a core`);
  assert.deepEqual(slowed, []);
  assert.ok(longest < 10 * TURN_MS, `${longest} ms`);
  isFrame = false;
  for (let i = 0; i < BURST_MS; i++) {
    handlers!.message(new Uint8Array(1_000));
    await clock.run(20);
  }
  assert.deepEqual(slowed, [], "messages had their whole share");
});
