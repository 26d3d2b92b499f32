import assert from "node:assert/strict";
import { test } from "node:test";
import { documentText } from "#cli/json/document.js";
import { pingDocument } from "#cli/probes/documents.js";
import { type PingResult, pingEnd, pingHead, pingLine, pingSummary } from "#cli/probes/ping-text.js";
import type { FoundTarget } from "#router/probes/routes.js";
import { shapeFaults } from "#test/lab/json-shape.js";

const [H2, H3] = ["02:00:00:00:00:02", "02:00:00:00:00:03"];
const FOUND: FoundTarget = {
  target: {
    ...{ text: "h3", kind: "peer", peer: H3, address: "", mac: "", endpoint: null, silent: "" },
    ...{ others: [], claimants: [] },
  },
  ...{ via: H2, carrier: "sleeve", encrypted: true, mtu: 1_394, reason: "", here: false },
  nicknames: { [H2]: "h2", [H3]: "h3" },
};
const CONTAINER: FoundTarget = {
  ...FOUND,
  target: { ...FOUND.target, text: "web1", kind: "container", address: "10.32.0.3", mac: "0a:00:00:00:00:01" },
};

const resultOf = (found: FoundTarget, probes: PingResult["probes"]): PingResult => ({ found, probes, own: false });

test("the head names the target and its way", () => {
  assert.deepEqual(pingHead(FOUND), [`h3 (${H3}), relayed by h2, first leg: sleeve, encrypted, MTU 1394`]);
  assert.deepEqual(pingHead({ ...FOUND, via: H3, carrier: "stream", encrypted: false, reason: "UDP does not pass" }), [
    `h3 (${H3}), direct: stream, in clear, MTU 1394`,
    "UDP does not pass",
  ]);
  assert.deepEqual(pingHead({ ...FOUND, via: "" }), [`h3 (${H3}): no route`]);
  assert.match(pingHead(CONTAINER)[0], /^web1 \(10\.32\.0\.3, MAC 0a:00:00:00:00:01\) on h3, relayed by h2/);
  assert.deepEqual(pingHead({ ...FOUND, here: true, via: "" }), [`h3 (${H3}), this host`]);
});

test("a line has the round trips of host and container, and the summary their figures", () => {
  assert.equal(pingLine(FOUND, 1, { host: 0.4, container: null }), "1: h3 0.40 ms");
  assert.equal(pingLine(CONTAINER, 2, { host: 12.34, container: null }), "2: h3 12.3 ms, web1 no answer");
  const probes = [
    { host: 1, container: 2 },
    { host: 3, container: null },
  ];
  assert.deepEqual(pingSummary(resultOf(CONTAINER, probes)), [
    "h3: 2 probes, 0 % lost; round trip 2.00 ms (1.00 ms to 3.00 ms)",
    "web1: 2 probes, 50 % lost; round trip 2.00 ms (2.00 ms to 2.00 ms)",
  ]);
});

test("without an answer the reason is given, and the document has its shape", () => {
  const none = { host: null, container: null };
  const cases: [PingResult, RegExp | undefined][] = [
    [resultOf(FOUND, [{ host: 1, container: null }]), undefined],
    [resultOf(FOUND, [none]), /^h3 does not answer; an older version/],
    [resultOf({ ...FOUND, via: "" }, [none]), /^h3 is not reachable/],
    [resultOf(CONTAINER, [{ host: 1, container: null }]), /^web1 does not answer, but its host h3 does$/],
    [resultOf({ ...CONTAINER, here: true, via: "" }, [none]), /^web1 does not answer$/],
    [resultOf(CONTAINER, []), undefined],
    [{ found: { ...FOUND, here: true }, probes: [], own: true }, undefined],
  ];
  for (const [result, why] of cases) {
    const end = pingEnd(result);
    if (why === undefined) assert.equal(end, undefined);
    else assert.match(end!.why, why);
    assert.deepEqual(shapeFaults("ping", documentText("ping", pingDocument(result, end))), []);
  }
});
