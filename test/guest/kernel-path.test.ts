/**
 * The encrypted kernel path on a kernel that has WireGuard: `npm run test:guest` runs this on one (scripts/guest.sh). Elsewhere the tests
 * are skipped, with the reason.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, suite, test } from "node:test";
import { speedsText } from "#router/carriers/fastdp/carrier-speeds.js";
import { measureSpeeds } from "#router/carriers/fastdp/speed-trial.js";
import { allowedOffloads } from "#router/datapath/offloads.js";
import { probeKernelFeatures } from "#src/linux/vxlan/features.js";
import { tunnelAddress } from "#src/linux/wireguard/tunnel.js";
import { must } from "#test/lab/namespace.js";
import { forge, type PathHost, PORT } from "#test/lab/path-hosts.js";
import { makeTunnelKeys, PathTunnels, packetsWith, TUNNEL_MTU, WG } from "#test/lab/path-tunnels.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

const wireguard =
  hostTestsImpossible() === undefined
    ? (await probeKernelFeatures()).find(({ name }) => name === "wireguard")
    : undefined;
const skip = hostTestsImpossible() ?? (wireguard?.available ? false : `no WireGuard: ${wireguard?.reason}`);

suite("the encrypted kernel path", { skip, timeout: 900_000 }, () => {
  let path: PathTunnels;
  let a: PathHost;
  let b: PathHost;

  before(async () => {
    path = await PathTunnels.make();
    [a, b] = path.hosts;
  });
  after(() => path?.dispose());

  test("CVE-2023-28842: a host without any peer takes no VXLAN from the wire", async () => {
    assert.deepEqual(await path.tunnels[0].peers(), []);
    const before = await a.received();
    forge(b.path, a.address, a.containerMac);
    assert.equal(await a.received(), before);
  });

  test("CVE-2023-28841: without a peer's key nothing leaves the host, in clear or otherwise", async () => {
    const wire = await path.wireOf(b);
    assert.equal(await path.pings(3), 0);
    await path.setPeer(0);
    assert.equal(await path.pings(3), 0, "the other end does not know this one");
    const { packets, clear } = packetsWith(wire, a.containerMac);
    assert.ok(packets > 0, "not even a handshake was sent");
    assert.equal(clear, 0);
  });

  test("packets of full size pass between containers, encrypted", async () => {
    await path.setPeer(1);
    const wire = await path.wireOf(b);
    assert.equal(await path.pings(10), 10);
    const { packets, clear } = packetsWith(wire, a.containerMac);
    assert.ok(packets >= 10, `${packets} packets on the wire`);
    assert.equal(clear, 0);
    const [peer] = await path.tunnels[0].peers();
    assert.ok(peer.lastHandshake > Date.now() - 60_000 && peer.received > 0 && peer.sent > 0);
    assert.deepEqual(peer.allowed, [`${tunnelAddress(b.mac)}/32`]);
    assert.equal(peer.endpoint?.port, PORT);
  });

  test("CVE-2023-28840: forged VXLAN from the wire reaches no device, at the address of the host or of the tunnel", async () => {
    const before = await a.received();
    forge(b.path, a.address, a.containerMac);
    await b.must("ip", "route", "add", `${tunnelAddress(a.mac)}/32`, "via", a.address);
    forge(b.path, tunnelAddress(a.mac), a.containerMac);
    assert.equal(await a.received(), before);
    // Through WireGuard they arrive: the other end is trusted.
    forge(b.tunnel().fd, tunnelAddress(a.mac), a.containerMac);
    await until("frames from inside arrive", async () => (await a.received()) === before + 5);
  });

  test("a preshared key that changes at one end and then at the other loses no packet", async () => {
    const answered = path.pings(100, 56);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    path.presharedKey = randomBytes(32);
    await path.setPeer(0, { endpoint: undefined });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await path.setPeer(1, { endpoint: undefined });
    assert.equal(await answered, 100);
  });

  test("the next handshake needs the preshared key of both ends", async () => {
    const [before] = await path.tunnels[0].peers();
    // A device that was down has no session.
    const handshake = async () => {
      a.inside("link", "set", "dev", WG, "down");
      await path.tunnels[0].repair();
      await path.setPeer(0);
      return path.pings(3, 56);
    };
    assert.equal(await handshake(), 3);
    const [after] = await path.tunnels[0].peers();
    assert.ok(after.lastHandshake > before.lastHandshake);
    const right = path.presharedKey;
    path.presharedKey = randomBytes(32);
    assert.equal(await handshake(), 0, "a session without the right key");
    path.presharedKey = right;
    assert.equal(await handshake(), 3);
  });

  test("a locked MTU of a peer is reported to its containers", async () => {
    await path.setPeer(0, { mtu: 1_400 });
    const { stdout } = await a.container.run(
      "ping",
      "-c2",
      "-i0.3",
      "-W2",
      "-M",
      "do",
      "-s",
      "1362",
      b.containerAddress,
    );
    assert.match(stdout, /mtu ?= ?1350/);
    await a.container.must("ip", "route", "flush", "cache");
    await path.setPeer(0);
    assert.equal(await path.pings(3), 3);
  });

  test("a router that comes back finds the tunnels, and their sessions go on", async () => {
    const [before] = await path.tunnels[0].peers();
    path.tunnels[0].close();
    path.tunnels[0] = await path.ensure(0);
    assert.deepEqual(await path.tunnels[0].inspect(), []);
    const [after] = await path.tunnels[0].peers();
    assert.equal(after.lastHandshake, before.lastHandshake);
    // One whose name has the same address does not take it.
    await assert.rejects(path.setPeer(0, { publicKey: makeTunnelKeys().publicKey }), { code: "WEAVE_PEER_INVALID" });
    assert.equal((await path.tunnels[0].peers())[0].lastHandshake, before.lastHandshake);
    await path.tunnels[0].removeOthers();
    assert.deepEqual(await path.tunnels[0].peers(), [], "no peer was set by this process");
    await path.setPeer(0);
    assert.equal(await path.pings(3), 3);
  });

  test("what another program changes in the tunnels is named and corrected", async () => {
    const spoil = async (...command: string[]) => {
      a.inside(...command);
      return (await path.tunnels[0].repair()).map(({ key, what }) => `${key}: ${what}`);
    };
    const device = `the WireGuard device ${WG}`;
    assert.deepEqual(await spoil("link", "set", "dev", WG, "down"), [`settings: ${device} is down`]);
    assert.equal(await path.pings(3), 3, "the kernel removes the routes of a device that is down");
    assert.deepEqual(await spoil("route", "delete", tunnelAddress(b.mac)), [
      `settings: ${device} lacks routes to peers`,
    ]);
    assert.deepEqual(await spoil("link", "set", "dev", WG, "mtu", "1300"), [
      `settings: ${device} has an MTU of 1300 instead of ${TUNNEL_MTU}`,
    ]);
    assert.deepEqual(await spoil("link", "delete", "dev", WG), [`device: ${device} is gone`]);
    assert.deepEqual(await path.tunnels[0].peers(), []);
    await path.setPeer(0);
    assert.equal(await path.pings(3), 3);
  });

  test("two peers of one address, a port in use, and another key are rejected or put right", async () => {
    await assert.rejects(path.setPeer(0, { peer: a.mac, publicKey: makeTunnelKeys().publicKey }), {
      code: "WEAVE_PEER_INVALID",
    });
    await assert.rejects(path.setPeer(0, { peer: "02:00:00:00:00:77" }), {
      code: "WEAVE_PEER_INVALID",
      message: /has sent the key of the tunnel of/,
    });
    assert.equal(await path.pings(3), 3);
    // A peer's new key replaces its old one.
    await path.setPeer(0, { publicKey: makeTunnelKeys().publicKey });
    assert.equal((await path.tunnels[0].peers()).length, 1);
    await path.setPeer(0);
    const other = makeTunnelKeys();
    const changed = await path.ensure(1, other);
    assert.deepEqual(await changed.inspect(), []);
    changed.close();
    const back = await path.ensure(1);
    assert.deepEqual(await back.inspect(), []);
    back.close();
    await assert.rejects(path.ensure(0, makeTunnelKeys(), "other"), { code: "WEAVE_PORT_IN_USE" });
    await path.setPeer(1);
    assert.equal(await path.pings(3), 3);
  });
});

test("a module that is removed, and loaded again, is found by its new number", { skip, timeout: 300_000 }, async () => {
  const path = await PathTunnels.make();
  try {
    await must("modprobe", "-r", "wireguard");
    for (const [i, tunnel] of path.tunnels.entries()) {
      // The kernel loads it as the device is made.
      const [{ key }] = await tunnel.repair();
      assert.equal(key, "device");
      await path.setPeer(i);
    }
    assert.equal(await path.pings(3), 3);
  } finally {
    path.dispose();
  }
});

test("the speeds of WireGuard and of sleeve's cipher are measured, and no interface of the host is part of it", {
  skip,
  timeout: 120_000,
}, async () => {
  const links = () => must("ip", "-o", "link");
  const before = await links();
  const started = performance.now();
  const { wireguard, sleeve } = await measureSpeeds(allowedOffloads([]), new AbortController().signal);
  assert.ok(wireguard > 0 && sleeve > 0, `${wireguard} ${sleeve}`);
  console.log(`  ${speedsText({ wireguard, sleeve })}, in ${Math.round(performance.now() - started)} ms`);
  assert.equal(await links(), before);
});
