import { after, before, test } from "node:test";
import type { Joint } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { checkMix, type Mix, mixText } from "#test/lab/mixes.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected } from "#test/lab/wait.js";

const JOINTS: readonly Joint[] = ["fastdp", "sleeve", "stream", "none"];
/** Every choice whose hosts are connected, directly or by one another. Others are the same with other names. */
const MIXES = JOINTS.flatMap((first, i) =>
  JOINTS.slice(i).flatMap((second, j) => JOINTS.slice(i + j).map((third): Mix => [first, second, third])),
).filter((mix) => mix.filter((joint) => joint === "none").length < 2);
/** Number of the first mix to try: a run that was ended goes on. */
const FIRST = Number(process.env.WEAVE_TEST_MIX ?? 0);

const TRAFFIC = { count: 200, intervalMs: 5, quietMs: 1_500, patienceMs: 60_000 };

const skip = hostTestsImpossible() ?? false;

test("three hosts, joined by a mix of carriers, receive each frame once", { skip, timeout: 30 * 60_000 }, async (t) => {
  let lab: Lab;
  let hosts: readonly Host[];
  const containers: Namespace[] = [];
  before(async () => {
    lab = await Lab.create(3);
    hosts = lab.hosts;
    const [h1, h2, h3] = hosts;
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await h3.launch("--encryption", "off", h1.address, h2.address);
    for (const host of hosts) await connected(host, 2);
    // The route for multicast is the attachment's.
    for (const [i, host] of hosts.entries()) containers.push(await host.attach("c", `10.32.0.${i + 1}/12`));
  });
  after(() => lab?.dispose());

  for (const mix of MIXES.slice(FIRST)) await t.test(mixText(mix), () => checkMix(hosts, containers, mix, TRAFFIC));
});
