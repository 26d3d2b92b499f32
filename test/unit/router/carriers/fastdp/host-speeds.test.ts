import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { type CarrierSpeeds, keepSpeeds, tunnelComesFirst } from "#router/carriers/fastdp/carrier-speeds.js";
import { HostSpeeds, MEASURE_AFTER_MS, MEASURE_AGAIN_MS } from "#router/carriers/fastdp/host-speeds.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const SPEEDS: CarrierSpeeds = { wireguard: 310e6, sleeve: 4.26e6 };

function host(measure: (signal: AbortSignal) => Promise<CarrierSpeeds>, store = memoryStore()) {
  const clock = new VirtualClock();
  let measured = 0;
  const counted = (signal: AbortSignal) => {
    measured++;
    return measure(signal);
  };
  const speeds = new HostSpeeds({ measure: counted, store, clock, log: silentLog });
  const found: CarrierSpeeds[] = [];
  return {
    clock,
    store,
    speeds,
    found,
    measured: () => measured,
    start: () => speeds.start((each) => found.push(each)),
  };
}

test("speeds are measured once, after the start, and kept for later starts on the same kernel and processor", async () => {
  const first = host(async () => SPEEDS);
  assert.equal(first.speeds.text, "not measured yet");
  first.start();
  await first.clock.run(MEASURE_AFTER_MS - 1);
  assert.equal(first.measured(), 0);
  await first.clock.run(1);
  assert.deepEqual([first.found, first.speeds.known], [[SPEEDS], SPEEDS]);
  assert.equal(first.speeds.text, "measured: WireGuard 310 MB/s, sleeve 4.3 MB/s");
  const later = host(async () => SPEEDS, first.store);
  later.start();
  assert.deepEqual(later.found, [SPEEDS], "before the first connection");
  await later.clock.run(2 * MEASURE_AFTER_MS);
  assert.equal(later.measured(), 0);
});

test("what another kernel has kept, or is damaged, is measured again", async () => {
  const store = memoryStore();
  keepSpeeds(store, SPEEDS);
  const kept = store.get("fastdp/speeds") as object;
  for (const damaged of [{ ...kept, on: "5.4.0, Another Processor, 2" }, { ...kept, sleeve: -1 }, "x", { on: 1 }]) {
    store.put("fastdp/speeds", damaged);
    const again = host(async () => SPEEDS, store);
    again.start();
    assert.deepEqual(again.found, []);
    await again.clock.run(MEASURE_AFTER_MS);
    assert.equal(again.measured(), 1);
  }
});

test("a measurement that fails, or in which all is lost, leaves the order as it was, and says why", async () => {
  const without = host(() => Promise.reject(new Error("the kernel has no WireGuard")));
  without.start();
  await without.clock.run(MEASURE_AFTER_MS);
  assert.deepEqual([without.found, without.speeds.text], [[], "cannot be measured: the kernel has no WireGuard"]);
  const lost = host(async () => ({ wireguard: 0, sleeve: 1e9 }));
  lost.start();
  await lost.clock.run(MEASURE_AFTER_MS);
  assert.deepEqual([lost.found, lost.store.get("fastdp/speeds")], [[], undefined]);
  const stopped = host(async () => SPEEDS);
  stopped.start();
  await stopped.speeds.stop();
  await stopped.clock.run(2 * MEASURE_AFTER_MS);
  assert.equal(stopped.measured(), 0);
});

test("a measurement that has failed is repeated until one succeeds", async () => {
  const results = [{ wireguard: 0, sleeve: 1e9 }, { wireguard: 0, sleeve: 0 }, SPEEDS];
  const busy = host(async () => results.shift()!);
  busy.start();
  await busy.clock.run(MEASURE_AFTER_MS + MEASURE_AGAIN_MS);
  assert.deepEqual([busy.measured(), busy.found], [2, []]);
  await busy.clock.run(MEASURE_AGAIN_MS);
  assert.deepEqual([busy.found, busy.speeds.known], [[SPEEDS], SPEEDS]);
  await busy.clock.run(2 * MEASURE_AGAIN_MS);
  assert.equal(busy.measured(), 3);

  const stopped = host(() => Promise.reject(new Error("busy")));
  stopped.start();
  await stopped.clock.run(MEASURE_AFTER_MS);
  await stopped.speeds.stop();
  await stopped.clock.run(2 * MEASURE_AGAIN_MS);
  assert.equal(stopped.measured(), 1);
});

test("a measurement under way ends with the router, which waits until it has closed what it had opened", async () => {
  let isClosed = false;
  const stopped = host(async (signal) => {
    await once(signal, "abort");
    isClosed = true;
    throw signal.reason;
  });
  stopped.start();
  await stopped.clock.run(MEASURE_AFTER_MS);
  await stopped.speeds.stop();
  assert.ok(isClosed);
  await stopped.clock.run(2 * MEASURE_AGAIN_MS);
  assert.deepEqual([stopped.measured(), stopped.speeds.text], [1, "not measured yet"]);
});

test("the order is the same at both ends", () => {
  const wishes = [
    { choice: "on", speeds: undefined },
    { choice: "auto", speeds: undefined },
    { choice: "auto", speeds: { wireguard: 1e8, sleeve: 2e8 } },
    { choice: "auto", speeds: { wireguard: 2e8, sleeve: 1e8 } },
    { choice: "auto", speeds: { wireguard: 3e8, sleeve: 3e8 } },
  ] as const;
  const first = (a: number, b: number) => tunnelComesFirst(wishes[a], wishes[b]).first;
  for (let a = 0; a < wishes.length; a++)
    for (let b = 0; b < wishes.length; b++) assert.equal(first(a, b), first(b, a), `${a} ${b}`);
  assert.deepEqual(
    wishes.map((_, i) => first(i, i)),
    [true, false, false, true, true],
  );
  assert.equal(first(0, 1), true);
  assert.equal(first(2, 3), true, "equal, as the slower end decides of each");
  assert.equal(first(2, 4), false);
});
