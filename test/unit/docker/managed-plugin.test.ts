import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { NetworkDriver } from "#docker/plugin/network-driver.js";
import { PluginSockets } from "#docker/plugin/plugin-sockets.js";
import { PluginStore } from "#docker/plugin/plugin-store.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { SwarmTargets } from "#router/peers/swarm-targets.js";
import { errorText } from "#src/errors.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";

const SWARM = "x6q7cpubxss806iihoujn7h6v";
const LOCAL = "4dbcf143949f".padEnd(64, "0");

/** A driver that can store networks; what it would claim fails. */
const driver = () =>
  new NetworkDriver({
    bridge: "weave",
    mtu: 1_376,
    store: new PluginStore(memoryStore()),
    ipam: { requests: undefined as never, range: parseSubnet("10.32.0.0/12") },
    claims: undefined as never,
    onCreated: () => {},
    managed: true,
    engineApi: () => undefined,
    log: silentLog,
  });

async function open(t: TestContext, pluginV2: boolean) {
  const folder = mkdtempSync(join(tmpdir(), "weave-plugin-"));
  const options = { pluginSocket: join(folder, "a.sock"), meshSocket: join(folder, "b.sock"), pluginV2 };
  const sockets = await PluginSockets.open(options, silentLog);
  t.after(async () => {
    await sockets.close();
    rmSync(folder, { recursive: true });
  });
  return { ...options, sockets };
}

const call = (socketPath: string, path: string) =>
  new Promise<{ status: number | undefined; body: unknown }>((resolve, reject) => {
    const sent = request({ socketPath, path, method: "POST" }, async (response) => {
      const text = (await response.setEncoding("utf8").toArray()).join("");
      resolve({ status: response.statusCode, body: JSON.parse(text) });
    });
    sent.on("error", reject).end();
  });

test("a managed plugin has one socket, a network driver alone, and networks of the swarm", async (t) => {
  const { pluginSocket, meshSocket, sockets } = await open(t, true);
  assert.ok(!existsSync(meshSocket));
  assert.deepEqual((await call(pluginSocket, "/Plugin.Activate")).body, { Implements: ["NetworkDriver"] });
  const { body } = await call(pluginSocket, "/NetworkDriver.GetCapabilities");
  assert.deepEqual(body, { Scope: "global", ConnectivityScope: "global", GwAllocChecker: true });
  assert.equal((await call(pluginSocket, "/IpamDriver.GetCapabilities")).status, 404);

  let nodes = 0;
  const discover = () => call(pluginSocket, "/NetworkDriver.DiscoverNew");
  assert.deepEqual((await discover()).body, {}, "also before the router is ready");
  sockets.serve({ network: driver(), ipam: undefined as never, onNodes: () => nodes++ });
  await discover();
  await call(pluginSocket, "/NetworkDriver.DiscoverDelete");
  assert.equal(nodes, 2);
});

test("a legacy plugin's networks are of one host", async (t) => {
  const { pluginSocket, meshSocket } = await open(t, false);
  for (const socket of [pluginSocket, meshSocket]) {
    const { body } = await call(socket, "/NetworkDriver.GetCapabilities");
    assert.equal((body as { Scope: string }).Scope, "local");
  }
});

test("a swarm's network must lie outside the range that IPAM allocates from; another host's networks need not", () => {
  const network = (NetworkID: string, Pool: string) => ({
    NetworkID,
    Options: {},
    IPv4Data: [{ AddressSpace: "GlobalDefault", Pool, Gateway: "" }],
    IPv6Data: [],
  });
  for (const pool of ["10.32.1.0/24", "10.0.0.0/8"])
    assert.throws(
      () => driver().createNetwork(network(SWARM, pool)),
      (error) => /overlaps 10\.32\.0\.0\/12.*\n.*another --subnet, or set another IPALLOC_RANGE/.test(errorText(error)),
    );
  for (const [id, pool] of [
    [SWARM, "10.1.1.0/24"],
    [SWARM, ""],
    [LOCAL, "10.32.1.0/24"],
  ])
    driver().createNetwork(network(id, pool));
});

test("addresses of a swarm are not claimed: its managers agree on them", () => {
  const known = driver();
  // Would claim in IPAM, which this driver does not have.
  assert.throws(() => known.learnEndpoint(LOCAL, "e1", { address: "10.32.0.9/24", address6: "" }), TypeError);
  known.learnEndpoint(SWARM, "e2", { address: "10.32.0.9/24", address6: "fd00::1/64" });
});

test("the managers of the swarm are targets, beside those that a user named", () => {
  let targets: string[] = ["10.99.0.9", "named"];
  const mesh = {
    status: () => ({ targets: targets.map((text) => ({ text })) }),
    connect: (added: readonly { text: string }[]) => targets.push(...added.map(({ text }) => text)),
    forget: (gone: readonly string[]) => {
      targets = targets.filter((text) => !gone.includes(text));
    },
  };
  const swarm = new SwarmTargets(mesh as never, 6_783, silentLog);
  swarm.update(["10.99.0.1", "10.99.0.9", "fd00::1"]);
  assert.deepEqual(targets, ["10.99.0.9", "named", "10.99.0.1"]);
  swarm.update(["10.99.0.2"]);
  assert.deepEqual(targets, ["10.99.0.9", "named", "10.99.0.2"]);
  swarm.update([]);
  assert.deepEqual(targets, ["10.99.0.9", "named"]);
});
