import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { ClearTunnel } from "#router/carriers/fastdp/clear-tunnel.js";
import { PeerPaths } from "#router/carriers/fastdp/peer-paths.js";
import { measureSpeeds } from "#router/carriers/fastdp/speed-trial.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import { Forwarding } from "#router/macs/forwarding.js";
import { systemClock } from "#src/clock.js";
import { inNamespace } from "#src/linux/native/namespace-entry.js";
import { findKernelLink } from "#src/linux/netlink/link-requests.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { CLEAR_FEATURES, KERNEL_FEATURES, probeKernelFeatures } from "#src/linux/vxlan/features.js";
import type { ForwardingEntry } from "#src/linux/vxlan/forwarding-table.js";
import { HeartbeatSocket } from "#src/linux/vxlan/heartbeat-socket.js";
import { inspectRelayPort, setRelayPort, VxlanPort } from "#src/linux/vxlan/vxlan-port.js";
import { silentLog } from "#src/log.js";
import { must } from "#test/lab/namespace.js";
import { macOf, makePathHosts, PATH_MTU, type PathHost, PORT, VNI, VX } from "#test/lab/path-hosts.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
const COOKIE = 0xfeed_c0de;
const mapOf = (entries: readonly ForwardingEntry[]) => new Map(entries.map((entry) => [entry.mac, entry]));

suite("the kernel path's device and forwarding entries", { skip, timeout: 120_000 }, () => {
  let a: PathHost;
  let b: PathHost;

  before(async () => {
    [a, b] = await makePathHosts(PATH_MTU);
  });
  after(async () => {
    for (const host of [a, b]) await host?.dispose();
  });

  test("the trial of the kernel's features changes no interface, and names what is missing", async () => {
    const links = () => must("ip", "-o", "link");
    const before = await links();
    const features = await probeKernelFeatures();
    assert.equal(await links(), before);
    assert.deepEqual(features.map(({ name }) => name).sort(), Object.keys(KERNEL_FEATURES).sort());
    for (const { name, available, reason } of features) assert.equal(available, reason === "", `${name}: ${reason}`);
    for (const name of CLEAR_FEATURES) assert.ok(features.find((each) => each.name === name)?.available, name);
    // What `--fastdp-encrypted auto` does then (test/guest has a kernel with WireGuard).
    const measured = await measureSpeeds(allowedOffloads([]), new AbortController().signal).catch(
      (error: Error) => error.message,
    );
    if (features.find(({ name }) => name === "wireguard")?.available) assert.equal(typeof measured, "object");
    else assert.match(String(measured), /wireguard/i);
    assert.equal(await links(), before);
  });

  test("packets of full size pass between containers without a router", async () => {
    for (const host of [a, b]) {
      await VxlanPort.ensure(host.netlink, host.vxlan());
      await setRelayPort(host.netlink, "tap");
    }
    assert.deepEqual(await (await a.table()).set(b.entries()), []);
    assert.equal(await a.container.ping(b.containerAddress, { count: 2 }), 0, "one direction is no connection");
    assert.deepEqual(await (await b.table()).set(a.entries()), []);
    assert.equal(await a.container.ping(b.containerAddress, { size: PATH_MTU - 28 }), 3);
  });

  test("what another program changes on the device is named and corrected", async () => {
    const port = await VxlanPort.ensure(a.netlink, a.vxlan());
    const spoil = async (...command: string[]) => {
      await a.must("ip", "link", "set", "dev", VX, ...command);
      return (await port.repair()).map(({ key, what }) => `${key}: ${what}`);
    };
    assert.deepEqual(await spoil("type", "bridge_slave", "learning", "on", "isolated", "off", "flood", "on"), [
      `port: the VXLAN device ${VX} learns MACs of other hosts and gets frames of unknown destination and is not isolated`,
    ]);
    assert.deepEqual(await spoil("down"), [`settings: the VXLAN device ${VX} is down`]);
    assert.deepEqual(await spoil("mtu", "1000"), [
      `settings: the VXLAN device ${VX} has an MTU of 1000 instead of ${PATH_MTU}`,
    ]);
    assert.deepEqual(await spoil("nomaster"), [`settings: the VXLAN device ${VX} is not on the bridge weave`]);
    assert.deepEqual(await port.inspect(), []);
    await a.must("ip", "link", "set", "dev", "tap", "type", "bridge_slave", "learning", "on");
    assert.deepEqual(await inspectRelayPort(a.netlink, "tap"), [
      { key: "port", what: "the TAP device tap learns MACs of other hosts" },
    ]);
    await setRelayPort(a.netlink, "tap");
    assert.deepEqual(await inspectRelayPort(a.netlink, "tap"), []);
  });

  test("a device that is gone, or of other settings, is made again; a foreign one stays", async () => {
    const port = await VxlanPort.ensure(a.netlink, a.vxlan());
    await a.must("ip", "link", "delete", "dev", VX);
    assert.deepEqual(await port.repair(), [{ key: "device", what: `the VXLAN device ${VX} is gone` }]);
    const moved = await VxlanPort.ensure(a.netlink, { ...a.vxlan(), vni: VNI + 1 });
    assert.notEqual(moved.ifindex, port.ifindex);
    await moved.remove();
    await a.must("ip", "link", "add", "name", VX, "type", "bridge");
    await assert.rejects(VxlanPort.ensure(a.netlink, a.vxlan()), { code: "WEAVE_BRIDGE_FOREIGN" });
    await a.must("ip", "link", "delete", "dev", VX);
    const other = `link add name other type vxlan id ${VNI} dstport ${PORT} nolearning local 192.168.9.9`;
    await a.must("ip", ...other.split(" "));
    await assert.rejects(VxlanPort.ensure(a.netlink, a.vxlan()), {
      code: "WEAVE_PORT_IN_USE",
      message: /the VXLAN device other/,
    });
    await a.must("ip", "link", "delete", "dev", "other");
    await VxlanPort.ensure(a.netlink, a.vxlan());
  });

  test("a tunnel in clear whose senders nothing limits has no device, and has one again when they are limited", async () => {
    await VxlanPort.ensure(a.netlink, a.vxlan());
    const forwarding = new Forwarding(silentLog);
    const paths = new PeerPaths({ forwarding, clock: systemClock });
    const host = { heartbeatPaths: new Set<string>(), cookie: COOKIE };
    const { netlink, mac: self } = a;
    const tunnel = new ClearTunnel(
      { self, paths, host, netlink, options: a.vxlan(), tap: "tap", log: silentLog },
      undefined,
    );
    try {
      assert.equal(await tunnel.check("there is no firewall"), false);
      assert.deepEqual([await a.index(VX), tunnel.problem], [0, "there is no firewall"]);
      await inNamespace(a.path, () => tunnel.check());
      assert.notEqual(await a.index(VX), 0);
    } finally {
      tunnel.close();
      paths.stop();
    }
  });

  test("entries move between the ports, and a later process removes the stale ones alone", async () => {
    const table = await a.table();
    const entries = Array.from({ length: 1_000 }, (_, index) => ({
      mac: macOf(index),
      via: "vxlan" as const,
      host: b.address,
    }));
    assert.deepEqual(await table.set(entries), []);
    const bySleeve = entries.map((entry) => ({ ...entry, via: "tap" as const }));
    assert.deepEqual(await table.set(bySleeve), []);
    assert.deepEqual(await table.entries(), mapOf(bySleeve));
    await a.must("bridge", "fdb", "add", macOf(5_000), "dev", "port", "master", "static");
    await a.must("bridge", "fdb", "del", macOf(7), "dev", "tap", "master");
    const wanted = [...b.entries(), ...bySleeve.slice(0, 10)];
    const later = await a.table();
    assert.deepEqual(await later.reconcile(mapOf(wanted)), { added: 3, removed: 990, failures: [] });
    assert.deepEqual(await later.entries(), mapOf(wanted));
    assert.deepEqual(await later.reconcile(mapOf(wanted)), { added: 0, removed: 0, failures: [] });
    assert.match(await a.must("bridge", "fdb", "show", "dev", "port"), new RegExp(macOf(5_000)));
    assert.deepEqual(await later.remove([...bySleeve.map(({ mac }) => mac), macOf(9_000)]), []);
    assert.deepEqual(await later.entries(), mapOf(b.entries()));
  });

  test("no entry is made for an impossible MAC or host, and none for too many", async () => {
    const table = await a.table();
    const good = { mac: macOf(1), via: "vxlan" as const, host: b.address };
    const bad: Partial<ForwardingEntry>[] = [
      { mac: "00:00:00:00:00:00" },
      { mac: "ff:ff:ff:ff:ff:ff" },
      { mac: "01:00:5e:00:00:01" },
      { host: "fe80::1" },
      { port: 0 },
    ];
    for (const change of bad)
      await assert.rejects(table.set([good, { ...good, ...change }]), { code: "WEAVE_BOUNDS" }, JSON.stringify(change));
    await assert.rejects(table.set(Array(10_001).fill(good)), { code: "WEAVE_BOUNDS" });
    assert.equal((await table.entries()).has(good.mac), false);
  });

  test("heartbeats of full size arrive at the other host's bridge, and larger ones are refused here", async () => {
    const open = async (host: PathHost) => {
      const ports = await host.ports();
      return inNamespace(host.path, () => new HeartbeatSocket(ports, COOKIE));
    };
    for (const [host, other] of [
      [a, b],
      [b, a],
    ])
      await (await host.table()).set(other.entries());
    const [from, to] = [await open(a), await open(b)];
    const seen: string[] = [];
    to.events.on("frame", (source, payload) => void seen.push(`${source} ${Buffer.from(payload)}`));
    try {
      assert.equal(from.send(b.mac, a.mac, Buffer.from("full"), PATH_MTU, COOKIE), 0);
      await until("a frame arrives", () => seen.length > 0);
      assert.notEqual(from.send(b.mac, a.mac, Buffer.from("more"), PATH_MTU + 1, COOKIE), 0);
      assert.equal(from.send("ff:ff:ff:ff:ff:ff", a.mac, Buffer.from("all"), 100, COOKIE), 0);
      assert.equal(from.send(b.mac, a.mac, Buffer.from("forged"), 100, COOKIE + 1), 0);
      assert.equal(from.send(b.mac, a.mac, Buffer.from("last"), 0, COOKIE), 0);
      await until("another frame arrives", () => seen.length > 1);
      assert.deepEqual(seen, [`${a.mac} full`, `${a.mac} last`]);
    } finally {
      from.close();
      to.close();
    }
  });

  test("requests of a client that is closed meanwhile are cancelled, and touch no memory", async () => {
    const client = Netlink.open("route", a.path);
    const results = Array.from({ length: 20 }, () => findKernelLink(client, "weave").catch(({ code }) => code));
    client.close();
    assert.deepEqual(new Set(await Promise.all(results)), new Set(["WEAVE_CANCELLED"]));
    await assert.rejects(findKernelLink(client, "weave"), { code: "WEAVE_CANCELLED" });
  });
});
