import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_LANES } from "#router/datapath/record.js";
import { SessionKeys } from "#router/datapath/session-keys.js";
import { Memory } from "#src/linux/native/memory.js";

const LENGTH = 200;

test("a thread opens the lanes that the kernel brings to it, and has no key for the others", () => {
  const memory = new Memory(4_096);
  const make = (lane: number, lanes: number) => {
    const keys = new SessionKeys({ local: 5, lane, lanes, encrypted: true, openssl: true });
    keys.remote = 5;
    return keys;
  };
  for (const lanes of [1, 3, 4]) {
    const threads = Array.from({ length: lanes }, (_, lane) => make(lane, lanes));
    for (const keys of threads) keys.setKey("open", 1, new Uint8Array(32).fill(9), new Uint8Array(4), 0);
    for (let lane = 0; lane < MAX_LANES; lane++) {
      const sealer = make(lane, MAX_LANES);
      sealer.setKey("seal", 1, new Uint8Array(32).fill(9), new Uint8Array(4), 0);
      sealer.seal(memory, 0, LENGTH, 1);
      const record = memory.u8.slice(0, LENGTH);
      const results = threads.map((keys) => {
        memory.u8.set(record);
        return keys.open(memory, 0, LENGTH, sealer.laneEpoch, 1);
      });
      const expected = threads.map((_, thread) => (thread === lane % lanes ? "ok" : "authentication-failed"));
      assert.deepEqual(results, expected);
      sealer.close();
    }
    for (const keys of threads) keys.close();
  }
  memory.free();
});
