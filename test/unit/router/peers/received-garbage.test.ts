import assert from "node:assert/strict";
import { test } from "node:test";
import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { ReceivedGarbage } from "#router/peers/received-garbage.js";
import { collectAll, collectYoung, releaseUnusedMemory, usedHeapBytes } from "#src/linux/native/heap.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const MB = 1 << 20;
const CHUNK = 64_000;

/** The most buffers that exist, in MB, while `total` bytes are received in messages of `parts` parts. */
function mostBuffers(total: number, parts: number): number {
  const clock = new VirtualClock();
  const garbage = new ReceivedGarbage({ clock, collectYoung, collectAll, usedHeapBytes, releaseUnusedMemory });
  collectAll();
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  const assemblies = new AssemblyBudget();
  const assembly = { drop() {} };
  for (let i = 1; i <= total / CHUNK; i++) {
    // As the socket, the frame and the cipher do.
    const copies = [1, 2, 3].map(() => Buffer.allocUnsafeSlow(CHUNK));
    const isLast = i % parts === 0;
    if (!isLast) assemblies.add(assembly, copies[2]);
    else if (parts > 1) assert.equal(assemblies.complete(assembly, copies[2]).length, parts * CHUNK);
    garbage.received(CHUNK, !isLast);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  return most / MB;
}

test("buffers of short messages take a few megabytes, at whatever rate they come", () => {
  const most = mostBuffers(256 * MB, 1);
  assert.ok(most < 40, `${most} MB`);
});

test("buffers of long messages take a few times the longest", () => {
  const most = mostBuffers(256 * MB, 150);
  assert.ok(most < 56, `${most} MB`);
});

test("what is decoded of long messages takes few megabytes, though it is not new any more when it is garbage", () => {
  const clock = new VirtualClock();
  collectAll();
  const garbage = new ReceivedGarbage({ clock, collectYoung, collectAll, usedHeapBytes, releaseUnusedMemory });
  const before = usedHeapBytes();
  let most = 0;
  for (let i = 0; i < 60; i++) {
    // Held while the message is handled, during which new objects are collected several times.
    const decoded = Array.from({ length: 40_000 }, (_, at) => ({ name: `${at}`, version: at }));
    for (let part = 0; part < 20; part++) garbage.received(CHUNK, part < 19);
    assert.equal(decoded.length, 40_000);
    most = Math.max(most, usedHeapBytes() - before);
  }
  assert.ok(most < 32 * MB, `${most / MB} MB`);
});

test("memory is returned to the kernel once after much was received, and not after little", async () => {
  const clock = new VirtualClock();
  let released = 0;
  const none = () => {};
  const releaseUnusedMemory = () => {
    released++;
  };
  const usedHeapBytes = () => 0;
  const collect = { collectYoung: none, collectAll: none, usedHeapBytes };
  const garbage = new ReceivedGarbage({ clock, ...collect, releaseUnusedMemory });
  garbage.received(MB, false);
  await clock.run(60_000);
  assert.equal(released, 0);
  for (let i = 0; i < 100; i++) garbage.received(MB, false);
  await clock.run(60_000);
  assert.equal(released, 1);
  await clock.run(60_000);
  assert.equal(released, 1);
});
