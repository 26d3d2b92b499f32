/**
 * Wires that delay, reorder, repeat and damage, and interfaces with VLAN tags: `npm run test:guest` runs this on a kernel
 * that has them (scripts/guest.sh).
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Namespace } from "#test/lab/namespace.js";
import { Pair, vlans } from "#test/lab/pair.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { impair, withoutOffloads } from "#test/lab/transfer.js";

const skip = hostTestsImpossible() ?? false;
const MB = 1 << 20;

/** Datagrams that the other end's container saw twice, of `count` echo requests. */
async function repeated(from: Namespace, address: string, count: number): Promise<number> {
  const { stdout } = await from.run("ping", "-n", "-c", String(count), "-i", "0.05", address);
  return stdout.split("\n").filter((line) => line.includes("DUP!")).length;
}

test("whatever the wire does to datagrams, transfers arrive unchanged: IPv4, IPv6 and in a VLAN", {
  skip,
  timeout: 1_200_000,
}, async (t) => {
  let pair: Pair;
  before(async () => {
    pair = await Pair.create({ isSlow: true });
    await withoutOffloads(pair.h1, pair.h2);
  });
  after(() => pair?.lab.dispose());

  for (const [what, ...netem] of [
    ["nothing"],
    ["delay", "delay", "20ms"],
    ["jitter, which reorders", "delay", "10ms", "5ms"],
    ["a quarter overtakes the rest", "delay", "10ms", "reorder", "25%", "50%"],
    ["a fifth comes twice", "duplicate", "20%"],
    ["bits are flipped", "corrupt", "2%"],
    ["bursts of loss", "delay", "5ms", "loss", "1%", "25%"],
  ])
    await t.test(what, async () => {
      const { h1, h2, c1 } = pair;
      for (const host of [h1, h2]) await impair(host, "limit", "10000", ...netem);
      const began = performance.now();
      await pair.carries(3 * MB);
      assert.equal(await repeated(c1, "10.32.0.2", 40), 0);
      const [path] = JSON.parse(await h1.report("{{json .Router.OverlayDiagnostics.sleeve}}"));
      const drops = Object.entries(await pair.drops(h2)).filter(([, count]) => count > 0);
      t.diagnostic(
        `${what}: ${(performance.now() - began).toFixed(0)} ms; loss seen ${path.LossPercent} %, ${path.DatagramsPerRecord} datagrams a record; drops ${JSON.stringify(Object.fromEntries(drops))}`,
      );
      // Late is not lost.
      if (!netem.includes("loss") && !netem.includes("corrupt"))
        assert.ok(path.LossPercent < 0.2, `${path.LossPercent} %`);
    });
});

for (const off of ["uso", "tso", "vnet-header,udp-segment,udp-gro"])
  test(`the same without ${off}, and nothing else amiss`, { skip, timeout: 600_000 }, async () => {
    const pair = await Pair.create({ isSlow: true, launch: [`--offloads-off=${off}`] });
    try {
      await pair.carries(3 * MB);
    } finally {
      await pair.lab.dispose();
    }
  });

test("the tests above ran in a VLAN as well", { skip: !vlans && "this kernel has no VLAN interfaces" }, () => {});
