import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { driverNames } from "#docker/plugin/driver-names.js";
import { IpamDriver, parsePool } from "#docker/plugin/ipam-driver.js";
import { macOf, multicastOf } from "#docker/plugin/network-driver.js";
import { PluginStore } from "#docker/plugin/plugin-store.js";
import { createEndpointShape, createNetworkShape, requestAddressShape } from "#docker/plugin/protocol.js";
import { method } from "#docker/plugin/socket.js";
import { addressText, parseSubnet } from "#ipam/ring/subnet.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const signal = new AbortController().signal;

test("bodies of any shape are answered or rejected as invalid calls", async () => {
  const methods = [
    method("Err", createNetworkShape, () => ({})),
    method("Err", createEndpointShape, () => ({})),
    method("Error", requestAddressShape, () => ({})),
  ];
  for (const called of methods) {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (body) => {
        try {
          await called.handle(body, signal);
        } catch (error) {
          assert.ok(error instanceof WeaveError && error.code === "WEAVE_PLUGIN_CALL", String(error));
        }
      }),
      { numRuns: 500 },
    );
  }
});

test("a pool is its own id, and nothing else is a pool", () => {
  const { subnet, range } = parsePool("weave-10.32.0.0/12-10.40.7.0/24");
  assert.deepEqual([subnet.text, range.text], ["10.32.0.0/12", "10.40.7.0/24"]);
  for (const id of [
    "",
    "weave",
    "weave-10.32.0.0/12",
    "x-10.32.0.0/12-10.32.0.0/12",
    "weave-10.32.0.1/12-10.32.0.0/12",
  ])
    assert.throws(() => parsePool(id), WeaveError, id);
});

test("Docker's endless requests for any pool end with an error; requests of users do not", async () => {
  const clock = new VirtualClock();
  let route: string | undefined;
  const driver = new IpamDriver({
    ipam: { requests: undefined as never, defaultSubnet: parseSubnet("10.32.0.0/12") },
    store: new PluginStore(memoryStore()),
    overlappingRoute: async () => route,
    describe: (ident) => ident,
    onRequested: () => {},
    clock,
    log: silentLog,
  });
  const request = (Pool = "") => driver.requestPool({ AddressSpace: "weavelocal", Pool, SubPool: "", V6: false });
  for (let i = 0; i < 20; i++) {
    await request();
    await clock.run(1_000);
  }
  let requests = 0;
  await assert.rejects(async () => {
    for (; requests < 1_000; requests++) await request();
  }, /overlaps this host's routes or name servers/);
  assert.ok(requests < 20, `${requests} requests`);
  await request("10.32.0.0/12");
  await clock.run(10_000);
  await request();
  route = "10.32.0.0/12";
  await assert.rejects(request(), /overlaps the route 10\.32\.0\.0\/12 of this host/);
});

test("an address that Docker requests between a pool and its network is a fixed one of the network", async () => {
  const clock = new VirtualClock();
  const claimed: string[] = [];
  const requests = {
    claim: async (_: string, { address }: { address: bigint }) => {
      claimed.push(addressText(address));
      throw new WeaveError("WEAVE_IPAM_IN_USE", "owned by other peer");
    },
    holderOf: () => undefined,
  };
  const store = new PluginStore(memoryStore());
  const driver = new IpamDriver({
    ipam: { requests: requests as never, defaultSubnet: parseSubnet("10.32.0.0/12") },
    store,
    overlappingRoute: async () => undefined,
    describe: (ident) => ident,
    onRequested: () => {},
    clock,
    log: silentLog,
  });
  const signal = AbortSignal.timeout(5_000);
  const pool = async (Pool: string) =>
    ((await driver.requestPool({ AddressSpace: "", Pool, SubPool: "", V6: false })) as { PoolID: string }).PoolID;
  const address = (PoolID: string, Address: string) => driver.requestAddress({ PoolID, Address, Options: {} }, signal);
  const useOf = (text: string) => store.addresses.get(text)?.use;

  const first = await pool("10.40.0.0/16");
  await address(first, "10.40.0.1");
  assert.deepEqual([useOf("10.40.0.1"), claimed], ["auxiliary", ["10.40.0.1"]], "another host may hold it");
  driver.networkCreated(["10.40.0.0/16"]);
  await assert.rejects(address(first, "10.40.0.2"), /owned by other peer/, "a container's");
  await assert.rejects(address(first, "10.40.0.1"), /auxiliary address/);

  const [second, third] = [await pool("10.41.0.0/16"), await pool("10.42.0.0/16")];
  driver.networkCreated(["10.41.0.0/16"]);
  await address(third, "10.42.0.1");
  await assert.rejects(address(second, "10.41.0.1"), /owned by other peer/);
  driver.releasePool({ PoolID: third });
  await assert.rejects(address(third, "10.42.0.2"), /owned by other peer/, "the creation has failed");
  const fourth = await pool("10.43.0.0/16");
  await clock.run(5_000);
  await assert.rejects(address(fourth, "10.43.0.1"), /owned by other peer/, "a creation takes no such time");
});

test("the multicast option is parsed, and rejected with Weave Net's message", () => {
  const option = (value?: string) =>
    multicastOf(value === undefined ? {} : { "works.weave.multicast": value }, silentLog);
  assert.deepEqual([option(), option(""), option("true"), option("0")], [false, true, true, false]);
  assert.throws(() => option("maybe"), /^WeaveError: unrecognized value "maybe" for option works\.weave\.multicast/);
});

test("the same address always has the same MAC", () => {
  assert.equal(macOf("10.32.0.255/12"), "0a:57:0a:20:00:ff");
  assert.equal(macOf(""), undefined);
});

test("stored addresses are read, also those of earlier versions", () => {
  const store = memoryStore(new Map<string, unknown>([["docker/address/10.32.0.1", 1_700_000_000_000]]));
  const book = new PluginStore(store);
  assert.deepEqual(book.addresses.all, [["10.32.0.1", { asked: 1_700_000_000_000, use: "container" }]]);
  book.addresses.put("10.32.0.2", { asked: 5, use: "auxiliary" });
  assert.deepEqual(new PluginStore(store).addresses.get("10.32.0.2"), { asked: 5, use: "auxiliary" });
  assert.throws(
    () => new PluginStore(memoryStore(new Map([["docker/address/10.32.0.3", { asked: 5, use: "?" }]]))),
    WeaveError,
  );
});

test("drivers have the names of their sockets", () => {
  const sockets = { pluginSocket: "/run/docker/plugins/wv.sock", meshSocket: "/srv/plugins/wv.mesh.sock" };
  assert.deepEqual(driverNames({ ...sockets, pluginV2: false }), { network: "wv", mesh: "wv.mesh" });
  assert.deepEqual(
    driverNames({ ...sockets, pluginV2: true }),
    { network: "", mesh: "" },
    "Docker names a managed one",
  );
});
