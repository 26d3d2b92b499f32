import assert from "node:assert/strict";
import { test } from "node:test";
import { requestedCniAddresses, requestedCniMac } from "#router/cni/cni-addresses.js";
import { planRoutes } from "#router/cni/cni-routes.js";

const ADDRESSES = ["10.32.0.2/12"];

test("without routes there is a default route by the gateway", () => {
  const { routes, commands } = planRoutes({ addresses: ADDRESSES, routes: undefined, gateways: ["10.32.0.1"] });
  assert.deepEqual(routes, [{ dst: "0.0.0.0/0", gw: "10.32.0.1" }]);
  assert.deepEqual(commands, [{ dst: "0.0.0.0/0", gw: "10.32.0.1", options: "" }]);
  assert.deepEqual(planRoutes({ addresses: ADDRESSES, routes: [], gateways: ["10.32.0.1"] }).commands, []);
  assert.deepEqual(planRoutes({ addresses: ADDRESSES, routes: undefined, gateways: [] }).commands, []);
});

test("a route without a next hop uses the gateway of its family, and one outside of the subnets gets a route of its own", () => {
  const { commands } = planRoutes({
    addresses: ADDRESSES,
    routes: [
      { dst: "10.0.0.0/8" },
      { dst: "192.168.0.0/16", gw: "172.16.0.9" },
      { dst: "fd00::/8" },
      { dst: "10.0.0.0/8" },
    ],
    gateways: ["10.32.0.1"],
  });
  assert.deepEqual(commands, [
    { dst: "172.16.0.9/32" },
    { dst: "10.0.0.0/8", gw: "10.32.0.1", options: "" },
    { dst: "192.168.0.0/16", gw: "172.16.0.9", options: "" },
    { dst: "fd00::/8", gw: undefined, options: "" },
  ]);
});

test("attributes of a route become words of ip", () => {
  const route = { dst: "10.0.0.0/8", mtu: 1300, advmss: 1260, priority: 7, table: 100, scope: 0 };
  const { commands } = planRoutes({ addresses: ADDRESSES, routes: [route], gateways: [] });
  assert.equal(commands[0].options, " mtu 1300 advmss 1260 metric 7 table 100 scope 0");
});

test("routes that ip would misread are rejected", () => {
  for (const dst of [
    "",
    "default",
    "10.0.0.0",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "10.0.0.0/8 dev lo",
    "fd00::/129",
    "x::/8",
    "10.0.0.0/8\nlink",
    "fd00::/8/\nlink",
    "::/0/0",
  ])
    assert.throws(
      () => planRoutes({ addresses: ADDRESSES, routes: [{ dst }], gateways: [] }),
      /no destination of a route/,
      JSON.stringify(dst),
    );
  for (const gw of ["x", "10.0.0.1/8", "10.0.0.1 dev lo"]) {
    assert.throws(
      () => planRoutes({ addresses: ADDRESSES, routes: [{ dst: "10.0.0.0/8", gw }], gateways: [] }),
      /next hop/,
    );
    assert.throws(() => planRoutes({ addresses: ADDRESSES, routes: undefined, gateways: [gw] }), /gateway/);
  }
});

const call = (...args: [string, string][]) => ({ args: new Map(args) });
const conf = (fields: Partial<Parameters<typeof requestedCniAddresses>[1]> = {}) => ({
  ipam: {},
  runtimeConfig: undefined,
  args: undefined,
  ...fields,
});

test("an address comes from the subnet of the configuration, else from the default one", () => {
  assert.deepEqual(requestedCniAddresses(call(), conf(), "10.32.0.0/12"), [{ kind: "net", subnet: "" }]);
  assert.deepEqual(requestedCniAddresses(call(), conf({ ipam: { subnet: "10.40.0.0/16" } }), "10.32.0.0/12"), [
    { kind: "net", subnet: "10.40.0.0/16" },
  ]);
});

test("without address allocation a call must request its addresses", () => {
  assert.throws(() => requestedCniAddresses(call(), conf(), undefined), /address allocation is off/);
  const named = call(["IP", "10.32.0.9/12"]);
  assert.deepEqual(requestedCniAddresses(named, conf(), undefined), [{ kind: "ip", cidr: "10.32.0.9/12" }]);
});

test("a requested address has the prefix length of its subnet; the runtime's request precedes older ways", () => {
  const named = call(["IP", "10.32.0.9,10.32.0.9"]);
  assert.deepEqual(requestedCniAddresses(named, conf(), "10.32.0.0/12"), [{ kind: "ip", cidr: "10.32.0.9/12" }]);
  const args = { cni: { ips: ["10.32.0.8/24"] } };
  assert.deepEqual(requestedCniAddresses(named, conf({ args }), "10.32.0.0/12"), [
    { kind: "ip", cidr: "10.32.0.8/24" },
  ]);
  const runtimeConfig = { ips: ["10.40.0.7", "10.32.0.6/12"] };
  assert.deepEqual(
    requestedCniAddresses(named, conf({ args, runtimeConfig, ipam: { subnet: "10.40.0.0/16" } }), undefined),
    [
      { kind: "ip", cidr: "10.40.0.7/16" },
      { kind: "ip", cidr: "10.32.0.6/12" },
    ],
  );
});

test("addresses that weave cannot assign are rejected", () => {
  for (const [address, message] of [
    ["fd00::1", /IPv4 addresses only/],
    ["192.168.0.1", /prefix length .* is unknown/],
    ["10.32.0.1/33", /invalid CIDR/],
    ["x", /invalid CIDR/],
  ] as const)
    assert.throws(() => requestedCniAddresses(call(["IP", address]), conf(), "10.32.0.0/12"), message, address);
});

test("a MAC is one that an interface can have", () => {
  assert.equal(requestedCniMac(call(), conf()), undefined);
  assert.equal(requestedCniMac(call(["MAC", "0A:58:0a:00:00:01"]), conf()), "0a:58:0a:00:00:01");
  assert.equal(
    requestedCniMac(call(["MAC", "x"]), conf({ runtimeConfig: { mac: "02:00:00:00:00:09" } })),
    "02:00:00:00:00:09",
  );
  for (const mac of ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:00:00:00:00", "::1", "x"])
    assert.throws(() => requestedCniMac(call(["MAC", mac]), conf()), /as MAC/, mac);
});
