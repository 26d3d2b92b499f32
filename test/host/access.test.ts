import assert from "node:assert/strict";
import { type Host, withoutNft } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

/** Whether a TCP connection comes up: a port that is closed towards the caller does not answer at all. */
const reaches = async (from: Namespace, address: string, port: number): Promise<boolean> =>
  (await from.run("timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`)).code === 0;

/** Datagrams of no session of ours that the router has received. */
async function strayDatagrams(host: Host): Promise<number> {
  const drops = JSON.parse(await host.report("{{json .Router.Drops}}")) as Record<string, number>;
  return drops["datagram-malformed"] + drops["session-unknown"];
}

/** Prints the status of an HTTP request: METHOD URL [TOKEN [HOST]]. As text: the unprivileged user cannot read this folder. */
const REQUEST = `
const [method, url, token, host] = process.argv.slice(1);
const headers = { ...(token ? { Authorization: "Bearer " + token } : {}), ...(host ? { Host: host } : {}) };
require("node:http").request(url, { method, headers, agent: false }, (answer) => console.log(answer.resume().statusCode)).end();
`;
const UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

async function ask(host: Host, user: readonly string[], ...args: string[]): Promise<number> {
  return Number(await host.must(...user, process.execPath, "-e", REQUEST, ...args));
}

labTest(
  "TCP is read-only for all users; root can change things",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch();
    const control = "http://127.0.0.1:6784";
    for (const path of ["/status", "/report?format=x", "/ip"])
      assert.equal(await ask(h1, UNPRIVILEGED, "GET", control + path), 200);
    const changes = [
      "POST /connect",
      "POST /forget",
      "POST /expose/10.32.0.9/12",
      "DELETE /ip/weave:expose",
      "GET /ring",
    ];
    for (const [method, path] of changes.map((each) => each.split(" ")))
      assert.equal(await ask(h1, UNPRIVILEGED, method, control + path), 403, path);
    const file = `${h1.runDir}/control.token`;
    assert.notEqual((await h1.run(...UNPRIVILEGED, "cat", file)).code, 0);
    const token = (await h1.must("cat", file)).trim();
    assert.equal(await ask(h1, [], "POST", `${control}/expose/10.32.0.9/12`, token), 204);
    // The command uses the socket, whatever the address.
    for (const address of ["127.0.0.1:6784", "localhost:6784", `${h1.runDir}/control.sock`]) {
      const { code, stderr } = await h1.weaveWith({ WEAVE_HTTP_ADDR: address }, "hide", "10.32.0.9/12");
      assert.deepEqual([code, stderr], [0, ""], address);
    }
    for (const port of [6784, 6782])
      assert.equal(await ask(h1, [], "GET", `http://127.0.0.1:${port}/report?format=x`, "", "evil.example"), 421);
    assert.doesNotMatch(await h1.ok("status"), /Problem/);
    await h1.ok("stop");
    await h1.launch("--insecure-http");
    assert.equal(await ask(h1, UNPRIVILEGED, "POST", `${control}/expose/10.32.0.9/12`), 204);
    assert.match(await h1.ok("status"), /Problem: any client that reaches the control API .* \(--insecure-http\)/);
  },
);

labTest(
  "expose refuses what would take the host's own network away",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.must("ip", "route", "add", "default", "via", h2.address);
    await h1.must("ip", "route", "add", "10.60.0.0/16", "via", h2.address);
    await h1.launch();
    await h2.launch(h1.address);
    await connected(h1, 1);
    const routes = await h1.must("ip", "route", "show");
    for (const [cidr, why] of [
      ["100.64.0.1/1", /a prefix shorter than \/8 would replace the default route/],
      ["10.1.2.3/7", /a prefix shorter than \/8/],
      ["10.99.0.77/24", /it contains 10\.99\.0\.2, the gateway of the route to everywhere \(default\)/],
      ["10.99.0.77/25", /it contains 10\.99\.0\.2, the gateway/],
    ] as const) {
      for (const { code, stderr } of [
        await h1.weave("expose", cidr),
        await h1.weave("expose", cidr, "--without-masquerade"),
      ]) {
        assert.match(stderr, why);
        assert.equal(code, 1);
      }
      assert.equal((await h1.api("POST", `/expose/${cidr}`)).status, 400);
      assert.equal(await h1.must("ip", "route", "show"), routes);
    }
    await h1.must("ip", "route", "delete", "default");
    await h1.must("ip", "route", "delete", "10.60.0.0/16");
    assert.match(
      (await h1.weave("expose", "10.99.0.77/24")).stderr,
      /it contains 10\.99\.0\.1, an address of this host/,
    );
    // A longer prefix elsewhere stays where it is.
    await h1.ok("expose", "10.77.0.1/8");
    assert.equal(await h1.ping(h2.address), 3);
    await h1.ok("hide", "10.77.0.1/8");
    // A host moves to a network that clashes with what it had exposed before.
    await h1.ok("expose", "10.70.0.1/16");
    await h1.ok("stop");
    await h1.must("ip", "address", "delete", "10.70.0.1/16", "dev", "weave");
    await h1.must("ip", "address", "add", "10.70.0.5/16", "dev", h1.device);
    await h1.launch();
    assert.match(await h1.ok("status"), /Problem: the exposed address is not there: 10\.70\.0\.1\/16 cannot be given/);
    assert.doesNotMatch(await h1.must("ip", "address", "show", "dev", "weave"), /10\.70/);
    await h1.ok("hide", "10.70.0.1/16");
    assert.doesNotMatch(await h1.ok("status"), /Problem/);
  },
);

for (const kind of ["nft", "iptables"] as const) {
  labTest(
    `containers reach no port of weave on any host, and all others (${kind})`,
    { hosts: 2, timeout: 120_000 },
    async ({ hosts: [h1, h2] }) => {
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
            await container.program("udp-send", address, "6783", "x".repeat(40), "20");
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
      await h2.program("udp-send", h1.address, "6783", "x".repeat(40), "20");
      await until("the others' are counted", async () => (await strayDatagrams(h1)) >= before + 20);
      for (const each of service) each.kill();
    },
  );
}
