import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inNamespace } from "#src/linux/native/namespace-entry.js";
import { RTM_GETNEIGH } from "#src/linux/netlink/neighbour.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { LEAST_MS } from "#src/linux/vxlan/comparisons.js";
import { type LearnedMac, LearnedMacs } from "#src/linux/vxlan/learned-macs.js";
import { VxlanPort } from "#src/linux/vxlan/vxlan-port.js";
import { macOf, makePathHosts, PATH_MTU, type PathHost } from "#test/lab/path-hosts.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

suite("MACs that the bridge learns", { skip, timeout: 120_000 }, () => {
  let a: PathHost;
  let b: PathHost;

  before(async () => {
    [a, b] = await makePathHosts(PATH_MTU);
    for (const host of [a, b]) await VxlanPort.ensure(host.netlink, host.vxlan());
  });
  after(async () => {
    for (const host of [a, b]) await host?.dispose();
  });

  test("MACs of containers are reported until their port is gone, whatever the bridge forgets", async () => {
    const ports = await a.ports();
    const macs = await LearnedMacs.open(a.netlink, "weave", () => new Set([ports.vxlan, ports.tap]));
    const seen: string[] = [];
    // The kernel itself sends from each interface, for IPv6.
    const note = (word: string) => (each: LearnedMac) => {
      if (each.mac.startsWith(macOf(0).slice(0, 8))) seen.push(`${word} ${each.mac}`);
    };
    macs.events.on("learned", note("learned"));
    macs.events.on("removed", note("removed"));
    try {
      const add = (mac: string, port: string) =>
        a.must("bridge", "fdb", "replace", mac, "dev", port, "master", "dynamic");
      for (const number of [2, 3]) {
        const pair = `link add name port${number} master weave up type veth peer name end${number}`;
        await a.must("ip", ...pair.split(" "));
        await a.must("ip", "link", "set", "dev", `end${number}`, "up");
      }
      await add(macOf(1), "port2");
      await until("the MAC is learned", () => seen.length === 1);
      await add(macOf(1), "port3");
      await until("the MAC has moved", () => seen.length === 2);
      await a.must("bridge", "fdb", "del", macOf(1), "dev", "port3", "master");
      // Programmed entries, and those of the overlay's own ports, are no containers.
      await (await a.table()).set([{ mac: macOf(2), via: "tap", host: b.address }]);
      await add(macOf(3), "tap");
      await add(macOf(4), "port3");
      await until("another MAC is learned", () => seen.length === 3);
      assert.deepEqual(seen, [`learned ${macOf(1)}`, `learned ${macOf(1)}`, `learned ${macOf(4)}`]);
      macs.forget(macOf(4));
      await a.must("bridge", "fdb", "del", macOf(4), "dev", "port3", "master");
      await add(macOf(4), "port3");
      await until("a MAC comes back", () => seen.length === 4);
      for (const port of ["port2", "port3"]) await a.must("ip", "link", "delete", "dev", port);
      await until("the MACs are gone with their port", () => seen.length === 6);
      assert.deepEqual(seen.slice(3), [`learned ${macOf(4)}`, `removed ${macOf(1)}`, `removed ${macOf(4)}`]);
      await a.must("bridge", "fdb", "del", macOf(3), "dev", "tap", "master");
    } finally {
      macs.close();
    }
  });

  test("a container that sends with another host's MAC is reported", async () => {
    const table = await a.table();
    const ports = await a.ports();
    const macs = await LearnedMacs.open(a.netlink, "weave", () => new Set([ports.vxlan, ports.tap]));
    const mac = macOf(77);
    try {
      await table.set([{ mac, via: "vxlan", host: b.address }]);
      await a.container.must("ip", "link", "set", "dev", "eth0", "address", mac);
      await a.container.run("ping", "-c1", "-W1", "-b", "10.32.0.255");
      await until("the MAC is learned", () => macs.entries().some((each) => each.mac === mac));
      assert.equal((await table.entries()).get(mac)?.via, undefined);
    } finally {
      macs.close();
      await a.container.must("ip", "link", "set", "dev", "eth0", "address", a.containerMac);
      const neighbour = `neighbour replace ${b.containerAddress} lladdr ${b.containerMac} dev eth0`;
      await a.container.must("ip", ...neighbour.split(" "));
      await table.remove([mac]);
    }
  });

  test("lost events are made up for by few lists, and invented MACs fill no table", async () => {
    const ports = await a.ports();
    const netlink = Netlink.open("route", a.path);
    let lists = 0;
    const dump = netlink.dump.bind(netlink);
    netlink.dump = (what, request) => {
      if (request.type === RTM_GETNEIGH) lists++;
      return dump(what, request);
    };
    const macs = await LearnedMacs.open(netlink, "weave", () => new Set([ports.vxlan, ports.tap]));
    assert.equal(lists, 1);
    try {
      const batch = (verb: string, first: number) =>
        // It blocks the event loop, so that the kernel's buffer overflows.
        inNamespace(a.path, () =>
          spawnSync("bridge", ["-force", "-batch", "-"], {
            input: Array.from(
              { length: 4_000 },
              (_, index) => `fdb ${verb} ${macOf(first + index)} dev port master dynamic\n`,
            ).join(""),
          }),
        );
      const beganAt = performance.now();
      for (let round = 0; round < 6; round++) {
        batch("replace", 0);
        // The overrun is read before the next one.
        await sleep(30);
        batch("del", 0);
        await sleep(30);
      }
      batch("replace", 0);
      const port = await a.index("port");
      const taken = () => macs.entries().filter(({ ifindex }) => ifindex === port).length;
      await until("the list is compared", () => taken() === 256 && macs.refused > 0, 20_000);
      await sleep(300);
      // At once, and then after 1, 2, 4 s.
      const most = 2 + Math.ceil(Math.log2(1 + (performance.now() - beganAt) / LEAST_MS));
      assert.ok(lists > 1 && lists <= 1 + most, `${lists} lists`);
      batch("del", 0);
    } finally {
      macs.close();
      netlink.close();
    }
  });
});
