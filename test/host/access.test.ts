import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, type Host, hostTestsImpossible, inLab, type Namespace, until } from "#test/lab/lab.js";

const skip = hostTestsImpossible() ?? false;

/** Whether a TCP connection comes up: a port that is closed towards the caller does not answer at all. */
const reaches = async (from: Namespace, address: string, port: number): Promise<boolean> =>
  (await from.run("timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`)).code === 0;

/** What a command must begin with so that it finds no nft. */
async function withoutNft(host: Host): Promise<string[]> {
  const nft = (await host.must("sh", "-c", "readlink -f $(command -v nft)")).trim();
  return ["unshare", "--mount", "sh", "-c", `mount --bind /dev/null ${nft} && exec "$@"`, "sh"];
}

/** Datagrams of no session of ours that the router has received. */
async function strayDatagrams(host: Host): Promise<number> {
  const drops = JSON.parse(await host.report("{{json .Router.Drops}}")) as Record<string, number>;
  return drops["datagram-malformed"] + drops["session-unknown"];
}

for (const kind of ["nft", "iptables"] as const) {
  test(`containers reach no port of weave on any host, and all others (${kind})`, { skip, timeout: 120_000 }, () =>
    inLab(2, async ({ hosts: [h1, h2] }) => {
      for (const host of [h1, h2]) {
        const via = kind === "nft" ? ["env"] : await withoutNft(host);
        const peers = host === h2 ? [h1.address] : [];
        const everywhere = ["--status-addr", "0.0.0.0:6782", "--http-addr", "0.0.0.0:6784"];
        const launch = ["launch", "--name", host.peerName, "--nickname", host.name, ...everywhere, ...peers];
        const { code, stderr } = await host.weaveVia(via, ...launch);
        assert.equal(code, 0, stderr);
      }
      await connected(h1, 1);
      await h1.ok("expose", "10.32.0.100/12");
      // The host passes on what its containers send, as every Docker host does.
      await h1.must("sysctl", "-qw", "net.ipv4.ip_forward=1");
      const service = [await h1.background("listen", "8080"), await h2.background("listen", "8080")];
      const here = await h1.attach("c", "10.32.0.1/12");
      const there = await h2.attach("c", "10.32.0.2/12");
      const before = await strayDatagrams(h1);
      await Promise.all(
        [here, there].map(async (container) => {
          await until("the host is reached", () => reaches(container, "10.32.0.100", 8080));
          await container.must("ip", "route", "add", "default", "via", "10.32.0.100");
          // By its address on the overlay, by that on the LAN, and, masqueraded, another host.
          for (const address of ["10.32.0.100", h1.address, h2.address]) {
            const open = await Promise.all([8080, 6782, 6783, 6784].map((port) => reaches(container, address, port)));
            const expected = address === h2.address ? [true, true, false, true] : [true, false, false, false];
            assert.deepEqual(open, expected, `${container.ns} to ${address}`);
            await container.program("tell", address, "6783", "x".repeat(40), "20");
          }
        }),
      );
      assert.equal(await strayDatagrams(h1), before);
      // Hosts reach each other's as before.
      assert.deepEqual(await Promise.all([6782, 6783, 6784].map((port) => reaches(h2, h1.address, port))), [
        true,
        true,
        true,
      ]);
      await h2.program("tell", h1.address, "6783", "x".repeat(40), "20");
      await until("the others' are counted", async () => (await strayDatagrams(h1)) >= before + 20);
      for (const each of service) each.kill();
    }),
  );
}
