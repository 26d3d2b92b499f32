import assert from "node:assert/strict";
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { connected, until } from "#test/lab/wait.js";

const MESH_PORT = "6783";
/** The demand is 5 s on a machine of its own; a test must not fail because the machine is busy. */
const GENEROUS_MS = 20_000;

const FLOODS = [
  { what: "300 silent connections a second from 20 addresses", kind: "websocket", rate: 300, sources: 20 },
  { what: "8,200 silent TCP connections of one address", kind: "tcp", rate: 4_100, sources: 1 },
] as const;

for (const { what, kind, rate, sources } of FLOODS) {
  labTest(`an honest peer gets in under ${what}`, { hosts: 3, timeout: 120_000 }, async (lab) => {
    const [h1, h2, attacker] = lab.hosts;
    const addresses = Array.from({ length: sources }, (_, i) => `10.99.0.${101 + i}`);
    for (const address of addresses)
      await attacker.must("ip", "address", "add", `${address}/24`, "dev", attacker.device);
    await h1.launch();
    await h2.launch();
    const total = kind === "tcp" ? 8_400 : rate * 30;
    const flood = await attacker.background(
      "strangers",
      h1.address,
      MESH_PORT,
      kind,
      String(rate),
      String(total),
      ...addresses,
    );
    try {
      // Until it has filled what it can fill.
      await sleep(8_000);
      const began = performance.now();
      await h2.ok("connect", h1.address);
      await connected(h2, 1, GENEROUS_MS);
      console.log(`under ${what}: in after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
      if (kind === "websocket") {
        const { body } = await h1.api("GET", "/metrics");
        assert.match(
          body,
          /^weave_connections_refused_total\{reason="(busy|handshake)"\} [1-9]/m,
          "there was no flood",
        );
      }
    } finally {
      flood.kill();
    }
  });
}

/** What the host's own /etc/hosts says: `ip netns exec` puts this file in its place. */
async function withHostsFile(host: Host, run: (say: (lines: string) => void) => Promise<void>): Promise<void> {
  const folder = `/etc/netns/${host.ns}`;
  const file = `${folder}/hosts`;
  const say = (lines: string) => writeFileSync(file, `127.0.0.1 localhost\n${lines}\n`);
  mkdirSync(folder, { recursive: true });
  try {
    say("");
    await run(say);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    try {
      rmdirSync("/etc/netns");
    } catch {
      // Others have files there.
    }
  }
}

labTest(
  "a peer given by name: shown while the name has no address, found when it has, and again where it has moved to",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    await withHostsFile(h1, async (say) => {
      await h1.launch("--no-discovery", "the-other-host");
      await until("the failed lookup is shown", async () =>
        /^-> the-other-host:6783 +failed +lookup the-other-host: .*, retry: 2/m.test(
          await h1.ok("status", "connections"),
        ),
      );
      const again = await h1.weave("connect", "the-other-host", "nor-this");
      assert.match(again.stderr, /lookup nor-this: .*; it is tried again/);
      assert.equal(await h1.ok("status", "targets"), "the-other-host\nnor-this\n");
      await h1.ok("forget", "nor-this");

      await h2.launch("--no-discovery");
      say(`${h2.address} the-other-host`);
      await connected(h1, 1, 30_000);

      await h2.ok("stop");
      await h2.must("ip", "address", "flush", "dev", h2.device);
      await h2.must("ip", "address", "add", "10.99.0.77/24", "dev", h2.device);
      await h2.launch("--no-discovery");
      say("10.99.0.77 the-other-host");
      await connected(h1, 1, 30_000);
      assert.match(await h1.ok("status", "connections"), /^-> 10\.99\.0\.77:6783 +established/m);

      // The name is what is stored: the supervisor's restart finds the peer by it.
      process.kill(h1.routerPid!, "SIGKILL");
      await until(
        "the router is back",
        async () => (await h1.weave("status", "targets")).stdout === "the-other-host\n",
      );
      await connected(h1, 1, 30_000);
    });
  },
);
