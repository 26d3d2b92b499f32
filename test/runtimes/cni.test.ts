import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { allocated, type CniRuntime, cnitoolMissing, pluginsMissing, runtimeTest } from "#test/lab/cni-runtime.js";
import { until } from "#test/lab/wait.js";

const addressOf = (cidr: string): string => cidr.split("/")[0];

runtimeTest(
  "cnitool attaches containers of two hosts, with published ports and a default route by the host",
  2,
  async ([r1, r2]) => {
    const [a, b] = await Promise.all([r1.container("a"), r2.container("b")]);
    const ports = { CAP_ARGS: '{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]}' };
    const [added, other] = await Promise.all([
      r1.cnitool("add", "weave", a.netns, ports),
      r2.cnitool("add", "weave", b.netns),
    ]);
    assert.deepEqual([added.code, other.code], [0, 0], added.stderr + other.stderr);
    const { cniVersion, ips, interfaces, routes } = added.json;
    assert.equal(cniVersion, "1.0.0");
    assert.deepEqual(
      interfaces.map(({ name, sandbox }) => [name.replace(/^vethwe.*/, "host end"), sandbox]),
      [
        ["weave", undefined],
        ["host end", undefined],
        ["eth0", a.netns],
      ],
    );
    assert.equal(interfaces[ips[0].interface!].name, "eth0");
    const gateway = ips[0].gateway!;
    assert.deepEqual(routes, [{ dst: "0.0.0.0/0", gw: gateway }]);
    assert.match(await a.namespace.must("ip", "route", "show", "default"), new RegExp(`via ${gateway} dev eth0`));
    assert.match(await r1.host.must("ip", "address", "show", "dev", "weave"), new RegExp(`inet ${gateway}/`));
    assert.equal(await a.namespace.ping(addressOf(other.json.ips[0].address)), 3);
    assert.equal(await a.namespace.ping(r2.host.address), 3, "beyond the host, masqueraded");
    assert.equal(await r1.host.ping(addressOf(ips[0].address)), 3, "from the host");
    for (const client of [r2.host, a.namespace]) {
      const server = await a.namespace.background("receive", "80");
      const { stdout } = await client.program("send", r1.host.address, "8080", "100000");
      assert.equal(
        await server.result,
        stdout.trim(),
        "by the published port, from another host and from the container itself",
      );
    }
    // Without the ports: portmap looks for IPv6 rules, too, which it has not made (containernetworking-plugins 1.1).
    const check = await r1.cnitool("check", "weave", a.netns);
    assert.equal(check.code, 0, check.stderr + check.stdout);
    await a.namespace.must("ip", "address", "delete", ips[0].address, "dev", "eth0");
    const changed = await r1.cnitool("check", "weave", a.netns);
    assert.match(changed.stderr + changed.stdout, /does not have the address/);
    for (let i = 0; i < 2; i++) assert.equal((await r1.cnitool("del", "weave", a.netns, ports)).code, 0);
    assert.equal((await a.namespace.run("ip", "link", "show", "dev", "eth0")).code, 1);
    assert.equal((await allocated(r1.host)).size, 0);
    assert.doesNotMatch(await r1.host.must("iptables-save"), /8080/);
  },
  cnitoolMissing ?? pluginsMissing,
);

/** A network configuration of weave-net. */
const network = (cniVersion: string, fields: object = {}) => ({
  cniVersion,
  name: "net",
  type: "weave-net",
  ...fields,
});

runtimeTest("each version of CNI has its form of result, and its commands", 1, async ([runtime]) => {
  const container = await runtime.container("a");
  for (const version of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
    const result = await runtime.must("ADD", network(version), container);
    assert.equal(result.cniVersion, version);
    if (version < "0.3.0") assert.match(result.ip4!.ip, /^10\.32\.0\.\d+\/12$/);
    else assert.equal(result.ips[0].version, version < "1.0.0" ? "4" : undefined);
    const check = await runtime.call("CHECK", network(version, { prevResult: result }), container);
    assert.deepEqual([check.code, check.json.code], version < "0.4.0" ? [1, 1] : [0, undefined], check.stdout);
    const again = await runtime.call("ADD", network(version), container);
    assert.equal(again.code, 1, "the interface exists");
    assert.equal((await runtime.call("CHECK", network(version, { prevResult: result }), container)).code, check.code);
    for (let i = 0; i < 2; i++)
      assert.equal((await runtime.call("DEL", network(version, { prevResult: result }), container)).code, 0);
    const { json } = await runtime.call("VERSION", { cniVersion: version });
    assert.equal(json.cniVersion, version);
  }
  assert.equal((await allocated(runtime.host)).size, 0);
  assert.equal((await runtime.call("ADD", network("2.0.0"), container)).json.code, 1);
});

runtimeTest(
  "two interfaces of a container are two attachments; GC and STATUS know the network",
  1,
  async ([runtime]) => {
    const { host } = runtime;
    const [a, b] = [await runtime.container("a"), await runtime.container("b")];
    const second = { ...a, ifname: "eth1" };
    const conf = network("1.1.0");
    await runtime.must("STATUS", conf);
    await runtime.must("ADD", conf, a);
    const { ips } = await runtime.must("ADD", network("1.1.0", { ipam: { routes: [] } }), second);
    await runtime.must("ADD", conf, b);
    await runtime.must("ADD", network("1.1.0", { name: "other", ipam: { routes: [] } }), { ...b, ifname: "eth1" });
    assert.equal((await allocated(host)).size, 4);
    await runtime.must("DEL", conf, a);
    assert.match(await a.namespace.must("ip", "address", "show", "dev", "eth1"), new RegExp(ips[0].address));
    const valid = [{ containerID: "b", ifname: "eth0" }];
    await runtime.must("GC", { ...conf, "cni.dev/valid-attachments": valid });
    assert.deepEqual(
      [...(await allocated(host)).keys()].filter((ident) => !ident.includes("b")),
      [],
      "only b's are left, also in the other network",
    );
    assert.equal((await allocated(host)).size, 2);
    assert.equal((await runtime.call("GC", conf)).json.code, 7, "without a list it removes nothing");
    assert.equal((await allocated(host)).size, 2);
  },
);

runtimeTest("a DEL without a router succeeds, and the next router releases the address", 1, async ([runtime]) => {
  const { host } = runtime;
  const [a, b] = [await runtime.container("a"), await runtime.container("b")];
  for (const each of [a, b]) await runtime.must("ADD", network("1.0.0"), each);
  await host.ok("stop");
  await host.must("ip", "netns", "delete", b.namespace.ns);
  for (const each of [a, { ...b, netns: "" }])
    assert.equal((await runtime.call("DEL", network("1.0.0"), each)).code, 0);
  assert.equal(readdirSync(runtime.releases).length, 2);
  assert.equal((await runtime.call("STATUS", network("1.1.0"))).json.code, 51);
  await host.launch("--ipalloc-init", "consensus=1");
  await runtime.must("ADD", network("1.0.0"), { ...a, ifname: "eth1" });
  assert.deepEqual(readdirSync(runtime.releases), []);
  assert.equal((await a.namespace.run("ip", "link", "show", "dev", "eth0")).code, 1);
  assert.equal((await allocated(host)).size, 1);
  await host.ok("reset", "--force");
  assert.ok(!existsSync(host.runDir), "reset leaves neither the queue nor its folder");
  assert.ok(!existsSync(runtime.plugins));
  assert.deepEqual(readdirSync(runtime.configurations), []);
});

runtimeTest(
  "a runtime that kills its plugin in the middle leaves no interface and no address",
  1,
  async ([runtime]) => {
    const container = await runtime.container("a");
    for (const delay of [0, 5, 15, 30, 60]) {
      await runtime.killed("ADD", network("1.0.0"), container, delay);
      await runtime.must("DEL", network("1.0.0"), container);
      assert.equal((await container.namespace.run("ip", "link", "show", "dev", "eth0")).code, 1);
      await until("its address is free", async () => (await allocated(runtime.host)).size === 0);
    }
    await runtime.must("ADD", network("1.0.0"), container);
  },
);

const local = (runtime: CniRuntime, subnet = "10.99.64.0/24") => ({
  type: "host-local",
  subnet,
  dataDir: runtime.addresses,
  routes: [{ dst: "10.99.128.0/24" }],
});

/** Addresses that host-local has assigned. */
const localAddresses = (runtime: CniRuntime, name: string): string[] => {
  const folder = join(runtime.addresses, name);
  return existsSync(folder) ? readdirSync(folder).filter((each) => /^\d/.test(each)) : [];
};

runtimeTest("addresses of host-local: ADD, CHECK, failure, and DEL with and without a router", 1, async ([runtime]) => {
  const { host } = runtime;
  const container = await runtime.container("a");
  const conf = network("1.0.0", { ipam: local(runtime) });
  const result = await runtime.must("ADD", conf, container);
  assert.equal(result.ips[0].address, "10.99.64.2/24");
  assert.deepEqual(localAddresses(runtime, "net"), ["10.99.64.2"]);
  assert.match(await container.namespace.must("ip", "route"), /10\.99\.128\.0\/24 via 10\.99\.64\.1 dev eth0/);
  assert.equal((await allocated(host)).size, 0);
  await runtime.must("CHECK", { ...conf, prevResult: result }, container);
  await runtime.must("DEL", conf, container);
  assert.deepEqual(localAddresses(runtime, "net"), []);
  await container.namespace.must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other");
  const failed = await runtime.call("ADD", conf, container);
  assert.deepEqual([failed.code, localAddresses(runtime, "net")], [1, []], failed.stdout);
  await container.namespace.must("ip", "link", "delete", "eth0");
  const wrong = await runtime.call(
    "ADD",
    network("1.0.0", { ipam: { type: "host-local", subnet: "nonsense" } }),
    container,
  );
  assert.match(wrong.json.msg, /nonsense/, wrong.stdout);
  const missing = await runtime.call("ADD", network("1.0.0", { ipam: { type: "no-such-plugin" } }), container);
  assert.match(missing.json.msg, /no-such-plugin/);
  await runtime.must("ADD", conf, container);
  await host.ok("stop");
  assert.equal((await runtime.call("DEL", conf, container)).code, 0);
  assert.deepEqual(localAddresses(runtime, "net"), []);
});

runtimeTest("weave-ipam gives unique addresses to the bridge plugin on two hosts", 2, async ([r1, r2]) => {
  const conf = {
    cniVersion: "1.0.0",
    name: "local",
    type: "bridge",
    bridge: "cni0",
    ipam: { type: "weave-ipam", routes: [{ dst: "10.99.128.0/24" }] },
  };
  const made: string[] = [];
  for (const runtime of [r1, r2]) {
    const container = await runtime.container("a");
    const result = await runtime.must("ADD", conf, container, {}, "bridge");
    made.push(result.ips[0].address);
    assert.match(await container.namespace.must("ip", "address", "show", "dev", "eth0"), new RegExp(made.at(-1)!));
    await runtime.must("CHECK", { ...conf, prevResult: result }, container, {}, "bridge");
    assert.equal((await allocated(runtime.host)).size, 1);
    await runtime.must("DEL", conf, container, {}, "bridge");
    assert.equal((await allocated(runtime.host)).size, 0);
  }
  assert.equal(new Set(made).size, 2, made.join(" "));
});

runtimeTest("malformed calls are errors with their code, and change nothing", 1, async ([runtime]) => {
  const container = await runtime.container("a");
  const conf = network("1.0.0");
  for (const [command, configuration, env, code] of [
    ["ADD", "", {}, 6],
    ["ADD", "[]", {}, 6],
    ["ADD", '{"cniVersion":', {}, 6],
    ["ADD", { ...conf, name: "../x" }, {}, 7],
    ["ADD", { ...conf, name: undefined }, {}, 7],
    ["ADD", { ...conf, cniVersion: 1 }, {}, undefined],
    ["ADD", { ...conf, mtu: "large" }, {}, 7],
    ["ADD", { ...conf, bridge: "docker0" }, {}, 7],
    ["ADD", { ...conf, isGateway: true }, {}, 2],
    ["ADD", { ...conf, ipMasq: true }, {}, 2],
    ["ADD", { ...conf, ipam: { subnet: "nonsense" } }, {}, 7],
    ["ADD", { ...conf, ipam: { type: "../../bin/sh" } }, {}, 7],
    ["ADD", { ...conf, ipam: { routes: [{ dst: "nonsense" }] } }, {}, 7],
    ["ADD", conf, { CNI_CONTAINERID: "../a" }, 4],
    ["ADD", conf, { CNI_IFNAME: "a/b" }, 4],
    ["ADD", conf, { CNI_IFNAME: "longer-than-15-characters" }, 4],
    ["ADD", conf, { CNI_NETNS: "/run/netns/no-such-namespace" }, 3],
    ["ADD", conf, { CNI_NETNS: "/proc/1/ns/net" }, undefined],
    ["ADD", conf, { CNI_NETNS: "/etc/passwd" }, undefined],
    ["ADD", conf, { CNI_ARGS: "IP=nonsense" }, 7],
    ["ADD", conf, { CNI_ARGS: "MAC=01:00:00:00:00:00" }, 7],
    ["CHECK", conf, {}, 7],
    ["CHECK", { ...conf, prevResult: "text" }, {}, undefined],
    ["DEL", { ...conf, name: 7 }, {}, 7],
    ["MOVE", conf, {}, 4],
  ] as const) {
    const reply = await runtime.call(command, configuration, container, env);
    const what = `${command} ${JSON.stringify(configuration)} ${JSON.stringify(env)}: ${reply.stdout}`;
    assert.equal(reply.code, 1, what);
    if (code !== undefined) assert.equal(reply.json.code, code, what);
    assert.equal(typeof reply.json.msg, "string", what);
  }
  assert.equal((await allocated(runtime.host)).size, 0);
  assert.equal((await container.namespace.run("ip", "link", "show", "dev", "eth0")).code, 1);
  // Of a namespace that is gone, DEL succeeds.
  await runtime.must("DEL", conf, { id: "a", netns: "/run/netns/no-such-namespace" });
});
