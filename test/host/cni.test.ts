import assert from "node:assert/strict";
import { type CniCallOptions, cniCall } from "#test/lab/cni.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";

const NET = { cniVersion: "1.1.0", name: "weave", type: "weave-net" };

const NOTHING = { status: 200, body: undefined, delegate: undefined };

const inside = (container: Namespace, more: CniCallOptions = {}): CniCallOptions => ({
  container: container.ns,
  netns: `/run/netns/${container.ns}`,
  ...more,
});

/** Addresses in use, by holder. */
async function held(host: Host): Promise<Record<string, string[]>> {
  const { owned } = JSON.parse((await host.api("GET", "/ip")).body) as {
    owned: { containerid: string; addrs: string[] }[];
  };
  return Object.fromEntries(owned.map(({ containerid, addrs }) => [containerid, addrs]));
}

async function links(container: Namespace): Promise<string[]> {
  const { stdout } = await container.run("ip", "-o", "link", "show");
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name).filter((name) => name !== "lo");
}

labTest(
  "an ADD attaches a container, and a DEL removes everything",
  { hosts: 1, timeout: 60_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch("--ipalloc-init", "consensus=1");
    const [a, b] = [await h1.container("a"), await h1.container("b")];
    const added = await cniCall(h1, "ADD", NET, inside(a));
    assert.equal(added.status, 200, JSON.stringify(added.body));
    const { interfaces, ips, routes } = added.body;
    assert.deepEqual(
      interfaces
        .map(({ name, sandbox }: { name: string; sandbox?: string }) => [name, sandbox])
        .filter(([, each]: string[]) => each),
      [["eth0", `/run/netns/${a.ns}`]],
    );
    assert.deepEqual(ips, [{ interface: 2, address: "10.32.0.1/12", gateway: "10.32.0.2" }]);
    assert.deepEqual(routes, [{ dst: "0.0.0.0/0", gw: "10.32.0.2" }]);
    assert.match(await a.must("ip", "route"), /^default via 10\.32\.0\.2 dev eth0/m);
    const other = await cniCall(h1, "ADD", NET, inside(b));
    assert.equal(await a.ping(other.body.ips[0].address.split("/")[0]), 3);
    assert.equal(await a.ping("10.32.0.2"), 3, "the host is the gateway");
    assert.match(await h1.ok("ps"), new RegExp(`^${a.ns.slice(0, 12)} \\S+ 10\\.32\\.0\\.1/12$`, "m"));

    const again = await cniCall(h1, "ADD", NET, inside(a));
    assert.deepEqual([again.status, again.body.code], [422, 100]);
    assert.deepEqual((await held(h1))[`cni:weave:${a.ns}:eth0`], ["10.32.0.1/12"], "the first ADD keeps its address");
    assert.deepEqual(await links(a), ["eth0"]);

    for (const _ of [1, 2]) assert.deepEqual(await cniCall(h1, "DEL", NET, inside(a, { netns: "" })), NOTHING);
    assert.deepEqual(await links(a), []);
    assert.deepEqual(Object.keys(await held(h1)).sort(), [`cni:weave:${b.ns}:eth0`, "weave:expose"]);
  },
);
