import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PageMessage } from "#router/page/page-state.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const PASSWORD = "nine llamas paint 47 quiet doors";
const ADDRESS = "127.0.0.1:6785";

async function pageState(host: Host, address = ADDRESS): Promise<PageMessage> {
  return JSON.parse(await host.must("curl", "-fsS", `http://${address}/page/state`));
}

labTest("the page has the state of a running router", { hosts: 2, timeout: 240_000 }, async ({ hosts: [h1, h2] }) => {
  await h1.launch("--password", PASSWORD, "--page-addr", ADDRESS, "--no-fastdp");
  await h2.launch("--password", PASSWORD, "--no-fastdp", h1.address);
  await connected(h1, 1);
  const c1 = await h1.attach("c1", "10.32.0.1/12");
  await h2.attach("c2", "10.32.0.2/12");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
  const first = await pageState(h1);
  // Readings are two seconds apart.
  await until("the figures have grown", async () => {
    await c1.ping("10.32.0.2", { count: 3, size: 4_000 });
    const { figures } = await pageState(h1);
    return figures!.links[h2.peerName][2] > first.figures!.links[h2.peerName][2] + 20_000;
  });
  const { shape, host, mesh, connections, figures, addresses, containers, faults } = await pageState(h1);
  assert.deepEqual([shape, host!.nickname, host!.encryption], ["weave.page/1", "h1", "on"]);
  assert.deepEqual(
    mesh!.peers.map(({ name, reachable }) => [name, reachable]),
    [
      [h1.peerName, true],
      [h2.peerName, true],
    ],
  );
  assert.deepEqual(mesh!.links, [[0, 1, 1]]);
  const [connection] = connections!.list;
  assert.deepEqual(
    [connection.peer, connection.carrier, connection.encrypted, connection.state],
    [h2.peerName, "sleeve", true, "established"],
  );
  const [roundTrip, , sent, received] = figures!.links[h2.peerName];
  assert.ok(roundTrip! > 0 && roundTrip! < 100, `${roundTrip} ms`);
  assert.ok(sent > 20_000 && received > 20_000, `${sent}, ${received}`);
  assert.equal(addresses!.range, "10.32.0.0/12");
  assert.ok(containers!.list.some((each) => each.addresses.includes("10.32.0.1/12")));
  assert.deepEqual(faults!.list, []);
  // No other listener serves it, and it serves nothing else.
  const status = (path: string, address: string) =>
    h1.must("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", `http://${address}${path}`);
  assert.equal(await status("/page/state", "127.0.0.1:6782"), "404");
  assert.equal(await status("/page/state", "127.0.0.1:6784"), "404");
  assert.equal(await status("/report", ADDRESS), "404");
  assert.equal((await h2.run("curl", "-s", `http://${ADDRESS}/`)).code !== 0, true);
});

labTest(
  "the page may share the status port, or have a socket",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--page-addr", "127.0.0.1:6782");
    assert.equal((await pageState(h1, "127.0.0.1:6782")).host!.encryption, "without password");
    assert.match(await h1.must("curl", "-fsS", "http://127.0.0.1:6782/status"), /Service: router/);
    await h1.ok("stop");
    const socket = join(h1.folder, "page.sock");
    await h1.launch("--page-addr", socket);
    const curl = (...args: string[]) => h1.run("curl", "-fsS", "--unix-socket", socket, ...args);
    assert.equal((await curl("http://localhost/page/state")).code, 0);
    assert.match((await curl("http://evil.example/page/state")).stderr, /421/);
    const refused = await h1.weave("launch", "--page-addr", "nowhere");
    assert.match(refused.stderr, /--page-addr/);
    await h1.ok("reset");
    assert.ok(!existsSync(socket));
  },
);
