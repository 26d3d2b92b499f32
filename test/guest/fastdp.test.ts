import assert from "node:assert/strict";
import { carriersAre, fastdpReport, tunnelPackets } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { slowLaunch } from "#test/lab/slow-launch.js";
import { connected, until } from "#test/lab/wait.js";

/** Removes the module and with it the devices of all hosts: a device holds no reference to the module of its kind (rtnl_link_unregister). */
async function removeWireguard(host: Host): Promise<void> {
  await host.must("modprobe", "-r", "wireguard");
  assert.doesNotMatch(await host.must("cat", "/proc/modules"), /^wireguard /m);
}

labTest(
  "encrypted frames of two hosts pass the kernels' WireGuard, which nothing else enters, with or without a router",
  { hosts: 2, timeout: 20 * 60_000 },
  async ({ hosts: [h1, h2] }) => {
    await slowLaunch(h1, "--fastdp-encrypted", "on");
    await slowLaunch(h2, h1.address);
    await connected(h1, 1, 240_000);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    await h2.attach("c2", "10.32.0.2/12");
    const fastdp = [[h1, { h2: "fastdp" }] as const, [h2, { h1: "fastdp" }] as const];
    // "on" at one end is an order for both.
    await carriersAre(fastdp, 240_000);
    assert.match(await h1.ok("status"), /\n {6}Encrypted: VXLAN in WireGuard, UDP port 6784\n/);
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0, 60_000);
    const before = await tunnelPackets(h1, "weave-vxe");
    assert.equal(await c1.ping("10.32.0.2", { count: 20, size: 1_348, wait: 5 }), 20);
    assert.ok((await tunnelPackets(h1, "weave-vxe")).sent - before.sent >= 20);

    // The socket of VXLAN is in the namespace of the tunnels: what is sent to the host's address never reaches it.
    const { received } = await tunnelPackets(h1, "weave-vxe");
    const mac = (await c1.must("cat", "/sys/class/net/ethwe/address")).trim();
    await h2.program("vxlan-forge", h1.address, "6784", "6784", mac, "1000");
    assert.ok((await tunnelPackets(h1, "weave-vxe")).received - received < 500);
    assert.equal((await fastdpReport(h1)).MACs.Carried, 2);

    const pings = c1.run("ping", "-n", "-q", "-i", "0.1", "-c", "100", "-W", "5", "10.32.0.2");
    const pid = h2.routerPid!;
    process.kill(pid, "SIGKILL");
    await until("another router runs", () => h2.routerPid !== undefined && h2.routerPid !== pid, 120_000);
    assert.match((await pings).stdout, /100 packets transmitted, 100 received/);
    await carriersAre(fastdp, 120_000);

    // What `auto` has found.
    const speeds = async () => JSON.parse(await h2.report("{{json .Fastdp.Speeds}}"));
    await until("the speeds are measured", async () => (await speeds()).WireGuard > 0, 60_000);
    const { WireGuard, Sleeve, Result } = await speeds();
    assert.ok(Sleeve > 0);
    assert.match(Result, /^measured: WireGuard [\d.]+ MB\/s, sleeve [\d.]+ MB\/s$/);
    console.log(`  ${Result} (${WireGuard}, ${Sleeve})`);
    assert.ok((await h2.ok("status")).includes(`UDP port 6784; ${Result}\n`));

    // Its module is removed while it is used: frames take sleeve, and the kernel's path again when it is back.
    const modprobe = (await h1.must("sysctl", "-n", "kernel.modprobe")).trim();
    await h1.must("sysctl", "-q", "-w", "kernel.modprobe=/bin/false");
    await removeWireguard(h1);
    const sleeve = [[h1, { h2: "sleeve" }] as const, [h2, { h1: "sleeve" }] as const];
    await carriersAre(sleeve, 120_000);
    assert.match(await h1.ok("status"), /\n {6}Encrypted: not by the kernel: .*WireGuard/i);
    await until("a ping is answered by sleeve", async () => (await c1.ping("10.32.0.2")) > 0, 60_000);
    await h1.must("sysctl", "-q", "-w", `kernel.modprobe=${modprobe}`);
    await h1.must("modprobe", "wireguard");
    await carriersAre(fastdp, 240_000);

    await h1.ok("reset");
    const left = await h1.must("sh", "-c", "ip -o link show; ip netns list");
    assert.doesNotMatch(left, /weave-(vx|wg|tap|tunnel)|weave:/);
  },
);
