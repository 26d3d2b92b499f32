import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { databaseFile } from "#src/paths.js";
import { lmdbStore } from "#src/store-lmdb.js";
import type { Host } from "#test/lab/host.js";
import { Traffic } from "#test/lab/interruption.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { inRouter } from "#test/lab/router-process.js";
import { connected, until } from "#test/lab/wait.js";

/** A router is replaced, as for an upgrade, while containers use its network. */

const reached = (from: Namespace, address: string) =>
  until("a ping is answered", async () => (await from.ping(address, { count: 1 })) === 1, 30_000);
const found = (host: Host, name: string) => async () => (await host.ok("dns-lookup", name)).trim() !== "";

labTest(
  "weave restart loses no TCP connection, address or name: of a host that dials, one that is dialled, and a relay",
  { hosts: 3, timeout: 240_000 },
  async ({ hosts: [h1, h2, h3] }) => {
    for (const host of [h1, h2, h3]) await host.launch("--no-discovery");
    for (const host of [h1, h3]) await host.ok("connect", h2.address);
    const container = await h1.container("c");
    const near = (await h1.ok("attach", "net:default", "--name", "near", `netns:${container.ns}`)).trim();
    const { container: other, address: far } = await h3.attachAny("c");
    const exposed = (await h1.ok("expose")).trim();
    await reached(other, near);
    await until("the name is known at h3", found(h3, "near"));
    const attachments = () => Promise.all([h1, h2, h3].map((host) => host.ok("ps")));
    const before = await attachments();
    const traffic = await Traffic.start(other, container, near);
    try {
      await until("pings are answered", () => traffic.answers > 10);
      for (const host of [h1, h2, h3]) {
        // Names of a peer that is away, or behind one, stay.
        const asked = host === h3 ? h2 : h3;
        let done = false;
        const asking = (async () => {
          while (!done) {
            assert.equal((await asked.ok("dns-lookup", "near")).trim(), near);
            await sleep(20);
          }
        })();
        await host.ok("restart");
        done = true;
        await asking;
        await connected(h2, 2, 30_000);
        const answers = traffic.answers;
        await until(
          `pings are answered after ${host.name} was restarted`,
          () => traffic.answers > answers + 10,
          30_000,
        );
      }
      const { connections } = await traffic.end();
      assert.equal(connections, 1, "the TCP connection was lost");
    } finally {
      traffic.kill();
    }
    assert.deepEqual(await attachments(), before);
    assert.equal((await h1.ok("expose")).trim(), exposed);
    for (const host of [h1, h2, h3])
      await until(
        `the name is known at ${host.name}`,
        async () => (await host.ok("dns-lookup", "near")).trim() === near,
      );
    await reached(container, far);
  },
);

labTest(
  "a new version that does not load, or cannot use the database, leaves the old router running",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const broken = inRouter('if (process.argv.includes("--replace")) throw new Error("a module is missing");');
    const { code: launched } = await h1.weaveWith(broken, "launch", "--name", h1.peerName, "--nickname", h1.name);
    assert.equal(launched, 0);
    const pids = [h1.supervisorPid, h1.routerPid];
    const first = await h1.weave("restart");
    assert.equal(first.code, 1);
    assert.match(first.stderr, /^The router does not start again: .*a module is missing.*\nThe old one runs on\.\n$/s);
    assert.deepEqual([h1.supervisorPid, h1.routerPid], pids);
    assert.match(await h1.ok("status"), /Service: router/);
    await h1.ok("stop");

    await h1.launch();
    const running = [h1.supervisorPid, h1.routerPid];
    const store = lmdbStore(databaseFile(h1.databasePrefix));
    store.put("format", 2);
    store.put("writer", "9.1.0");
    await store.close();
    const second = await h1.weave("restart");
    assert.equal(second.code, 1);
    assert.match(second.stderr, /weave 9\.1\.0.*format 2.*The old one runs on\.\n$/s);
    assert.deepEqual([h1.supervisorPid, h1.routerPid], running);
    assert.equal((await h1.weave("status")).code, 0);
  },
);
