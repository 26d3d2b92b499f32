import assert from "node:assert/strict";
import { carriersAre, fastdpReport, tunnelPackets } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

/** Launches where the router takes longer to start than `weave launch` waits. Without a password: scrypt alone takes long. */
async function slowLaunch(host: Host, ...targets: string[]): Promise<void> {
  const name = ["--name", host.peerName, "--nickname", host.name];
  await host.weave("launch", ...name, "--fastdp-encrypted", "on", "--no-dns", ...targets);
  await until(`${host.name} runs`, async () => (await host.weave("status")).code === 0, 180_000).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${host.log().slice(-3_000)}`);
    },
  );
}

labTest(
  "encrypted frames of two hosts pass the kernels' WireGuard, which nothing else enters, with or without a router",
  { hosts: 2, timeout: 20 * 60_000 },
  async ({ hosts: [h1, h2] }) => {
    await slowLaunch(h1);
    await slowLaunch(h2, h1.address);
    await connected(h1, 1, 120_000);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    await h2.attach("c2", "10.32.0.2/12");
    const fastdp = [[h1, { h2: "fastdp" }] as const, [h2, { h1: "fastdp" }] as const];
    await carriersAre(fastdp, 120_000);
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

    await h1.ok("reset");
    const left = await h1.must("sh", "-c", "ip -o link show; ip netns list");
    assert.doesNotMatch(left, /weave-(vx|wg|tap|tunnel)|weave:/);
  },
);
