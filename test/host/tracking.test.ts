import assert from "node:assert/strict";
import { carriersAre } from "#test/lab/fastdp.js";
import { type Host, withoutNft } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { until } from "#test/lab/wait.js";

/** The rules are looked at every 10 s; a lost path takes as long again. */
const PATIENCE_MS = 45_000;

/** What a careful administrator has: nothing comes in but answers. */
const FIREWALL = {
  nft: [
    "nft add table inet fw",
    "nft 'add chain inet fw input { type filter hook input priority 0; policy drop; }'",
    "nft 'add rule inet fw input iif lo accept; add rule inet fw input ct state established,related accept'",
  ],
  iptables: [
    "iptables -A INPUT -i lo -j ACCEPT",
    "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "iptables -P INPUT DROP",
  ],
};
const OPEN = {
  nft: "nft delete table inet fw",
  iptables:
    "iptables -P INPUT ACCEPT; iptables -D INPUT -i lo -j ACCEPT; iptables -D INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
};

/** Whether the kernel tracks the mesh's connections of a protocol. */
const tracks = async (host: Host, protocol: "tcp" | "udp", port = 6783): Promise<boolean> =>
  (await host.must("cat", "/proc/net/nf_conntrack"))
    .split("\n")
    .some((line) => line.includes(` ${protocol} `) && line.includes(`port=${port}`));

for (const kind of ["nft", "iptables"] as const) {
  labTest(
    `our datagrams are not tracked, unless rules of this host could judge by it (${kind})`,
    { hosts: 2, timeout: 240_000 },
    async ({ hosts: [h1, h2] }) => {
      const viaOf = async (host: Host) => (kind === "nft" ? ["env"] : withoutNft(host));
      const launch = async (host: Host, ...peers: string[]) => {
        const { code, stderr } = await host.weaveVia(
          await viaOf(host),
          "launch",
          "--name",
          host.peerName,
          "--nickname",
          host.name,
          ...peers,
        );
        assert.equal(code, 0, stderr);
      };
      const sleeve = async () => / established .* sleeve /.test(await h1.ok("status", "connections"));
      const untracked = async () => {
        const { stdout } =
          kind === "nft"
            ? await h1.run("nft", "list", "table", "inet", "weave")
            : await h1.run("iptables", "-t", "raw", "-S");
        return /notrack/.test(stdout);
      };
      await launch(h2);
      await launch(h1, h2.address);
      await until("the path is UDP", sleeve, PATIENCE_MS);
      assert.deepEqual([await untracked(), await tracks(h1, "tcp"), await tracks(h1, "udp")], [true, true, false]);

      // Rules come while the router runs.
      await h1.must("sh", "-ec", FIREWALL[kind].join("\n"));
      await until("datagrams are tracked", async () => !(await untracked()), PATIENCE_MS);
      await until("the path is UDP, and known", async () => (await tracks(h1, "udp")) && (await sleeve()), PATIENCE_MS);
      assert.match(h1.log(), /the datagrams of the mesh are tracked by the kernel/);

      // They were there before it; only our own side dials.
      await h1.ok("stop");
      await launch(h1, h2.address);
      await until("the path is UDP", sleeve, PATIENCE_MS);
      assert.equal(await untracked(), false);
      const [c1, c2] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
      await until("a ping is answered", async () => (await c2.ping("10.32.0.1")) > 0);
      assert.ok((await c1.ping("10.32.0.2")) > 0);

      // And go away.
      await h1.must("sh", "-c", OPEN[kind]);
      await until("datagrams are not tracked again", untracked, PATIENCE_MS);
      assert.ok((await c1.ping("10.32.0.2")) > 0);
      assert.equal((await h1.weaveVia(await viaOf(h1), "reset")).code, 0);
      assert.equal(await untracked(), false);
    },
  );
}

labTest(
  "nor are packets of the kernel's path, of which each flow would take an entry of the table",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await carriersAre([
      [h1, { h2: "fastdp" }],
      [h2, { h1: "fastdp" }],
    ]);
    const [c1] = [await h1.attach("c", "10.32.0.1/12"), await h2.attach("c", "10.32.0.2/12")];
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    for (const host of [h1, h2])
      assert.deepEqual([await tracks(host, "tcp"), await tracks(host, "udp", 6784)], [true, false]);
  },
);
