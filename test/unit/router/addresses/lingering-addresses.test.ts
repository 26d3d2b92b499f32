import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parseLease } from "#ipam/ring/subnet.js";
import { LingeringAddresses } from "#router/addresses/lingering-addresses.js";
import type { AttachedNetns } from "#src/linux/netns/inspect.js";
import { silentLog } from "#src/log.js";
import { IpamNetwork } from "#test/sim/ipam-network.js";

const ADDRESS = "10.32.0.1";
const NETNS = { path: "/proc/1/ns/net", inode: 77 };
const sidecar: AttachedNetns = { netns: NETNS, container: undefined, addresses: [`${ADDRESS}/24`] };

/** A peer where `app` holds an address, and a host with these namespaces. */
async function make() {
  const network = new IpamNetwork(1, { lost: 0, doubled: 0, delay: 2 });
  const host = network.add({ mode: "consensus", quorum: () => 1 });
  const { requests, leases } = network.start(host);
  requests.found("app", parseLease(`${ADDRESS}/24`), true);
  let namespaces: () => Promise<AttachedNetns[]> = async () => [];
  const lingering = new LingeringAddresses({ requests, leases, namespaces: () => namespaces(), log: silentLog });
  const turns = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return {
    network,
    lingering,
    isHeld: () => leases.holderOf(parseAddress(ADDRESS)) !== undefined,
    isInUse: () => leases.get("app")?.endedAt === undefined,
    holds: async (look: () => Promise<AttachedNetns[]>) => {
      namespaces = look;
      await turns();
    },
    turns,
  };
}

test("an address in a namespace is kept until no namespace has it, and then for the grace period", async () => {
  const { network, lingering, isHeld, isInUse, holds, turns } = await make();
  await holds(async () => [sidecar]);
  lingering.containerEnded("app");
  await turns();
  await network.run(120_000);
  assert.ok(isHeld() && isInUse());
  // Docker says it again each time that it comes up.
  lingering.containerEnded("app");
  await turns();
  assert.ok(isInUse());
  await holds(async () => [{ ...sidecar, addresses: [] }]);
  await lingering.look();
  await network.run(25_000);
  assert.ok(isHeld() && !isInUse());
  await network.run(6_000);
  assert.ok(!isHeld());
});

test("an address in no namespace is released after the grace period, and no address while the host cannot be inspected", async () => {
  const { network, lingering, isHeld, holds, turns } = await make();
  let fail: (error: Error) => void = () => {};
  await holds(
    () =>
      new Promise((_, reject) => {
        fail = reject;
      }),
  );
  lingering.containerEnded("app");
  await network.run(120_000);
  assert.ok(isHeld(), "the host has not been checked yet");
  fail(new Error("no ip"));
  await turns();
  await network.run(120_000);
  assert.ok(isHeld(), "it could not be looked at");
  lingering.stop();
});

test("a container that is started again keeps its address; its old namespace is returned once", async () => {
  const { network, lingering, isHeld, isInUse, holds, turns } = await make();
  await holds(async () => [sidecar]);
  lingering.containerEnded("app");
  await turns();
  lingering.containerRuns("app");
  await holds(async () => []);
  await lingering.look();
  assert.ok(isInUse(), "it runs: what other namespaces have says nothing");
  assert.deepEqual(lingering.takePreviousNetns("app"), NETNS);
  assert.equal(lingering.takePreviousNetns("app"), undefined);
  lingering.containerEnded("app");
  await turns();
  await network.run(31_000);
  assert.ok(!isHeld());
});
