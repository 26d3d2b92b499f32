import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { agreeOnCarriers } from "#mesh/overlay.js";
import { instant, Network } from "#test/sim/network.js";

test("both ends compute the same list of carriers: those in common, in the dialler's order", () => {
  assert.deepEqual(agreeOnCarriers(["fastdp", "sleeve", "stream"], ["stream", "sleeve"], true), ["sleeve", "stream"]);
  assert.deepEqual(agreeOnCarriers(["fastdp", "sleeve", "stream"], ["stream", "sleeve"], false), ["stream", "sleeve"]);
  const list = fc.array(fc.constantFrom("fastdp", "sleeve", "stream", "quic", "pipe"), { maxLength: 8 });
  fc.assert(
    fc.property(list, list, (dialler, listener) => {
      const agree = (ours: string[], theirs: string[], outbound: boolean) => {
        try {
          return agreeOnCarriers(ours, theirs, outbound);
        } catch {
          return [];
        }
      };
      const agreed = agree(dialler, listener, true);
      assert.deepEqual(agree(listener, dialler, false), agreed);
      assert.equal(new Set(agreed).size, agreed.length);
    }),
  );
});

test("a peer that lists only sleeve, as builds do that read no list, gets sleeve and stream", () => {
  const ours = ["pipe", "sleeve", "stream"];
  for (const outbound of [true, false])
    assert.deepEqual(agreeOnCarriers(ours, ["sleeve"], outbound), ["sleeve", "stream"]);
  assert.deepEqual(agreeOnCarriers(ours, ["pipe"], true), ["pipe"]);
});

test("ends without a carrier in common refuse the connection with the reason and a remedy, and count it", async () => {
  for (const listed of [["fastdp", "q\u001b[2J"], []])
    assert.throws(() => agreeOnCarriers(["sleeve", "stream"], listed, true), {
      code: "WEAVE_CONNECTION",
      reason: "carrier",
      message: `no carrier in common (here: sleeve, stream; there: ${listed.length > 0 ? "fastdp, q?[2J" : "none"}): upgrade the end that lacks the other's`,
    });
  const network = new Network(1);
  const [dialler, listener] = [network.start(0), network.start(1, { overlay: { ...instant, carriers: ["other"] } })];
  network.connect(dialler, listener);
  await network.clock.run(5_000);
  assert.equal(dialler.mesh.status().connections.length + listener.mesh.status().connections.length, 0);
  const { refused, refusals } = listener.mesh.status();
  assert.ok(refusals.carrier > 0);
  assert.match(refused[0].text, /no carrier in common \(here: other; there: instant\): upgrade/);
  assert.match(dialler.mesh.status().attempts[0].error ?? "", /no carrier in common/);
});
