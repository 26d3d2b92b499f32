/**
 * Three hosts, joined by mixes of carriers that are encrypted, on a kernel that has WireGuard and netem: `npm run test:guest`
 * (scripts/guest.sh).
 */
import { after, before, test } from "node:test";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { checkMix, type Mix, mixText } from "#test/lab/mixes.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { slowLaunch } from "#test/lab/slow-launch.js";
import { impair } from "#test/lab/transfer.js";
import { connected } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
/** Each pair of different joints at two of three hosts; all of them take an hour there, and are run in clear (`npm run test:fastdp`). */
const MIXES: readonly Mix[] = [
  ["fastdp", "fastdp", "fastdp"],
  ["fastdp", "sleeve", "stream"],
  ["fastdp", "fastdp", "none"],
  ["fastdp", "stream", "none"],
];
const TRAFFIC = { count: 200, intervalMs: 40, quietMs: 6_000, patienceMs: 240_000 };
/** tc-netem(8): nothing of the first is lost, so that each frame must arrive. */
const REORDERED = ["delay", "20ms", "5ms", "reorder", "20%", "50%"];
const LOSSY = ["delay", "10ms", "loss", "2%"];

test("three hosts, joined by a mix of encrypted carriers, receive each frame once", {
  skip,
  timeout: 60 * 60_000,
}, async (t) => {
  let lab: Lab;
  let hosts: readonly Host[];
  const containers: Namespace[] = [];
  before(async () => {
    lab = await Lab.create(3);
    hosts = lab.hosts;
    const [h1, h2, h3] = hosts;
    const first = ["--fastdp-encrypted", "on"];
    await slowLaunch(h1, ...first);
    await slowLaunch(h2, ...first, h1.address);
    await slowLaunch(h3, ...first, h1.address, h2.address);
    for (const host of hosts) await connected(host, 2, 240_000);
    for (const [i, host] of hosts.entries()) containers.push(await host.attach("c", `10.32.0.${i + 1}/12`));
  });
  after(() => lab?.dispose());

  for (const mix of MIXES) await t.test(mixText(mix), () => checkMix(hosts, containers, mix, TRAFFIC));

  for (const [what, netem, lossy] of [
    ["delay and reordering", REORDERED, false],
    ["delay and loss", LOSSY, true],
  ] as const)
    await t.test(`${mixText(MIXES[1])}, on wires with ${what}`, async () => {
      for (const host of hosts) await impair(host, ...netem);
      await checkMix(hosts, containers, MIXES[1], { ...TRAFFIC, lossy });
    });
});
