import assert from "node:assert/strict";
import { test } from "node:test";
import { loadIdentity } from "#router/peers/identity.js";
import { passwordKey } from "#router/peers/password.js";
import { memoryStore } from "#src/store.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

test("an identity is made once and stored: the name by the order of its sources, the incarnation later at each start", () => {
  const contents = new Map<string, unknown>();
  const clock = new VirtualClock();
  const load = (name?: string, bridgeMac?: string, machine?: Uint8Array) =>
    loadIdentity({ store: memoryStore(contents), clock, random: seededRandom(1), name, bridgeMac, machine });
  const first = load(undefined, undefined, Uint8Array.of(0xff, 1, 2, 3, 4, 5));
  assert.equal(first.name, "fe:01:02:03:04:05");
  const second = load(undefined, undefined, Uint8Array.of(9, 9, 9, 9, 9, 9));
  assert.equal(second.name, first.name);
  assert.deepEqual(second.staticKey, first.staticKey);
  assert.ok(second.incarnation > first.incarnation);
  assert.equal(load(undefined, "02:00:00:00:00:09").name, "02:00:00:00:00:09");
  assert.equal(load("::7", "02:00:00:00:00:09").name, "00:00:00:00:00:07");
  contents.set("secret", "short");
  assert.throws(() => load(), { code: "WEAVE_STORE" });
});

test("the key of a password does not depend on the Unicode form of its letters", async () => {
  const [composed, decomposed, other] = await Promise.all([
    passwordKey("gr\u00fcn"),
    passwordKey("gru\u0308n"),
    passwordKey("grun"),
  ]);
  assert.deepEqual(composed, decomposed);
  assert.notDeepEqual(composed, other);
  assert.equal(composed.length, 32);
});
