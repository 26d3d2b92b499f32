import assert from "node:assert/strict";
import { test } from "node:test";
import { IpamNetwork } from "./ipam-network.js";
import { type Class, runSchedule } from "./ipam-schedule.js";

/** About a minute of one core for all; `npm run sim` runs thousands. */
const COUNTS: Readonly<Record<Class, number>> = { faults: 50, disks: 24, mistakes: 40, hostile: 4 };
/** Seeds beyond those counts that have failed once. */
const FAILED_ONCE: readonly (readonly [Class, number])[] = [
  // A peer is removed before the others know its last donation; it returns, and agrees.
  ["disks", 94],
  // A request begins an election on a new disk before the ring of the others arrives.
  ["disks", 495],
  // Two receivers of one giver, in an earlier form of the confirmation.
  ["hostile", 52],
];

for (const [kind, count] of Object.entries(COUNTS) as [Class, number][]) {
  test(`${count} schedules of ${kind}: all invariants hold`, async () => {
    let grants = 0;
    for (let seed = 0; seed < count; seed++) {
      try {
        grants += (await runSchedule(seed, kind)).grants;
      } catch (error) {
        throw new Error(`npm run sim -- --class ${kind} --seed ${seed}`, { cause: error });
      }
    }
    // A schedule in which no container gets an address would test nothing.
    assert.ok(grants > 20 * count, `only ${grants} addresses were handed out`);
  });
}

for (const [kind, seed] of FAILED_ONCE) {
  test(`schedule ${seed} of ${kind}, which failed once: all invariants hold`, async () => {
    await runSchedule(seed, kind);
  });
}

test("a schedule replays: the same seed gives the same messages", async () => {
  const run = async () => {
    const { network, grants } = await runSchedule(77, "faults");
    return [network.bytes, network.messages, grants];
  };
  assert.deepEqual(await run(), await run());
});

test("40 peers agree again soon after a long partition", async () => {
  const network = new IpamNetwork(5, { lost: 20, doubled: 20, delay: 50 });
  for (let i = 0; i < 40; i++) network.add({ mode: "consensus", quorum: () => 21 }, "10.32.0.0/16");
  for (const host of network.hosts) network.start(host);
  const { range } = network.hosts[0].allocator!;
  const allocations = network.hosts.map((host, i) => host.allocator!.requests.allocate(`c${i}`, range));
  await network.run(30_000);
  network.partition((index) => index % 2);
  const more = network.hosts.map((host, i) => host.allocator!.requests.allocate(`d${i}`, range));
  await network.run(600_000);
  network.heal();
  await network.run(60_000);
  const addresses = (await Promise.all([...allocations, ...more])).map(({ address }) => address);
  assert.equal(new Set(addresses).size, 80);
  assert.equal(new Set(network.hosts.map(({ allocator }) => allocator!.ring!.digest)).size, 1);
});
