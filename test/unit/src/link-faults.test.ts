import assert from "node:assert/strict";
import { test } from "node:test";
import { type ExpectedLinks, linkFaults } from "#src/linux/links/link-faults.js";
import type { Link } from "#src/linux/links/links.js";

const MADE: ExpectedLinks = { bridge: "weave", mac: "02:00:00:00:00:01", mtu: 1_376, tap: "weave-tap" };
const END = "vethwepl00abcde";
const link = (ifname: string, more: Partial<Link> = {}): Link => ({
  ifindex: 1,
  ifname,
  mtu: 1_376,
  address: "0a:00:00:00:00:01",
  flags: ["BROADCAST", "UP"],
  ...more,
});
const GOOD: Readonly<Record<string, Link>> = {
  bridge: link("weave", {
    address: MADE.mac,
    ifalias: "made by weave",
    linkinfo: { info_kind: "bridge", info_data: { mcast_snooping: 0 } },
  }),
  tap: link("weave-tap", { master: "weave", linkinfo: { info_kind: "tun", info_slave_data: { isolated: true } } }),
  attached: link(END, { master: "weave", linkinfo: { info_kind: "veth" } }),
  endpoint: link("vethwl0123abcde", { master: "weave", linkinfo: { info_kind: "veth" } }),
};
const SYSCTLS: Readonly<Record<string, string>> = {
  "net/ipv6/conf/weave/accept_ra": "0",
  "net/ipv6/conf/weave-tap/disable_ipv6": "1",
  [`net/ipv6/conf/${END}/disable_ipv6`]: "1",
};
const faults = (links: Partial<typeof GOOD>, sysctls: Readonly<Record<string, string>> = {}) =>
  linkFaults(
    Object.values({ ...GOOD, ...links }).filter((each) => each !== undefined),
    MADE,
    (path) => ({ ...SYSCTLS, ...sysctls })[path],
  );

test("a host in the desired state has no faults, with any other interfaces", () => {
  assert.deepEqual(faults({}), []);
  // Of Docker, of Weave Net, and of no known program: interfaces that only look like ours.
  for (const ifname of ["vethwe-datapath", "vethweplx", "veth01234567890", "vethwl", "vethwepl00abcdef"])
    assert.deepEqual(faults({ other: link(ifname, { linkinfo: { info_kind: "veth" } }) }), [], ifname);
  assert.deepEqual(faults({ other: link("vethwepl0000000", { linkinfo: { info_kind: "dummy" } }) }), []);
  // A kernel without IPv6 has no parameters of it.
  const without = Object.fromEntries(Object.keys(SYSCTLS).map((path) => [path, undefined]));
  assert.deepEqual(
    linkFaults(Object.values(GOOD), MADE, (path) => without[path]),
    [],
  );
});

test("a bridge that is gone is made before its ports are attached", () => {
  const off = (name: keyof typeof GOOD): Link => ({ ...GOOD[name], master: undefined }) as unknown as Link;
  const found = faults({ bridge: undefined, tap: off("tap"), attached: off("attached"), endpoint: off("endpoint") });
  assert.deepEqual(
    found.map(({ key }) => key),
    ["bridge", "tap", "containers"],
  );
  const commands = found.flatMap((fault) => fault.commands);
  assert.equal(commands[0], "link add name weave type bridge");
  assert.ok(commands.includes(`link set dev ${END} master weave up`));
  assert.match(found[2].what, /^2 interfaces of containers are down or not on the bridge weave: /);
});

test("each difference is a fault with a text of its own", () => {
  const { bridge, tap, attached } = GOOD;
  for (const [expected, links, sysctls] of [
    [/^the bridge weave is down$/, { bridge: { ...bridge, flags: [] } }],
    [/MAC 02:00:00:00:00:99 instead of/, { bridge: { ...bridge, address: "02:00:00:00:00:99" } }],
    [/^the bridge weave has an MTU of 1500 instead of 1376$/, { bridge: { ...bridge, mtu: 1_500 } }],
    [
      /mcast_snooping is on/,
      { bridge: { ...bridge, linkinfo: { info_kind: "bridge", info_data: { mcast_snooping: 1 } } } },
    ],
    [/^the TAP device weave-tap is gone$/, { tap: undefined }],
    [/^the TAP device weave-tap is down$/, { tap: { ...tap, flags: [] } }],
    [/^the TAP device weave-tap is not on the bridge weave$/, { tap: { ...tap, master: "br0" } }],
    [/has an MTU of 9000/, { tap: { ...tap, mtu: 9_000 } }],
    [/is not isolated/, { tap: { ...tap, linkinfo: { info_slave_data: { isolated: false } } } }],
    [/^1 interface of containers is down/, { attached: { ...attached, flags: [] } }],
    [/^1 interface of containers is down or not on/, { attached: { ...attached, master: "docker0" } }],
    [/net\.ipv6\.conf\.weave\.accept_ra is not 0/, {}, { "net/ipv6/conf/weave/accept_ra": "1" }],
  ] as const) {
    const found = faults(links, sysctls);
    assert.equal(found.length, 1, String(expected));
    assert.match(found[0].what, expected);
  }
  assert.throws(() => faults({ bridge: { ...bridge, ifalias: undefined } as unknown as Link }), {
    code: "WEAVE_BRIDGE_FOREIGN",
  });
});
