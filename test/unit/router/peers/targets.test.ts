import assert from "node:assert/strict";
import { test } from "node:test";
import { loadTargets, parseTarget, resolveHost, saveTargets } from "#router/peers/targets.js";
import { memoryStore } from "#src/store.js";

test("targets are parsed, stored as they were typed, and rejected when they are invalid", async () => {
  const target = { text: "10.0.0.2", address: "10.0.0.2:6783", port: false };
  assert.deepEqual(parseTarget("10.0.0.2", 6783), target);
  assert.deepEqual(parseTarget("h2:7000", 6783), { text: "h2:7000", address: "h2:7000", port: true });
  for (const text of ["", "a:b:c", "host:99999", "host:0", "with space", "10.0.0.2/24"])
    assert.throws(() => parseTarget(text, 6783), { code: "WEAVE_PEER_INVALID" }, text);
  assert.throws(() => parseTarget("10.0.0.999", 6783), { message: "lookup 10.0.0.999: no such host" });
  const store = memoryStore();
  const targets = [parseTarget("a", 6783), parseTarget("10.0.0.2:7000", 6783)];
  saveTargets(store, targets);
  assert.deepEqual(loadTargets(store, 6783), targets);
  // As it was stored before names were kept.
  store.put("directPeers", [target]);
  assert.deepEqual(loadTargets(store, 6783), [target]);
  store.put("directPeers", [{ text: 1 }]);
  assert.throws(() => loadTargets(store, 6783), { code: "WEAVE_STORE" });
});

test("names are resolved by the host's own rules; the error for one without an address has its name", async () => {
  assert.deepEqual(await resolveHost("10.0.0.2"), ["10.0.0.2"]);
  assert.deepEqual(await resolveHost("localhost"), ["127.0.0.1"]);
  await assert.rejects(resolveHost("nosuch.invalid"), {
    code: "WEAVE_PEER_INVALID",
    message: /^lookup nosuch.invalid: /,
  });
});
