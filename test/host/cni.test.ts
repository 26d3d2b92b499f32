import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cniReleaseFolder, databaseFile } from "#src/paths.js";
import { type CniCallOptions, cniBody, cniCall } from "#test/lab/cni.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";

const NET = { cniVersion: "1.1.0", name: "weave", type: "weave-net" };
const NOTHING = { status: 200, body: undefined, delegate: undefined };

const inside = (container: Namespace, more: CniCallOptions = {}): CniCallOptions => ({
  container: container.ns,
  netns: `/run/netns/${container.ns}`,
  ...more,
});

/** Addresses in use, by holder; without those of the host itself. */
async function held(host: Host): Promise<Record<string, string[]>> {
  const { owned } = JSON.parse((await host.api("GET", "/ip")).body) as {
    owned: { containerid: string; addrs: string[] }[];
  };
  return Object.fromEntries(
    owned
      .filter(({ containerid }) => containerid !== "weave:expose")
      .map(({ containerid, addrs }) => [containerid, addrs]),
  );
}

async function links(place: Namespace): Promise<string[]> {
  const { stdout } = await place.run("ip", "-o", "link", "show");
  return [...stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name).filter((name) => name !== "lo");
}

const hostEnds = async (host: Host) => (await links(host)).filter((name) => name.startsWith("vethwec"));

/** Each begins and ends without attachments. */
const cases: [string, (h1: Host) => Promise<void>][] = [];

cases.push([
  "an ADD attaches a container, and a DEL removes everything",
  async (h1) => {
    const [a, b] = [await h1.container("a1"), await h1.container("b1")];
    await h1.must("sysctl", "-qw", "net.ipv4.ip_forward=0");
    const added = await cniCall(h1, "ADD", NET, inside(a));
    assert.equal(added.status, 200, JSON.stringify(added.body));
    const { interfaces, ips, routes } = added.body;
    assert.deepEqual(interfaces[2].sandbox, `/run/netns/${a.ns}`);
    assert.deepEqual(
      interfaces.map(({ name }: { name: string }) => name),
      ["weave", (await hostEnds(h1))[0], "eth0"],
    );
    assert.deepEqual(ips, [{ interface: 2, address: "10.32.0.1/12", gateway: "10.32.0.2" }]);
    assert.deepEqual(routes, [{ dst: "0.0.0.0/0", gw: "10.32.0.2" }]);
    assert.match(await a.must("ip", "route"), /^default via 10\.32\.0\.2 dev eth0/m);
    const other = await cniCall(h1, "ADD", NET, inside(b));
    assert.equal(await a.ping(other.body.ips[0].address.split("/")[0]), 3);
    assert.equal(await a.ping("10.32.0.2"), 3, "the host is the gateway");
    assert.equal((await h1.must("sysctl", "-n", "net.ipv4.ip_forward")).trim(), "1");
    assert.match(await h1.ok("ps"), new RegExp(`^${a.ns.slice(0, 12)} \\S+ 10\\.32\\.0\\.1/12$`, "m"));
    assert.match(await h1.ok("ps", a.ns), /10\.32\.0\.1/);

    const again = await cniCall(h1, "ADD", NET, inside(a));
    assert.deepEqual([again.status, again.body.code], [422, 100]);
    assert.deepEqual((await held(h1))[`cni:weave:${a.ns}:eth0`], ["10.32.0.1/12"], "the first ADD keeps its address");
    assert.deepEqual(await links(a), ["eth0"]);

    const checked = { ...NET, prevResult: added.body };
    assert.deepEqual(await cniCall(h1, "CHECK", checked, inside(a)), NOTHING);
    for (const [command, undo, difference] of [
      ["ip route delete default", "ip route add default via 10.32.0.2", /the route to 0.0.0.0\/0 is missing/],
      ["ip link set eth0 down", "ip link set eth0 up; ip route add default via 10.32.0.2", /eth0 is down/],
      ["ip address delete 10.32.0.1/12 dev eth0", "true", /does not have the address 10.32.0.1/],
    ] as const) {
      await a.must("sh", "-c", command);
      const { status, body } = await cniCall(h1, "CHECK", checked, inside(a));
      assert.deepEqual([status, body.code], [422, 101]);
      assert.match(body.msg, difference);
      await a.must("sh", "-c", undo);
    }
    assert.deepEqual(await cniCall(h1, "STATUS", NET), NOTHING);

    for (const _ of [1, 2]) assert.deepEqual(await cniCall(h1, "DEL", NET, inside(a, { netns: "" })), NOTHING);
    assert.deepEqual(await links(a), []);
    assert.deepEqual(Object.keys(await held(h1)), [`cni:weave:${b.ns}:eth0`]);
  },
]);

cases.push([
  "a container has the addresses, routes, MAC, MTU and names that a call requests",
  async (h1) => {
    const [a, b] = [await h1.container("a2"), await h1.container("b2")];
    const wanted = {
      ...NET,
      mtu: 1_000,
      hairpinMode: false,
      dns: { nameservers: ["10.32.0.1"] },
      ipam: {
        gateway: "10.40.0.9",
        routes: [{ dst: "10.0.0.0/8" }, { dst: "192.0.2.0/24", gw: "10.40.0.8", mtu: 900 }],
      },
      runtimeConfig: {
        ips: ["10.40.0.7/24", "10.41.0.7"],
        mac: "02:00:00:00:0a:0b",
        aliases: { weave: ["app"], other: ["not"] },
      },
      prevResult: { interfaces: [{ name: "lo", sandbox: "/x" }], ips: [{ address: "127.0.0.1/8", interface: 0 }] },
    };
    const { status, body } = await cniCall(
      h1,
      "ADD",
      wanted,
      inside(a, { ifname: "net1", args: "IgnoreUnknown=1;K8S_POD_NAME=my.app" }),
    );
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body.ips, [
      { interface: 0, address: "127.0.0.1/8" },
      { interface: 3, address: "10.40.0.7/24", gateway: "10.40.0.9" },
      { interface: 3, address: "10.41.0.7/12", gateway: "10.40.0.9" },
    ]);
    assert.deepEqual(body.dns, { nameservers: ["10.32.0.1"] });
    const link = await a.must("ip", "address", "show", "net1");
    assert.match(link, /mtu 1000 .*02:00:00:00:0a:0b.*10\.40\.0\.7\/24.*10\.41\.0\.7\/12/s);
    const routes = await a.must("ip", "route");
    assert.match(routes, /^10\.0\.0\.0\/8 via 10\.40\.0\.9 dev net1/m);
    assert.match(routes, /^192\.0\.2\.0\/24 via 10\.40\.0\.8 dev net1 mtu 900/m);
    assert.doesNotMatch(routes, /default/);
    const names = await h1.ok("status", "dns");
    assert.match(names, /^app /m);
    assert.match(names, /^my\.app /m, "the name of a container, by Podman");
    assert.doesNotMatch(names, /^not /m);

    // A second interface of the container, and the same container in another network.
    const second = await cniCall(
      h1,
      "ADD",
      { ...NET, cniVersion: "0.3.1" },
      inside(a, { ifname: "net2", args: "IP=10.32.0.77;K8S_POD_NAMESPACE=x;K8S_POD_NAME=pod" }),
    );
    assert.deepEqual(second.body.ips[0].address, "10.32.0.77/12");
    assert.equal(second.body.ips[0].version, "4");
    const old = await cniCall(h1, "ADD", { name: "old" }, inside(b, { ifname: "net1" }));
    assert.match(old.body.ip4.ip, /^10\./);
    assert.equal(Object.keys(await held(h1)).length, 3);
    await cniCall(h1, "DEL", NET, inside(a, { ifname: "net1" }));
    assert.deepEqual(await links(a), ["net2"]);
    assert.doesNotMatch(await h1.ok("status", "dns"), /^(app|my\.app|pod) /m);
  },
]);

cases.push([
  "a failed ADD leaves nothing, and its error has the specification's code",
  async (h1) => {
    const a = await h1.container("a3");
    await a.must("ip", "link", "add", "taken", "type", "bridge");
    const there = inside(a);
    const cases: [string, object | string, CniCallOptions, number][] = [
      ["another interface has the name", NET, { ...there, ifname: "taken" }, 100],
      ["no namespace", NET, { ...there, netns: "/run/netns/none" }, 3],
      ["a file", NET, { ...there, netns: "/etc/hostname" }, 4],
      ["the host's own namespace", NET, { ...there, netns: `/run/netns/${h1.ns}` }, 4],
      ["no JSON", "{", there, 6],
      ["a version of the future", { ...NET, cniVersion: "9.0.0" }, there, 1],
      ["isGateway", { ...NET, isGateway: true }, there, 2],
      ["ipMasq", { ...NET, ipMasq: true }, there, 2],
      ["another bridge", { ...NET, bridge: "cni0" }, there, 7],
      ["an MTU above the bridge's", { ...NET, mtu: 9_000 }, there, 7],
      ["a subnet outside of the range", { ...NET, ipam: { subnet: "192.168.0.0/24" } }, there, 7],
      [
        "an unreachable gateway",
        { ...NET, ipam: { routes: [{ dst: "0.0.0.0/0", gw: "10.32.0.1", scope: 300 }] } },
        there,
        100,
      ],
      ["a name that is not valid", { ...NET, runtimeConfig: { aliases: ["a b"] } }, there, 7],
      ["no list for GC", NET, there, 7],
    ];
    for (const [what, configuration, options, code] of cases) {
      const command = what.endsWith("GC") ? "GC" : "ADD";
      const { status, body } = await cniCall(h1, command, configuration, options);
      assert.deepEqual([status, body?.code], [422, code], `${what}: ${JSON.stringify(body)}`);
      assert.ok(body.msg.length > 10, what);
    }
    assert.deepEqual([await held(h1), await links(a), await hostEnds(h1)], [{}, ["taken"], []]);
  },
]);

cases.push([
  "another IPAM plugin assigns the address, and its failure undoes the ADD",
  async (h1) => {
    const a = await h1.container("a4");
    const net = { ...NET, ipam: { type: "host-local", subnet: "10.99.1.0/24" } };
    const result = {
      cniVersion: "1.1.0",
      ips: [{ address: "10.99.1.5/24", gateway: "10.99.1.1" }, { address: "fd00::5/64" }],
    };
    assert.deepEqual(await cniCall(h1, "ADD", net, inside(a)), {
      status: 202,
      body: undefined,
      delegate: "host-local ADD",
    });
    const added = await cniCall(h1, "ADD", net, inside(a, { delegates: [[0, result]] }));
    assert.equal(added.status, 200, JSON.stringify(added.body));
    assert.match(await a.must("ip", "address", "show", "eth0"), /10\.99\.1\.5\/24.*fd00::5\/64/s);
    assert.match(await a.must("ip", "route"), /default via 10\.99\.1\.1/);
    assert.deepEqual(await held(h1), {}, "weave allocates nothing");
    for (const command of ["CHECK", "DEL", "STATUS", "GC"]) {
      const conf = {
        ...net,
        prevResult: added.body,
        "cni.dev/valid-attachments": [{ containerID: a.ns, ifname: "eth0" }],
      };
      assert.equal((await cniCall(h1, command, conf, inside(a))).delegate, `host-local ${command}`);
      const failed = await cniCall(
        h1,
        command === "CHECK" ? command : "DEL",
        conf,
        inside(a, { delegates: [[1, { code: 77, msg: "no" }]] }),
      );
      assert.deepEqual([failed.body.code, failed.body.msg], [77, "host-local: no"]);
      if (command !== "CHECK")
        assert.deepEqual(await cniCall(h1, command, conf, inside(a, { delegates: [[0, ""]] })), NOTHING);
    }
    assert.deepEqual(await links(a), []);
    for (const outcome of [
      [1, { code: 11, msg: "full" }],
      [0, "{"],
      [0, { ips: [] }],
      [0, { ips: [{ address: "x" }] }],
    ] as const) {
      const { status, delegate } = await cniCall(h1, "ADD", net, inside(a, { delegates: [outcome] }));
      assert.deepEqual([status, delegate], [422, "host-local DEL"], JSON.stringify(outcome));
    }
    assert.deepEqual([await links(a), await hostEnds(h1)], [[], []]);
  },
]);

cases.push([
  "weave-ipam assigns addresses to the interfaces of other plugins",
  async (h1) => {
    const a = await h1.container("a5");
    const bridge = {
      cniVersion: "0.4.0",
      name: "other",
      type: "bridge",
      ipam: { type: "weave-ipam", gateway: "10.32.0.9", routes: [{ dst: "10.0.0.0/8" }] },
    };
    const options = inside(a, { plugin: "ipam" });
    const { body } = await cniCall(h1, "ADD", bridge, options);
    assert.deepEqual(body, {
      cniVersion: "0.4.0",
      ips: [{ version: "4", address: "10.32.0.1/12", gateway: "10.32.0.9" }],
      routes: [{ dst: "10.0.0.0/8" }],
    });
    assert.deepEqual(await held(h1), { [`cni-ipam:other:${a.ns}:eth0`]: ["10.32.0.1/12"] });
    assert.deepEqual(await cniCall(h1, "CHECK", { ...bridge, prevResult: body }, options), NOTHING);
    for (const _ of [1, 2]) assert.deepEqual(await cniCall(h1, "DEL", bridge, options), NOTHING);
    assert.deepEqual(await held(h1), {});
    assert.equal((await cniCall(h1, "CHECK", { ...bridge, prevResult: body }, options)).body.code, 101);
  },
]);

cases.push([
  "a GC releases what the runtime does not list, of its network alone",
  async (h1) => {
    const [a, b] = [await h1.container("a6"), await h1.container("b6")];
    const other = { ...NET, name: "other" };
    await Promise.all([
      cniCall(h1, "ADD", NET, inside(a)),
      cniCall(h1, "ADD", NET, inside(b)),
      cniCall(h1, "ADD", other, inside(a, { ifname: "eth1" })),
      cniCall(h1, "ADD", NET, inside(b, { plugin: "ipam", ifname: "eth9" })),
    ]);
    assert.equal(Object.keys(await held(h1)).length, 4);
    const valid = { "cni.dev/valid-attachments": [{ containerID: a.ns, ifname: "eth0" }] };
    assert.deepEqual(await cniCall(h1, "GC", { ...NET, ...valid }), NOTHING);
    assert.deepEqual(
      Object.keys(await held(h1)).sort(),
      [`cni-ipam:weave:${b.ns}:eth9`, `cni:other:${a.ns}:eth1`, `cni:weave:${a.ns}:eth0`].sort(),
    );
    assert.deepEqual([(await links(a)).sort(), await links(b)], [["eth0", "eth1"], []]);
    assert.deepEqual(await cniCall(h1, "GC", { ...NET, ...valid }, { plugin: "ipam" }), NOTHING);
    assert.equal(Object.keys(await held(h1)).length, 2);
  },
]);

cases.push([
  "containers keep their addresses across a restart; stored releases are executed",
  async (h1) => {
    const [a, b] = [await h1.container("a7"), await h1.container("b7")];
    const first = await cniCall(h1, "ADD", NET, inside(a));
    await cniCall(h1, "ADD", NET, inside(b));
    await h1.ok("stop");
    const folder = cniReleaseFolder(h1.runDir);
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(join(folder, "00000000000000aa.net"), cniBody("DEL", NET, inside(b)));
    await h1.launch("--ipalloc-init", "consensus=1");
    assert.deepEqual(Object.keys(await held(h1)), [`cni:weave:${a.ns}:eth0`]);
    assert.deepEqual([await links(a), await links(b), readdirSync(folder)], [["eth0"], [], []]);
    assert.deepEqual(await cniCall(h1, "CHECK", { ...NET, prevResult: first.body }, inside(a)), NOTHING);
    // Also when the database is lost.
    await h1.ok("stop");
    rmSync(databaseFile(h1.databasePrefix), { force: true });
    await h1.launch("--ipalloc-init", "consensus=1", "--no-dns");
    assert.deepEqual(await held(h1), { [`cni:weave:${a.ns}:eth0`]: ["10.32.0.1/12"] });
    // While the router runs too: a client may have given up before.
    writeFileSync(join(folder, "00000000000000ab.net"), cniBody("DEL", NET, inside(a)));
    writeFileSync(join(folder, "00000000000000ac.net"), cniBody("ADD", NET, inside(b)));
    assert.equal((await cniCall(h1, "ADD", NET, inside(a))).body.ips[0].address, "10.32.0.1/12");
    assert.ok(existsSync(folder));
    assert.deepEqual([readdirSync(folder), await links(b)], [[], []]);
    // Two for one container at the same time: one attaches it. Without weaveDNS its names have no use, and are no obstacle.
    const named = { ...NET, runtimeConfig: { aliases: ["app"] } };
    const both = await Promise.all([1, 2].map(() => cniCall(h1, "ADD", named, inside(b))));
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 422]);
    assert.deepEqual(await links(b), ["eth0"]);
  },
]);

test("a router answers CNI calls", { skip: hostTestsImpossible() ?? false, timeout: 300_000 }, async (t) => {
  const lab = await Lab.create(1);
  try {
    const [h1] = lab.hosts;
    await h1.launch("--ipalloc-init", "consensus=1");
    for (const [name, run] of cases) {
      await t.test(name, async () => {
        await run(h1);
        for (const plugin of ["net", "ipam"] as const)
          for (const network of ["weave", "other", "old"])
            await cniCall(h1, "GC", { ...NET, name: network, "cni.dev/valid-attachments": [] }, { plugin });
        assert.deepEqual(await held(h1), {});
      });
    }
  } finally {
    await lab.dispose();
  }
});
