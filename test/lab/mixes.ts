import assert from "node:assert/strict";
import { carriersAre, type Joint, join } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { until } from "#test/lab/wait.js";

/** Joints of h1–h2, h1–h3 and h2–h3. */
export type Mix = readonly [Joint, Joint, Joint];

export const mixText = (mix: Mix): string => `h1-h2 ${mix[0]}, h1-h3 ${mix[1]}, h2-h3 ${mix[2]}`;

const GROUP = "224.9.9.9";
const BROADCAST = "10.47.255.255";

/** How much is sent, and how long it may take. */
export interface MixTraffic {
  /** Frames to all, and as many to a group, of each container. */
  readonly count: number;
  /** Time between two of each, in milliseconds: the buffer of a socket has room for 277, and its program may wait for a processor. */
  readonly intervalMs: number;
  /** The others listen until nothing has come for this time, in milliseconds. */
  readonly quietMs: number;
  /** Time until the carriers are those of the mix, in milliseconds. */
  readonly patienceMs: number;
  /** Whether the wire loses some of it: then only none may arrive twice. */
  readonly lossy?: boolean;
}

/** Joins three hosts by a mix. Each frame of each container must arrive once at the others. @param containers at 10.32.0.1 to .3 */
export async function checkMix(
  hosts: readonly Host[],
  containers: readonly Namespace[],
  mix: Mix,
  traffic: MixTraffic,
): Promise<void> {
  const { count, patienceMs, lossy = false } = traffic;
  await joinAll(hosts, mix, patienceMs);
  for (const [i, container] of containers.entries())
    for (const address of othersOf(i))
      await until(`h${i + 1} reaches ${address}`, async () => (await container.ping(address)) > 0, patienceMs);
  // The routes of all hosts are the same now.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  for (const [i, container] of containers.entries()) {
    const received = await spread(container, containers.toSpliced(i, 1), traffic);
    for (const { once, twice } of received) {
      assert.equal(twice, 0, `from h${i + 1}`);
      if (lossy) assert.ok(once > count, `from h${i + 1}: ${once}`);
      else assert.equal(once, 2 * count, `from h${i + 1}`);
    }
    if (lossy) continue;
    for (const address of othersOf(i)) assert.equal(await container.ping(address, { count: 10 }), 10, address);
  }
}

/** What each other container receives of one container's broadcast and multicast. */
async function spread(
  from: Namespace,
  others: readonly Namespace[],
  { count, intervalMs, quietMs }: MixTraffic,
): Promise<{ once: number; twice: number }[]> {
  const receivers = [];
  for (const other of others) receivers.push(await other.background("groups-receive", "5005", GROUP, String(quietMs)));
  await from.program("groups-send", "5005", GROUP, BROADCAST, String(count), String(intervalMs));
  return Promise.all(receivers.map(async ({ result }) => JSON.parse(await result)));
}

const othersOf = (index: number): string[] =>
  [1, 2, 3].filter((each) => each !== index + 1).map((each) => `10.32.0.${each}`);

/** Joins the hosts by a mix, and waits until each pair uses its carrier. */
async function joinAll([h1, h2, h3]: readonly Host[], mix: Mix, patienceMs: number): Promise<void> {
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
    patienceMs,
  );
}
