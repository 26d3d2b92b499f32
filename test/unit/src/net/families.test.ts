import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  ADDRESS_PORT_WIDTH,
  ANY_HOST,
  fairnessKey,
  familyOf,
  isAnyHost,
  isMalformedAddress,
  isRemoteAddress,
  plainAddress,
} from "#src/net/family.js";
import { hostOf, hostPortText, portOf } from "#src/net/host-port.js";

const root = new URL("../../../../../", import.meta.url).pathname;
const FOLDERS = ["src", "mesh", "ipam", "dns", "docker", "router", "cli"];

/** Marks of code that depends on IPv4. */
const IPV4 = /\bisIpv4\b|\bAF_INET\b|\b0\.0\.0\.0\b|\bisIPv4\b|\budp4\b|\bIPv4\(/g;

/** The files that may depend on IPv4. */
const ALLOWED: Readonly<Record<string, string>> = {
  "src/net/family.ts": "the row of IPv4",
  "src/linux/native/sockaddr.ts": "the kernel's structs of IPv4",
  "src/address.ts": "addresses of the overlay",
  "router/carriers/fastdp/clear-tunnel.ts": "the kernel's VXLAN device in clear is of IPv4",
  "src/linux/vxlan/forwarding-table.ts": "hosts that the kernel's VXLAN device sends to",
  "src/linux/netlink/link-requests.ts": "the kernel's structs of IPv4",
  "src/linux/netlink/route-requests.ts": "routes in the tunnels' namespace",
  "src/linux/wireguard/wireguard-message.ts": "addresses in the tunnels' namespace",
  "src/linux/native/private-network.ts": "the loopback interface of the warm-up",
  "ipam/ring/subnet.ts": "ranges of the overlay",
  "router/addresses/routes.ts": "addresses of the overlay",
  "docker/addresses/requested-addresses.ts": "addresses of the overlay that Docker may choose",
  "docker/addresses/claim-record.ts": "claimed addresses of Docker's networks, of both families",
  "docker/services/listed-service.ts": "addresses of a swarm's services, which are of IPv4",
  "docker/services/stopping-tasks.ts": "addresses of a swarm's services",
  "docker/services/task-record.ts": "addresses of a swarm's services",
  "src/linux/firewall/services/service-address.ts": "addresses of a swarm's services",
  "router/capture/capture-targets.ts": "addresses of containers on the overlay",
  "router/probes/facts.ts": "addresses of containers on the overlay",
  "router/probes/host-endpoints.ts": "addresses of containers on the overlay",
  "router/probes/locator.ts": "addresses of containers on the overlay",
  "router/probes/probe-frame.ts": "ARP, which IPv4 alone has",
  "router/probes/routes.ts": "addresses of containers on the overlay",
  "router/cni/cni-addresses.ts": "addresses of the overlay that a container runtime requests",
  "router/cni/cni-routes.ts": "routes of containers, of both families",
  "dns/name.ts": "reverse names of addresses of the overlay",
  "dns/name-record.ts": "addresses of the overlay, in records of type A",
  "router/names/routes.ts": "addresses of the overlay, for names",
  "cli/doctor/range.ts": "addresses of hosts in the range of the overlay",
  "cli/support/name-arguments.ts": "addresses of the overlay, for names",
  "cli/support/address-arguments.ts": "addresses of the overlay",
  "router/names/upstream.ts": "sockets to name servers of resolv.conf, of both families",
};

const isComment = (line: string): boolean => /^\s*(?:\/?\*|\/\/)/.test(line);

test("only the listed files depend on IPv4: a further family changes src/net and the kernel's structs", () => {
  const found = new Set<string>();
  for (const folder of FOLDERS)
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue;
      const lines = readFileSync(join(root, folder, name), "utf8").split("\n");
      if (lines.some((line) => !isComment(line) && line.search(IPV4) >= 0)) found.add(join(folder, name));
    }
  assert.deepEqual([...found].sort(), Object.keys(ALLOWED).sort());
});

test("no file but host-port.ts joins a host and a port without brackets", () => {
  const joined: string[] = [];
  for (const folder of FOLDERS)
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue;
      const text = readFileSync(join(root, folder, name), "utf8");
      if (/[hH]ost\w*(?:\([^`{}]*\))?\}:\$\{/.test(text)) joined.push(join(folder, name));
    }
  assert.deepEqual(joined, ["src/net/host-port.ts"]);
});

test("a host and a port are read from their text, with brackets around an address that has colons", () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom("h", "a.example"));
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 65_535 }), (host, port) => {
      const text = hostPortText(host, port);
      assert.deepEqual([hostOf(text), portOf(text)], [host, port]);
      assert.equal(text, host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
    }),
  );
});

test("addresses have a family, names and malformed addresses have none", () => {
  assert.equal(familyOf("10.0.0.1"), 4);
  for (const text of ["h", "10.0.0.256", "010.0.0.1", "::1", "1.2.3", ""])
    assert.equal(familyOf(text), undefined, text);
  assert.ok(["10.0.0.256", "1.2.3", "1", "010.0.0.1"].every(isMalformedAddress));
  assert.ok(!["10.0.0.1", "h", "1.2.h", "::1", ""].some(isMalformedAddress));
});

test("reported addresses of this host, of its links and of groups are not remote, nor are names", () => {
  for (const text of ["10.0.0.1", "1.1.1.1", "169.253.0.1", "169.255.0.1", "126.0.0.1", "128.0.0.1", "223.255.255.255"])
    assert.ok(isRemoteAddress(text), text);
  for (const text of [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
  ])
    assert.ok(!isRemoteAddress(text), text);
  for (const text of ["h", "", "010.0.0.1", "::1", "10.0.0.256"]) assert.ok(!isRemoteAddress(text), text);
});

test("limits count IPv4 by the address, and all addresses of this host are one text", () => {
  fc.assert(fc.property(fc.ipV4(), (host) => assert.equal(fairnessKey(host), host)));
  assert.equal(fairnessKey(""), "");
  assert.ok(isAnyHost(ANY_HOST) && !isAnyHost("10.0.0.1") && !isAnyHost("h"));
  assert.equal(ANY_HOST, "0.0.0.0");
});

test("an address that Node prints as mapped into IPv6 is the IPv4 address", () => {
  assert.equal(plainAddress("::ffff:10.0.0.1"), "10.0.0.1");
  assert.equal(plainAddress("10.0.0.1"), "10.0.0.1");
  assert.equal(plainAddress(undefined), "");
});

test("the column of addresses holds the longest", () => {
  assert.equal(ADDRESS_PORT_WIDTH, "255.255.255.255:65535".length);
});
