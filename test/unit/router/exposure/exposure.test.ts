import assert from "node:assert/strict";
import { test } from "node:test";
import { Exposure } from "#router/exposure/exposure.js";
import type { Firewall } from "#src/linux/firewall/firewall.js";
import { silentLog } from "#src/log.js";
import { Problems } from "#src/problems.js";
import { memoryStore } from "#src/store.js";

/** A firewall of which another program removes the rules, and that may refuse new ones. */
function makeFirewall() {
  const state = { intact: true, refuses: false };
  const firewall: Firewall = {
    kind: "test",
    async apply() {
      if (state.refuses) throw new Error("the kernel has refused the rules");
      state.intact = true;
    },
    intact: async () => state.intact,
    trackingNeeded: async () => undefined,
    async remove() {},
  };
  return { state, firewall };
}

const make = (firewall: Firewall | undefined) =>
  new Exposure({
    store: memoryStore(),
    rules: { bridge: "weave", hostPorts: [], meshPort: 6_783, dockerBridge: undefined },
    firewall,
    log: silentLog,
    problems: new Problems(),
  });

test("a host is unprotected without a firewall, and until its rules are made", async () => {
  assert.match(make(undefined).unprotected ?? "", /neither nft nor iptables/);
  const { state, firewall } = makeFirewall();
  state.refuses = true;
  const exposure = make(firewall);
  await exposure.restore();
  assert.match(exposure.unprotected ?? "", /cannot be made/);
  state.refuses = false;
  await exposure.repair([]);
  assert.equal(exposure.unprotected, undefined);
});

test("rules that are gone and cannot be made again protect nothing, and those that are there do", async () => {
  const { state, firewall } = makeFirewall();
  const exposure = make(firewall);
  await exposure.restore();
  state.refuses = true;
  await exposure.repair([]);
  assert.equal(exposure.unprotected, undefined);
  state.intact = false;
  await exposure.repair([]);
  assert.match(exposure.unprotected ?? "", /cannot be made/);
  state.refuses = false;
  await exposure.repair([]);
  assert.equal(exposure.unprotected, undefined);
});
