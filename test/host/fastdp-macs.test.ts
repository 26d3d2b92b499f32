import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { carriersAre, fastdpReport } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

const MAC = "02:cc:00:00:00:99";

/** Gives a container this MAC, and has it send. */
async function takeMac(container: Namespace, other: string): Promise<void> {
  await container.must("ip", "link", "set", "dev", "ethwe", "address", MAC);
  await container.run("ping", "-c", "1", "-W", "1", other);
}

/** The address that a host's tunnel sends frames for the MAC to. */
async function tunnelOf(host: Host): Promise<string | undefined> {
  const { stdout } = await host.run("bridge", "fdb", "show", "dev", "weave-vx");
  return new RegExp(`^${MAC} dst (\\S+) `, "m").exec(stdout)?.[1];
}

labTest(
  "a MAC that moves to another host is there for all within a second; one that two hosts have is frozen and named",
  { hosts: 3, timeout: 120_000 },
  async ({ hosts }) => {
    const [h1, h2, h3] = hosts;
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await h3.launch("--encryption", "off", h1.address, h2.address);
    for (const host of hosts) await connected(host, 2);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    const [c2, c3] = [await h2.attach("c2", "10.32.0.2/12"), await h3.attach("c3", "10.32.0.3/12")];
    await carriersAre([[h1, { h2: "fastdp", h3: "fastdp" }]]);

    await takeMac(c2, "10.32.0.1");
    await until("the tunnel of h1 leads to h2", async () => (await tunnelOf(h1)) === h2.address, 3_000);
    assert.ok((await c1.ping("10.32.0.2")) > 0);

    // It ends there, and starts here.
    await h2.ok("detach", `netns:${c2.ns}`);
    const movedAt = Date.now();
    await takeMac(c3, "10.32.0.1");
    while ((await tunnelOf(h1)) !== h3.address && Date.now() - movedAt < 5_000) await sleep(10);
    assert.ok(Date.now() - movedAt < 1_000 + 500, `${Date.now() - movedAt} ms`);
    assert.equal(await tunnelOf(h2), h3.address);
    assert.ok((await c1.ping("10.32.0.3")) > 0);
    assert.deepEqual((await fastdpReport(h1)).MACs.Frozen, []);

    // Now both have it, and both send.
    await h2.ok("attach", "10.32.0.2/12", `netns:${c2.ns}`);
    for (let round = 0; round < 10; round++) for (const container of [c2, c3]) await takeMac(container, "10.32.0.1");
    for (const host of hosts)
      await until(`${host.name} names it`, async () => (await fastdpReport(host)).MACs.Frozen.length === 1, 10_000);
    assert.match(await h1.ok("status"), new RegExp(`FrozenMAC: ${MAC} stays at .*; also claimed by `));
    assert.match(h1.log(), /two hosts claim a MAC/);

    await h2.ok("detach", `netns:${c2.ns}`);
    for (const host of hosts)
      await until(`${host.name} has it at h3`, async () => (await fastdpReport(host)).MACs.Frozen.length === 0, 10_000);
    await until("the tunnel of h1 leads to h3", async () => (await tunnelOf(h1)) === h3.address, 3_000);
  },
);
