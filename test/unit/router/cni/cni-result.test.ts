import assert from "node:assert/strict";
import { test } from "node:test";
import { CniError, cniErrorBody } from "#router/cni/cni-error.js";
import { type CniResult, cniResultBody, parseCniResult } from "#router/cni/cni-result.js";
import { CNI_VERSIONS } from "#router/cni/cni-version.js";
import { WeaveError } from "#src/errors.js";

const RESULT: CniResult = {
  interfaces: [
    { name: "weave", mac: "02:00:00:00:00:01", mtu: 1376 },
    { name: "eth0", mac: "02:00:00:00:00:02", mtu: 1376, sandbox: "/run/netns/a" },
  ],
  ips: [{ address: "10.32.0.2/12", gateway: "10.32.0.1", interface: 1 }],
  routes: [{ dst: "0.0.0.0/0", gw: "10.32.0.1", priority: 5 }],
  dns: { nameservers: ["10.32.0.1"], search: ["weave.local"] },
};

const dns = RESULT.dns;
const interfaces = [
  { name: "weave", mac: "02:00:00:00:00:01" },
  { name: "eth0", mac: "02:00:00:00:00:02", sandbox: "/run/netns/a" },
];
const ip = { interface: 1, address: "10.32.0.2/12", gateway: "10.32.0.1" };
const routes = [{ dst: "0.0.0.0/0", gw: "10.32.0.1" }];

/** The result in the form of each version, from the specification's text of that version. */
const EXPECTED: Readonly<Record<(typeof CNI_VERSIONS)[number], object>> = {
  "0.1.0": { cniVersion: "0.1.0", ip4: { ip: "10.32.0.2/12", gateway: "10.32.0.1", routes }, dns },
  "0.2.0": { cniVersion: "0.2.0", ip4: { ip: "10.32.0.2/12", gateway: "10.32.0.1", routes }, dns },
  "0.3.0": { cniVersion: "0.3.0", interfaces, ips: [{ version: "4", ...ip }], routes, dns },
  "0.3.1": { cniVersion: "0.3.1", interfaces, ips: [{ version: "4", ...ip }], routes, dns },
  "0.4.0": { cniVersion: "0.4.0", interfaces, ips: [{ version: "4", ...ip }], routes, dns },
  "1.0.0": { cniVersion: "1.0.0", interfaces, ips: [ip], routes, dns },
  "1.1.0": {
    cniVersion: "1.1.0",
    interfaces: RESULT.interfaces,
    ips: [ip],
    routes: RESULT.routes,
    dns,
  },
};

test("a result has the form of the version that the configuration names", () => {
  for (const version of CNI_VERSIONS) assert.deepEqual(cniResultBody(RESULT, version), EXPECTED[version], version);
});

test("a result of each version is read to the same addresses and routes", () => {
  for (const version of CNI_VERSIONS) {
    const { ips, routes: read, dns: names } = parseCniResult(EXPECTED[version], "it");
    assert.deepEqual(
      ips.map(({ address, gateway }) => [address, gateway]),
      [["10.32.0.2/12", "10.32.0.1"]],
      version,
    );
    assert.deepEqual([read[0].dst, read[0].gw, names], ["0.0.0.0/0", "10.32.0.1", dns], version);
  }
});

test("addresses of both families are distinguished in every version", () => {
  const both = { ...RESULT, ips: [...RESULT.ips, { address: "fd00::2/64" }] };
  assert.deepEqual((cniResultBody(both, "0.2.0") as { ip6: object }).ip6, { ip: "fd00::2/64" });
  assert.deepEqual((cniResultBody(both, "0.4.0") as { ips: object[] }).ips[1], { version: "6", address: "fd00::2/64" });
});

test("null fields of a result are missing ones, and others of the wrong type are rejected", () => {
  assert.deepEqual(parseCniResult({ interfaces: null, ips: null, routes: null, dns: null, ip4: null }, "it"), {
    interfaces: [],
    ips: [],
    routes: [],
    dns: {},
  });
  for (const bad of [
    null,
    1,
    "x",
    [],
    { ips: {} },
    { ips: [{}] },
    { ips: [{ address: "a", interface: -1 }] },
    { routes: [1] },
    { ip4: 1 },
  ])
    assert.throws(
      () => parseCniResult(bad, "the result of x"),
      /the result of x is no CNI result/,
      JSON.stringify(bad),
    );
});

test("errors of other parts have the specification's code, the reason and the next step", () => {
  const body = (error: unknown) => cniErrorBody(error, "1.0.0");
  assert.deepEqual(body(new WeaveError("WEAVE_IPAM_WAIT", "no address", { next: "wait" })), {
    cniVersion: "1.0.0",
    code: 11,
    msg: "no address",
    details: "wait",
  });
  assert.equal(body(new WeaveError("WEAVE_NAMESPACE", "gone")).code, 3);
  assert.equal(body(new WeaveError("WEAVE_IPAM_RANGE", "x")).code, 7);
  assert.equal(body(new WeaveError("WEAVE_ATTACH", "x")).code, 100);
  assert.equal(body(new CniError("unavailable", "x")).code, 50);
  assert.deepEqual(body(new Error("x")), { cniVersion: "1.0.0", code: 100, msg: "x" });
});
