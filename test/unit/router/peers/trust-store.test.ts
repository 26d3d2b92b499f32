import assert from "node:assert/strict";
import { test } from "node:test";
import { makeSigner } from "#mesh/signing.js";
import { retire } from "#mesh/trust/retirement.js";
import { Trust } from "#mesh/trust/trust.js";
import { databaseTrustStore } from "#router/peers/trust-store.js";
import { memoryStore } from "#src/store.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const name = "02:00:00:00:00:01";
const [first, second] = [makeSigner(new Uint8Array(32).fill(1)), makeSigner(new Uint8Array(32).fill(2))];
const peer = (identity: string) => ({
  ...{ name, nickname: "h1", identity, key: "0".repeat(64), uid: "0".repeat(16), incarnation: 1 },
});

test("pins, exclusions and retirements are in the database, and a damaged one names the remedy", async () => {
  const contents = new Map<string, unknown>();
  const clock = new VirtualClock();
  const self = { name: "02:00:00:00:00:09", identity: "e".repeat(64) };
  const open = () => new Trust({ self, clock, store: databaseTrustStore(memoryStore(contents)) });
  const trust = open();
  trust.pin(peer(first.identity), true);
  trust.flush();
  assert.deepEqual([...contents.keys()], [`trust/pin/${name}`]);
  trust.retire(retire({ name, nickname: "h1" }, first, 1));
  trust.exclude(second.identity);
  trust.flush();
  const later = open();
  assert.equal(later.judge(peer(first.identity)), "retired");
  assert.equal(later.judge(peer(second.identity)), "excluded");
  assert.equal(later.list().length, 0);
  later.pin(peer("d".repeat(64)));
  later.flush();
  contents.set(`trust/pin/${name}`, { nickname: "h1" });
  assert.throws(open, { code: "WEAVE_STORE", message: /damaged 'trust\/pin\// });
});
