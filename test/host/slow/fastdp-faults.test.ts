import assert from "node:assert/strict";
import { carriersAre, fastdpReport, takeMac, tunnelOf } from "#test/lab/fastdp.js";
import { Traffic } from "#test/lab/interruption.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const MAC = "02:cc:00:00:00:99";

labTest(
  "a deleted device, changed port flags and deleted entries are repaired; frames go on meanwhile",
  { hosts: 2, timeout: 240_000 },
  async ({ hosts: [h1, h2] }) => {
    const both = [[h1, { h2: "fastdp" }] as const, [h2, { h1: "fastdp" }] as const];
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    const [c1, c2] = [await h1.attach("c1", "10.32.0.1/12"), await h2.attach("c2", "10.32.0.2/12")];
    await carriersAre(both);
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    const mac = (await c2.must("cat", "/sys/class/net/ethwe/address")).trim();
    const repaired = async (what: string, ...pattern: readonly string[]) =>
      until(what, async () => {
        const { stdout } = await h1.run("sh", "-c", "bridge fdb show; bridge -d link show dev weave-vx");
        return pattern.every((each) => stdout.includes(each));
      });
    const traffic = await Traffic.start(c1, c2, "10.32.0.2");
    await h1.must("ip", "link", "delete", "dev", "weave-vx");
    await repaired("the device is back", `${mac} dev weave-vx dst ${h2.address}`);
    await carriersAre(both);
    const { pingMs } = await traffic.end();
    assert.ok(pingMs < 2_500, `${pingMs} ms without an answer`);
    await h1.must("bridge", "link", "set", "dev", "weave-vx", "isolated", "off", "flood", "on", "learning", "on");
    await repaired("the flags are back", "learning off flood off", "isolated on");
    await h1.must("bridge", "link", "set", "dev", "weave-tap", "learning", "on");
    const tapIs = (what: string, text: string) =>
      until(what, async () => (await h1.run("bridge", "-d", "link", "show", "dev", "weave-tap")).stdout.includes(text));
    await tapIs("the TAP does not learn", "learning off");
    await h1.must("bridge", "link", "set", "dev", "weave-tap", "isolated", "off");
    await tapIs("the TAP is isolated", "isolated on");
    // A busy machine may have missed heartbeats meanwhile.
    await carriersAre(both);
    await h1.must("bridge", "fdb", "del", mac, "dev", "weave-vx", "master");
    await h1.must("bridge", "fdb", "del", mac, "dev", "weave-vx", "self");
    await repaired(
      "the entries are back",
      `${mac} dev weave-vx dst ${h2.address}`,
      `${mac} dev weave-vx extern_learn master`,
    );
    assert.equal(await c1.ping("10.32.0.2", { count: 5 }), 5);
  },
);

labTest(
  "a MAC that two hosts have is frozen and named at all hosts, also a third, until one alone has it",
  { hosts: 3, timeout: 240_000 },
  async ({ hosts }) => {
    const [h1, h2, h3] = hosts;
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await h3.launch("--encryption", "off", h1.address, h2.address);
    for (const host of hosts) await connected(host, 2);
    await h1.attach("c1", "10.32.0.1/12");
    const [c2, c3] = [await h2.attach("c2", "10.32.0.2/12"), await h3.attach("c3", "10.32.0.3/12")];
    await carriersAre([[h1, { h2: "fastdp", h3: "fastdp" }]]);
    // Now both have it, and both send.
    for (let round = 0; round < 10; round++)
      for (const container of [c2, c3]) await takeMac(container, MAC, "10.32.0.1");
    for (const host of hosts)
      await until(`${host.name} names it`, async () => (await fastdpReport(host)).MACs.Frozen.length === 1, 10_000);
    assert.match(await h1.ok("status"), new RegExp(`FrozenMAC: ${MAC} stays at .*; also claimed by `));
    assert.match(h1.log(), /two hosts claim a MAC/);

    await h2.ok("detach", `netns:${c2.ns}`);
    for (const host of hosts)
      await until(`${host.name} has it at h3`, async () => (await fastdpReport(host)).MACs.Frozen.length === 0, 10_000);
    await until("the tunnel of h1 leads to h3", async () => (await tunnelOf(h1, MAC)) === h3.address, 3_000);
  },
);

labTest(
  "VXLAN in clear beside encryption has no device where no firewall limits its senders",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    const inClear = ["--password", "x", "--trusted-subnets", "10.99.0.0/24"];
    const links = () => h1.must("ip", "-o", "link", "show");
    await h1.launch(...inClear);
    assert.match(await h1.ok("status"), /\n {7}In clear: VXLAN, UDP port 678[45]\n/);
    assert.match(await links(), /weave-vx/);
    await h1.ok("stop");
    const tools = await h1.must(
      "sh",
      "-c",
      "for tool in nft iptables-restore; do readlink -f $(command -v $tool); done",
    );
    const hide = tools
      .trim()
      .split("\n")
      .map((tool) => `mount --bind /dev/null ${tool}`);
    const via = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", `${hide.join(" && ")} && exec "$@"`, "sh"];
    const launch = ["launch", "--name", h1.peerName, "--nickname", h1.name, ...inClear];
    const { code, stderr } = await h1.weaveVia(via, ...launch);
    assert.equal(code, 0, stderr);
    assert.match(await h1.ok("status"), /\n {7}In clear: not by the kernel: neither nft nor iptables is on this host/);
    assert.doesNotMatch(await links(), /weave-vx/);
  },
);
