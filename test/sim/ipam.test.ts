import assert from "node:assert/strict";
import { test } from "node:test";
import { IpamNetwork } from "./ipam-network.js";
import { type Class, runSchedule } from "./ipam-schedule.js";

/** As many as take some seconds each; `npm run sim` runs thousands. */
const COUNTS: Readonly<Record<Class, number>> = { faults: 300, disks: 100, mistakes: 100 };

for (const [kind, count] of Object.entries(COUNTS) as [Class, number][]) {
  test(`${count} schedules of ${kind}: the ring covers the range once, own = used + free, nothing is held twice, all rings agree in the end`, async () => {
    let grants = 0;
    for (let seed = 0; seed < count; seed++) {
      try {
        grants += (await runSchedule(seed, kind)).grants;
      } catch (error) {
        throw new Error(`npm run sim -- --class ${kind} --seed ${seed}`, { cause: error });
      }
    }
    // A schedule in which nobody gets anything would test nothing.
    assert.ok(grants > 20 * count, `only ${grants} addresses were handed out`);
  });
}

test("a schedule replays: the same seed gives the same messages to the byte", async () => {
  const run = async () => {
    const { network, grants } = await runSchedule(77, "faults");
    return [network.bytes, network.messages, grants];
  };
  assert.deepEqual(await run(), await run());
});

test("forty peers that are split in two for long agree again soon after", async () => {
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
