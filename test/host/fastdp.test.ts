import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tunnelNamespaceName } from "#src/linux/wireguard/tunnel-namespace.js";
import { carriersAre, fastdpReport, join, tunnelPackets } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Traffic } from "#test/lab/interruption.js";
import { Lab } from "#test/lab/lab.js";
import { must, type Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
const FASTDP = (h1: Host, h2: Host) => [[h1, { h2: "fastdp" }] as const, [h2, { h1: "fastdp" }] as const];

test("in clear the kernel forwards the frames of two hosts", { skip, timeout: 480_000 }, async (t) => {
  let lab: Lab;
  let h1: Host;
  let h2: Host;
  let c1: Namespace;
  let c2: Namespace;
  before(async () => {
    lab = await Lab.create(2);
    [h1, h2] = lab.hosts;
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await connected(h1, 1);
    c1 = await h1.attach("c1", "10.32.0.1/12");
    c2 = await h2.attach("c2", "10.32.0.2/12");
    await carriersAre(FASTDP(h1, h2));
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
  });
  after(() => lab?.dispose());

  await t.test("known unicast passes the tunnel, and not the router", async () => {
    const [packets, captured] = [await tunnelPackets(h1), await h1.report("{{.Router.CaptureStats.framesCaptured}}")];
    assert.equal(await c1.ping("10.32.0.2", { count: 20, size: 1_348 }), 20);
    const { sent, received } = await tunnelPackets(h1);
    assert.ok(sent - packets.sent >= 20 && received - packets.received >= 20, `${sent} ${received}`);
    const now = await h1.report("{{.Router.CaptureStats.framesCaptured}}");
    assert.ok(Number(now) - Number(captured) < 20, `${captured} to ${now}`);
  });

  await t.test("status names the carrier, its MTU, and what the kernel forwards", async () => {
    assert.match(await h1.ok("status", "connections"), /established unencrypted fastdp .*\(h2\) mtu=1450\n$/);
    const status = await h1.ok("status");
    assert.match(status, /\n {8}Service: fastdp\n {7}In clear: VXLAN, UDP port 6784\n/);
    assert.match(status, /\n {11}MACs: 1 on this host, 2 on all hosts, 2 by the kernel\n/);
  });

  await t.test("a flood of forged heartbeats of a container changes nothing", async () => {
    // To the bridge of the other host as well: its MAC is that peer's name.
    for (const mac of [h1.peerName, h2.peerName])
      for (const payload of ["00", "01".padEnd(88, "0"), "ff".repeat(44)])
        await c1.program("heartbeats-forge", "ethwe", mac, "20000", payload);
    for (const host of [h1, h2]) {
      const { Clear } = await fastdpReport(host);
      assert.ok(
        Object.values(Clear.HeartbeatsRefused).every((count) => count < 200),
        JSON.stringify(Clear),
      );
    }
    await sleep(1_000);
    await carriersAre(FASTDP(h1, h2), 100);
  });

  await t.test("a path that is cut is left within 2 s, and taken again without a lost frame", async () => {
    const traffic = await Traffic.start(c1, c2, "10.32.0.2");
    await sleep(500);
    await join(h1, [[h2, "sleeve"]]);
    await join(h2, [[h1, "sleeve"]]);
    await carriersAre([
      [h1, { h2: "sleeve" }],
      [h2, { h1: "sleeve" }],
    ]);
    assert.match(
      await h1.ok("status", "connections"),
      /sleeve .*reason="VXLAN does not pass: no heartbeat has arrived for 1\.\d+ s" since=20\d\d-/,
    );
    const cut = await traffic.end();
    assert.ok(cut.pingMs < 2_300, `${cut.pingMs} ms without an answer`);
    assert.equal(cut.connections, 1);
    const back = await Traffic.start(c1, c2, "10.32.0.2");
    await join(h1, []);
    await join(h2, []);
    await carriersAre(FASTDP(h1, h2));
    await sleep(500);
    const { pingMs, connections } = await back.end();
    assert.ok(pingMs < 1_000, `${pingMs} ms without an answer`);
    assert.equal(connections, 1);
  });

  await t.test("a router that is killed and starts again costs no frame", async () => {
    const traffic = await Traffic.start(c1, c2, "10.32.0.2");
    const pings = c1.run("ping", "-n", "-q", "-i", "0.005", "-c", "1000", "-W", "1", "10.32.0.2");
    await sleep(300);
    const pid = h2.routerPid!;
    process.kill(pid, "SIGKILL");
    await until("another router runs", () => h2.routerPid !== undefined && h2.routerPid !== pid, 60_000);
    await carriersAre(FASTDP(h1, h2));
    assert.match((await pings).stdout, /1000 packets transmitted, 1000 received/);
    assert.equal((await traffic.end()).connections, 1);
  });

  await t.test("--no-fastdp removes the device, and reset leaves nothing", async () => {
    await h2.ok("stop");
    await h2.launch("--encryption", "off", "--no-fastdp", "--mtu", "1376", h1.address);
    assert.equal((await h2.run("ip", "link", "show", "dev", "weave-vx")).code, 1);
    await carriersAre([
      [h1, { h2: "sleeve" }],
      [h2, { h1: "sleeve" }],
    ]);
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    // A second mount on the name of the tunnels' namespace: it cannot be removed, and nothing else may stay for that.
    const name = tunnelNamespaceName(h1.runDir);
    await must("ip", "netns", "add", name);
    try {
      await must("mount", "--bind", "/proc/self/ns/net", `/run/netns/${name}`);
      const { code, stderr } = await h1.weave("reset");
      assert.equal(code, 1, stderr);
      assert.match(
        stderr,
        /^ERROR: weave is removed, except for a part of the kernel's path: .*\nRun 'weave reset --force'/,
      );
    } finally {
      await must("sh", "-c", `while umount /run/netns/${name} 2>/dev/null; do :; done; rm /run/netns/${name}`);
    }
    const { stdout } = await h1.must("ip", "-o", "link", "show").then((text) => ({ stdout: text }));
    assert.doesNotMatch(stdout, /weave/);
  });
});
