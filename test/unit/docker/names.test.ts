import assert from "node:assert/strict";
import { test } from "node:test";
import { ContainerNames } from "#docker/containers/container-names.js";
import { type Container, containerShape } from "#docker/engine/shapes.js";
import { ENDED_CONTAINER_GRACE_MS } from "#src/container-lifecycle.js";
import { silentLog } from "#src/log.js";
import { lonelyNameserver } from "#test/lab/names.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const container = (Id: string, IPAddress: string): Container =>
  containerShape.parse({
    Id,
    Name: "/web",
    State: { Running: true },
    Config: { Hostname: "web", Domainname: "weave.local" },
    HostConfig: {},
    NetworkSettings: { Networks: { weave: { NetworkID: "n", IPAddress } } },
  });

test("names registered by a user survive a restart within 30 s, at addresses that the container keeps", async (context) => {
  const names = lonelyNameserver();
  context.after(() => names.stop());
  const clock = new VirtualClock();
  const observer = new ContainerNames({
    names,
    isOurNetwork: (network) => network === "n",
    attachedAddresses: () => [],
    clock,
    log: silentLog,
  });
  const start = (address: string) => observer.running(container("c", address));
  const look = (name: string) => names.lookup(`${name}.weave.local.`);
  start("10.32.0.1");
  names.add("c", "10.32.0.1", "shop.weave.local");
  names.add("c", "192.0.2.1", "outside.weave.local");
  observer.ended("c");
  assert.deepEqual([look("web"), look("shop"), look("outside")], [undefined, undefined, undefined]);

  await clock.run(ENDED_CONTAINER_GRACE_MS);
  start("10.32.0.1");
  assert.deepEqual([look("web"), look("shop"), look("outside")], [["10.32.0.1"], ["10.32.0.1"], ["192.0.2.1"]]);

  observer.ended("c");
  start("10.32.0.9");
  assert.deepEqual([look("web"), look("shop"), look("outside")], [["10.32.0.9"], undefined, ["192.0.2.1"]]);

  observer.ended("c");
  await clock.run(ENDED_CONTAINER_GRACE_MS + 1);
  start("10.32.0.9");
  assert.deepEqual([look("web"), look("outside")], [["10.32.0.9"], undefined]);
});

test("a container that loses an invalid name keeps and gets its other names", (context) => {
  const names = lonelyNameserver();
  context.after(() => names.stop());
  const observer = new ContainerNames({
    names,
    isOurNetwork: (network) => network === "n",
    attachedAddresses: () => [],
    clock: new VirtualClock(),
    log: silentLog,
  });
  const running = (Name: string) => observer.running({ ...container("c", "10.32.0.1"), Name });
  running(`/${"x".repeat(64)}`);
  assert.deepEqual(names.lookup("web.weave.local."), ["10.32.0.1"]);
  running("/shop");
  assert.deepEqual(names.lookup("shop.weave.local."), ["10.32.0.1"]);
});
