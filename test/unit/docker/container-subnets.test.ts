import assert from "node:assert/strict";
import { test } from "node:test";
import { ContainerSubnets, type ContainerSubnetsDeps } from "#docker/containers/container-subnets.js";
import { silentLog } from "#src/log.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const [FIRST, SECOND] = ["a", "b"].map((digit) => digit.repeat(64));
const end = (NetworkID: string, IPAddress: string, IPPrefixLen: number) => ({
  NetworkID,
  IPAddress,
  IPPrefixLen,
  MacAddress: "",
  Aliases: [],
});
const container = (Id: string, ...ends: ReturnType<typeof end>[]) => ({
  Id,
  NetworkSettings: { Networks: Object.fromEntries(ends.map((each, index) => [`n${index}`, each])) },
});

function subnets(clock: VirtualClock, change: Partial<ContainerSubnetsDeps["engine"]> = {}) {
  const reads = { count: 0 };
  const engine = {
    running: async () => {
      reads.count++;
      return [container(FIRST, end("ours", "10.32.0.1", 16), end("other", "172.20.0.2", 16))];
    },
    networkOrNone: async () => ({
      Containers: { [FIRST]: { IPv4Address: "172.18.0.2/16" }, [SECOND]: { IPv4Address: "172.18.0.3/16" } },
    }),
    container: async (id: string) => container(id, end("ours", "10.40.0.1", 24)),
    ...change,
  } as unknown as ContainerSubnetsDeps["engine"];
  const leases = (id: string) => (id === FIRST ? ["10.50.0.9/24"] : []);
  const found = new ContainerSubnets({ engine, isOurNetwork: (id) => id === "ours", leases, clock, log: silentLog });
  const of = async (client: string) => (await found.subnetsOf(client))?.map(({ text }) => text);
  const event = (Type: string, Action: string) => found.event({ Type, Action, Actor: { ID: "", Attributes: {} } });
  return { found, of, event, reads };
}

test("the subnets of a container are found by each address from which it may query", async () => {
  const { of } = subnets(new VirtualClock());
  for (const client of ["10.32.0.1", "172.20.0.2", "172.18.0.2"])
    assert.deepEqual(await of(client), ["10.32.0.1/16", "10.50.0.9/24"], client);
  assert.deepEqual(await of("172.18.0.3"), ["10.40.0.1/24"], "a container that the engine does not list yet");
  assert.equal(await of("192.0.2.1"), undefined);
});

test("the engine is read again after an event of a container or network, and not for each query", async () => {
  const clock = new VirtualClock();
  const { of, event, reads, found } = subnets(clock);
  await Promise.all([of("10.32.0.1"), of("172.18.0.3"), of("192.0.2.1")]);
  await of("192.0.2.1");
  assert.equal(reads.count, 1);
  assert.ok(Array.isArray(found.subnetsOf("10.32.0.1")), "a known client's answer is not delayed");
  event("container", "exec_start: sh");
  await of("10.32.0.1");
  assert.equal(reads.count, 1);
  event("network", "connect");
  await of("10.32.0.1");
  assert.equal(reads.count, 1, "events come in bursts");
  await of("192.0.2.1");
  assert.equal(reads.count, 2, "a client may be new");
  event("container", "start");
  await clock.run(1_000);
  await of("10.32.0.1");
  assert.equal(reads.count, 3);
});

test("an engine that does not answer delays no answer for long", { timeout: 10_000 }, async () => {
  const hanging = subnets(new VirtualClock(), { running: () => new Promise(() => {}) });
  assert.equal(await hanging.of("10.32.0.1"), undefined);
  const failing = subnets(new VirtualClock(), { running: () => Promise.reject(new Error("away")) });
  assert.equal(await failing.of("10.32.0.1"), undefined);
});
