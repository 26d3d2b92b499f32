import assert from "node:assert/strict";
import { existsSync, fstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { keepTunnel, type TunnelLaunchOptions } from "#cli/launch/kept-tunnel.js";
import { ROUTER_CAPABILITIES } from "#src/linux/capabilities.js";
import { probeKernelFeatures } from "#src/linux/vxlan/features.js";
import { VxlanPort } from "#src/linux/vxlan/vxlan-port.js";
import {
  findTunnelNamespace,
  nameTunnelNamespace,
  removeTunnelNamespace,
  TunnelNamespace,
  tunnelNamespaceName,
} from "#src/linux/wireguard/tunnel-namespace.js";
import { must } from "#test/lab/namespace.js";
import { forge, makePathHosts, PATH_MTU, type PathHost, VX } from "#test/lab/path-hosts.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

/** What a confined router does: prints the holder, the available features, and what the kernel has refused. */
const CONFINED = `
import { confineProcess } from "#src/linux/native/confinement.js";
import { probeKernelFeatures } from "#src/linux/vxlan/features.js";
import { TunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
const refused = confineProcess();
const { heldBy } = TunnelNamespace.ensure(process.argv[1]);
const features = (await probeKernelFeatures()).filter(({ available }) => available).map(({ name }) => name);
console.log(JSON.stringify({ refused, heldBy, features }));
`;

suite("the namespace of the tunnels", { skip, timeout: 120_000 }, () => {
  let a: PathHost;
  let b: PathHost;

  before(async () => {
    [a, b] = await makePathHosts(PATH_MTU);
  });
  after(async () => {
    for (const host of [a, b]) await host?.dispose();
  });

  test("the socket of a device in a tunnel cannot be reached from the wire, and works inside", async () => {
    // A pair of interfaces stands for WireGuard, which this kernel may lack; addresses are the same as on the wire.
    const ends = [a, b].map((host) => ["name", "ul", "netns", host.holder()]);
    await must("ip", "link", "add", ...ends[0], "type", "veth", "peer", ...ends[1]);
    for (const host of [a, b]) {
      host.inside("address", "add", `${host.address}/24`, "dev", "ul");
      host.inside("link", "set", "dev", "ul", "up");
      const port = await VxlanPort.ensure(host.netlink, { ...host.vxlan(), tunnel: host.tunnel() });
      assert.deepEqual(await port.inspect(), []);
    }
    assert.deepEqual(await (await a.table()).set(b.entries()), []);
    assert.deepEqual(await (await b.table()).set(a.entries()), []);
    assert.equal(await a.container.ping(b.containerAddress, { size: PATH_MTU - 28 }), 3);
    const before = await a.received();
    forge(b.path, a.address, a.containerMac);
    assert.equal(await a.received(), before);
    forge(b.tunnel().fd, a.address, a.containerMac);
    await until("frames from inside arrive", async () => (await a.received()) === before + 5);
  });

  test("frames go on when all processes of the routers are ended, as systemd does, where the namespaces have names", async () => {
    for (const host of [a, b]) await nameTunnelNamespace(host.runFolder);
    const pings = a.container.run("ping", "-n", "-q", "-i", "0.02", "-c", "100", "-W", "1", b.containerAddress);
    for (const host of [a, b]) {
      const { heldBy } = host.tunnel();
      assert.equal(heldBy, "name");
      process.kill(Number(host.holder()), "SIGKILL");
      await until("the holder is gone", () => !existsSync(`/proc/${host.holder()}/ns/net`));
      const later = TunnelNamespace.ensure(host.runFolder);
      assert.equal(fstatSync(later.fd).ino, fstatSync(host.tunnel().fd).ino, "a router that starts finds the same");
      later.close();
    }
    assert.match((await pings).stdout, /100 packets transmitted, 100 received/);
    // Named again, it is the same one.
    await nameTunnelNamespace(a.runFolder);
    for (const host of [a, b]) {
      await must("ip", "netns", "delete", tunnelNamespaceName(host.runFolder));
      host.tunnel().hold();
      assert.equal(host.tunnel().heldBy, "process");
    }
  });

  test("a device whose socket is in another namespace than desired is made again", async () => {
    const clear = await VxlanPort.ensure(a.netlink, a.vxlan());
    const faults = async (port: VxlanPort) => (await port.inspect()).map(({ what }) => what);
    const inTunnel = await VxlanPort.ensure(a.netlink, { ...a.vxlan(), tunnel: a.tunnel() });
    const words = "the VXLAN device weave-vx has its socket in another namespace";
    assert.deepEqual(await faults(clear), [words]);
    await clear.repair();
    assert.deepEqual(await faults(inTunnel), [words]);
    await inTunnel.repair();
  });

  test("the namespace of the tunnels outlives its maker, has one holder, and ends with its devices", async () => {
    const first = a.tunnel();
    assert.equal(first.heldBy, "process");
    const holder = a.holder();
    const device = await a.index(VX);
    TunnelNamespace.ensure(a.runFolder).close();
    assert.equal(a.holder(), holder);
    process.kill(Number(holder), "SIGKILL");
    await until("the holder is gone", () => first.heldBy === undefined);
    first.hold();
    const later = a.holder();
    assert.notEqual(later, holder);
    assert.equal(await a.index(VX), device);
    first.close();
    await removeTunnelNamespace(a.runFolder);
    await until("the device is gone", async () => (await a.index(VX)) === 0);
    assert.equal(existsSync(`/proc/${later}`), false);
    assert.equal(findTunnelNamespace(a.runFolder), undefined);
  });

  test("a namespace with a name needs no holder, and is found by it", async () => {
    const before = b.tunnel();
    await must("ip", "netns", "attach", tunnelNamespaceName(b.runFolder), b.holder());
    assert.equal(before.heldBy, "name");
    process.kill(Number(b.holder()), "SIGKILL");
    const after = TunnelNamespace.ensure(b.runFolder);
    assert.equal(after.heldBy, "name");
    assert.equal(existsSync(`${b.runFolder}/tunnel-holder`), true);
    after.close();
    assert.notEqual(await b.index(VX), 0);
  });

  test("a confined router makes the namespace and its holder, and tries the kernel's features", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weave-confined-"));
    const free = (await probeKernelFeatures()).filter(({ available }) => available).map(({ name }) => name);
    try {
      const child = [process.execPath, "--input-type=module", "-e", CONFINED, folder];
      const kept = Object.keys(ROUTER_CAPABILITIES).map((name) => name.toLowerCase());
      const bounding = ["-all", ...kept.map((name) => `+${name}`)].join(",");
      const output = await must("setpriv", "--bounding-set", bounding, "--inh-caps", "-all", ...child);
      assert.deepEqual(JSON.parse(output), { refused: [], heldBy: "process", features: free });
      assert.notEqual(findTunnelNamespace(folder), undefined, "it has ended with its maker");
    } finally {
      await removeTunnelNamespace(folder);
      rmSync(folder, { recursive: true });
    }
  });

  test("a launch names the namespace where something else ends the router's processes, and the kernel has WireGuard", async () => {
    const before = process.env.WEAVE_RUN_DIR;
    const folder = mkdtempSync(join(tmpdir(), "weave-launch-"));
    process.env.WEAVE_RUN_DIR = folder;
    const options = { noFastdp: false, fastdpEncrypted: "auto", encryption: true } as const;
    const isNamed = async (kind: string, changed: Partial<TunnelLaunchOptions> = {}) => {
      const warnings: string[] = [];
      await keepTunnel(kind, { ...options, ...changed }, (text) => void warnings.push(text));
      assert.deepEqual(warnings, []);
      return findTunnelNamespace(folder) !== undefined;
    };
    try {
      assert.equal(await isNamed("process"), false);
      assert.equal(await isNamed("systemd", { noFastdp: true }), false);
      assert.equal(await isNamed("systemd", { fastdpEncrypted: "off" }), false);
      assert.equal(await isNamed("container", { encryption: false }), false);
      const hasWireguard = (await probeKernelFeatures()).some(
        ({ name, available }) => name === "wireguard" && available,
      );
      assert.equal(await isNamed("systemd"), hasWireguard);
    } finally {
      await removeTunnelNamespace(folder);
      rmSync(folder, { recursive: true });
      if (before === undefined) delete process.env.WEAVE_RUN_DIR;
      else process.env.WEAVE_RUN_DIR = before;
    }
  });
});
