import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { carriersAre, type Joint, join } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const JOINTS: readonly Joint[] = ["fastdp", "sleeve", "stream", "none"];
/** Joints of h1–h2, h1–h3 and h2–h3: every choice whose hosts are connected, directly or by one another. Others are the same with other names. */
const MIXES = JOINTS.flatMap((first, i) =>
  JOINTS.slice(i).flatMap((second, j) => JOINTS.slice(i + j).map((third) => [first, second, third] as const)),
).filter((mix) => mix.filter((joint) => joint === "none").length < 2);
/** Number of the first mix to try: a run that was ended goes on. */
const FIRST = Number(process.env.WEAVE_TEST_MIX ?? 0);

const COUNT = 200;
const GROUP = "224.9.9.9";
const BROADCAST = "10.47.255.255";

/** What each other container receives of one container's broadcast and multicast. */
async function spread(from: Namespace, others: readonly Namespace[]): Promise<string[]> {
  const receivers = [];
  for (const other of others) receivers.push(await other.background("groups-receive", "5005", GROUP, "3500"));
  await from.program("groups-send", "5005", GROUP, BROADCAST, String(COUNT));
  return Promise.all(receivers.map(({ result }) => result));
}

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
    for (const [i, host] of hosts.entries()) {
      // The route for multicast is the attachment's.
      containers.push(await host.attach("c", `10.32.0.${i + 1}/12`));
    }
  });
  after(() => lab?.dispose());

  for (const mix of MIXES.slice(FIRST))
    await t.test(`h1-h2 ${mix[0]}, h1-h3 ${mix[1]}, h2-h3 ${mix[2]}`, async () => {
      await joinAll(hosts, mix);
      for (const [i, container] of containers.entries())
        for (const address of othersOf(i))
          await until(`h${i + 1} reaches ${address}`, async () => (await container.ping(address)) > 0, 40_000);
      // The routes of all hosts are the same now.
      await sleep(1_000);
      for (const [i, container] of containers.entries()) {
        const received = await spread(container, containers.toSpliced(i, 1));
        const all = JSON.stringify({ once: 2 * COUNT, twice: 0 });
        assert.deepEqual(received, [all, all], `from h${i + 1}`);
        for (const address of othersOf(i)) assert.equal(await container.ping(address, { count: 10 }), 10, address);
      }
    });
});

const othersOf = (index: number): string[] =>
  [1, 2, 3].filter((each) => each !== index + 1).map((each) => `10.32.0.${each}`);

/** Joins the hosts by a mix, and waits until each pair uses its carrier. */
async function joinAll([h1, h2, h3]: readonly Host[], mix: readonly Joint[]): Promise<void> {
  const pairs: readonly (readonly [Host, Host, Joint])[] = [
    [h1, h2, mix[0]],
    [h1, h3, mix[1]],
    [h2, h3, mix[2]],
  ];
  for (const host of [h1, h2, h3])
    await join(
      host,
      pairs.flatMap(([a, b, joint]) => (a === host ? [[b, joint] as const] : b === host ? [[a, joint] as const] : [])),
    );
  await carriersAre(
    pairs.flatMap(([a, b, joint]) => [[a, { [b.name]: joint }] as const, [b, { [a.name]: joint }] as const]),
    60_000,
  );
}
