/** The size of a path follows the links: those of the two hosts within seconds, and what is between them under traffic. */
import assert from "node:assert/strict";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const HEADERS = 28;

labTest(
  "the size of a path follows the links both ways, while the routers run",
  { hosts: 2, timeout: 180_000, mtu: 9_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    const link = (host: Host, mtu: number) => host.must("ip", "link", "set", host.device, "mtu", String(mtu));
    const size = async (host: Host) =>
      Number(await host.report("{{range .Router.OverlayDiagnostics.sleeve}}{{.DatagramBytes}}{{end}}"));
    /** @param within the search ends some bytes below what passes, where that is not our own link */
    const becomes = async (host: Host, mtu: number, within = 0) => {
      const wanted = mtu - HEADERS;
      await until(`${host.name} sends datagrams of ${wanted}, not of ${await size(host)}`, async () => {
        const now = await size(host);
        return now <= wanted && now >= wanted - within;
      });
    };
    for (const host of lab.hosts) await link(host, 1_400);
    await h1.launch();
    await h2.launch(h1.address);
    await connected(h1, 1);
    const c1 = await h1.attach("c", "10.32.0.1/12");
    await h2.attach("c", "10.32.0.2/12");
    for (const mtu of [1_400, 1_500, 9_000, 1_500]) {
      for (const host of lab.hosts) await link(host, mtu);
      for (const host of lab.hosts) await becomes(host, mtu);
    }
    assert.match(await h1.ok("status", "connections"), / mtu=1394/);

    // The other host's link is not ours to see; what it does not take is missed when frames flow.
    for (const host of lab.hosts) await link(host, 9_000);
    for (const host of lab.hosts) await becomes(host, 9_000);
    await link(h1, 1_500);
    await becomes(h1, 1_500);
    const traffic = c1.spawn(["ping", "-n", "-q", "-i", "0.2", "-s", "1200", "10.32.0.2"]);
    try {
      await becomes(h2, 1_500, 8);
    } finally {
      traffic.kill("SIGKILL");
    }
    assert.equal(await c1.ping("10.32.0.2", { count: 5, size: 30_000 }), 5);
  },
);
