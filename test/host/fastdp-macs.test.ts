import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { carriersAre, fastdpReport, takeMac, tunnelOf } from "#test/lab/fastdp.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const MAC = "02:cc:00:00:00:99";

labTest(
  "a MAC that moves to another host is there for all within a second",
  { hosts: 3, timeout: 240_000 },
  async ({ hosts }) => {
    const [h1, h2, h3] = hosts;
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await h3.launch("--encryption", "off", h1.address, h2.address);
    for (const host of hosts) await connected(host, 2);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    const [c2, c3] = [await h2.attach("c2", "10.32.0.2/12"), await h3.attach("c3", "10.32.0.3/12")];
    await carriersAre([[h1, { h2: "fastdp", h3: "fastdp" }]]);

    await takeMac(c2, MAC, "10.32.0.1");
    await until("the tunnel of h1 leads to h2", async () => (await tunnelOf(h1, MAC)) === h2.address, 3_000);
    assert.ok((await c1.ping("10.32.0.2")) > 0);

    // It ends there, and starts here.
    await h2.ok("detach", `netns:${c2.ns}`);
    const movedAt = Date.now();
    await takeMac(c3, MAC, "10.32.0.1");
    while ((await tunnelOf(h1, MAC)) !== h3.address && Date.now() - movedAt < 5_000) await sleep(10);
    assert.ok(Date.now() - movedAt < 1_000 + 500, `${Date.now() - movedAt} ms`);
    assert.equal(await tunnelOf(h2, MAC), h3.address);
    assert.ok((await c1.ping("10.32.0.3")) > 0);
    assert.deepEqual((await fastdpReport(h1)).MACs.Frozen, []);
  },
);
