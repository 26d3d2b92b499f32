import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { MessagePort } from "node:worker_threads";
import { allowedOffloads } from "#router/datapath/offloads.js";
import { warmUp } from "#router/datapath/warm-up.js";
import { libc, libcrypto } from "#src/linux/native/libc.js";
import { Memory, withTemporaryMemory } from "#src/linux/native/memory.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";

const offloads = allowedOffloads([]);
const refused = hostTestsImpossible();

/** What a thread has that could remain: descriptors, its network, and the kilobytes that it has mapped. */
const state = () => ({
  descriptors: readdirSync("/proc/self/fd").length,
  network: readlinkSync("/proc/thread-self/ns/net"),
});
const mappedKb = () => Number(/VmData:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);

test("the warm-up moves frames of all kinds in both directions without a drop", { skip: refused ?? false }, () => {
  const result = warmUp({ cpuMs: 400, offloads })!;
  assert.equal(result.drops, 0);
  assert.ok(result.captured > 200 && result.delivered > 200 && result.relayed > 20, JSON.stringify(result));
});

test("without some of the offloads it does so, too", { skip: refused ?? false }, () => {
  for (const off of [["uso"], ["udp-gro"], ["udp-segment", "udp-gro"], ["openssl"]] as const) {
    const result = warmUp({ cpuMs: 120, offloads: allowedOffloads(off) })!;
    assert.ok(result.captured > 20 && result.delivered > 20, `${off}: ${JSON.stringify(result)}`);
  }
});

test("nothing of the warm-up remains: descriptors, network, memory", { skip: refused ?? false }, () => {
  warmUp({ cpuMs: 5, offloads });
  const [before, mapped] = [state(), mappedKb()];
  for (let i = 0; i < 20; i++) warmUp({ cpuMs: 1, offloads });
  assert.deepEqual(state(), before);
  // Each maps more than 4 MB. The heap of the engine moves by some.
  assert.ok(mappedKb() - mapped < 40_000, `${mappedKb() - mapped} kB more`);
});

test("nothing remains when a step fails: descriptors, network, channel, keys", { skip: refused ?? false }, () => {
  type Native = Record<string, (...args: unknown[]) => unknown>;
  const [system, crypto] = [libc, libcrypto ?? {}] as unknown as Native[];
  const replaced = <T>(functions: Native, name: string, by: (call: Native[string]) => Native[string], run: () => T) => {
    const call = functions[name];
    functions[name] = by(call);
    try {
      return run();
    } finally {
      functions[name] = call;
    }
  };
  const { close } = MessagePort.prototype;
  for (const [name, calls] of [
    ["bind", 3],
    ["socketpair", 0],
    ["eventfd", 0],
    ["poll", 0],
  ] as const) {
    let [left, closed, keys] = [calls as number, 0, 0];
    const failing =
      (call: Native[string]) =>
      (...args: unknown[]) => {
        if (left-- > 0) return call(...args);
        // A failure after the sockets is one of any kind.
        if (name === "poll") throw new Error("a step fails");
        return -1;
      };
    const counted =
      (by: number) =>
      (call: Native[string]) =>
      (...args: unknown[]) => {
        keys += by;
        return call(...args);
      };
    MessagePort.prototype.close = function (this: MessagePort) {
      closed++;
      close.call(this);
    };
    const before = state();
    try {
      replaced(crypto, "newContext", counted(1), () =>
        replaced(crypto, "freeContext", counted(-1), () =>
          replaced(system, name, failing, () => assert.throws(() => warmUp({ cpuMs: 5, offloads }))),
        ),
      );
    } finally {
      MessagePort.prototype.close = close;
    }
    assert.deepEqual([state(), closed, keys], [before, 1, 0], name);
  }
});

test("a thread that needs no warm-up gets none", () => {
  assert.equal(warmUp({ cpuMs: 0, offloads }), undefined);
});

test("temporary memories are freed, also after an error; others stay", () => {
  const kept = new Memory(1);
  const made: Memory[] = [];
  assert.throws(() =>
    withTemporaryMemory(() => {
      made.push(new Memory(1));
      throw new Error("an error");
    }),
  );
  assert.throws(() => made[0].at(0, 1), { code: "WEAVE_BOUNDS" });
  const later = new Memory(1);
  for (const memory of [kept, later]) assert.ok(memory.at(0, 1) > 0);
});
