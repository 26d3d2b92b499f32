import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link } from "#src/linux/links/links.js";
import type { Host } from "#test/lab/host.js";
import type { Namespace } from "#test/lab/namespace.js";
import { Pair } from "#test/lab/pair.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
/** It is looked every 5 s; the machine may be slow. */
const PATIENCE_MS = 40_000;

/** All that the watch answers for, in a form that does not depend on indices and the like. */
async function stateOf(host: Host): Promise<string> {
  const links = JSON.parse(await host.must("ip", "-json", "-details", "link", "show")) as Link[];
  const ours = links
    .filter(({ ifname }) => ifname.startsWith("weave") || ifname.startsWith("vethwe"))
    .map(({ ifname, mtu, address, master, flags, linkinfo }) => {
      const own = ifname === "weave" ? address : "";
      const port = ifname === "weave-tap" && linkinfo?.info_slave_data?.isolated;
      return [ifname, mtu, own, master, flags.includes("UP"), linkinfo?.info_data?.mcast_snooping, port].join(" ");
    });
  const parts = await Promise.all([
    host.must("ip", "-br", "-4", "address", "show", "dev", "weave").catch(() => ""),
    host.must("sh", "-c", "ip route show | grep weave; true"),
    host.must(
      "sh",
      "-c",
      "cd /proc/sys/net/ipv6/conf && grep . weave/accept_ra weave-tap/disable_ipv6 vethwe*/disable_ipv6; true",
    ),
    host.must("nft", "--stateless", "list", "table", "inet", "weave").catch(() => ""),
  ]);
  return [...ours.sort(), ...parts].join("\n");
}

test("a change of the links by another program is repaired", { skip, timeout: 300_000 }, async (t) => {
  const pair = await Pair.create();
  const { h1, h2, c1, c2 } = pair;
  const end = async (host: Host) => (await host.must("sh", "-c", "ls /sys/class/net | grep vethwe")).trim();
  const answered = async (from: Namespace, address: string) =>
    until(`${from.ns} reaches ${address}`, async () => (await from.ping(address, { count: 1 })) === 1, PATIENCE_MS);
  try {
    await h1.ok("expose", "10.32.0.100/12");
    const [veth, before, pid] = [await end(h1), await stateOf(h1), h1.routerPid];
    const rounds: readonly [what: string, commands: readonly string[], said: readonly RegExp[]][] = [
      [
        "the bridge is deleted",
        ["ip link delete weave"],
        [/the bridge weave is gone/, /an exposed address was removed from the bridge/],
      ],
      [
        "bridge down, TAP and container off it, parameters changed",
        [
          "ip link set dev weave-tap nomaster",
          `ip link set dev ${veth} nomaster`,
          "ip link set dev weave down",
          "sysctl -qw net.ipv6.conf.weave.accept_ra=1 net.ipv6.conf.weave-tap.disable_ipv6=0",
        ],
        [
          /the bridge weave is down/,
          /the TAP device weave-tap is not on the bridge weave/,
          /1 interface of containers is down or not on the bridge weave: vethwe/,
          /net\.ipv6\.conf\.weave\.accept_ra is not 0, net\.ipv6\.conf\.weave-tap\.disable_ipv6 is not 1/,
        ],
      ],
      [
        "TAP and container down, another MTU and MAC, firewall flushed",
        [
          "ip link set dev weave-tap down",
          `ip link set dev ${veth} down`,
          "ip link set dev weave mtu 1000 address 02:99:99:99:99:99",
          "nft flush ruleset",
        ],
        [
          /the TAP device weave-tap is down/,
          /has the MAC 02:99:99:99:99:99 instead of 02:00:00:00:00:01 and has an MTU of 1000 instead of 1376/,
          /the firewall rules of weave were changed by another program/,
        ],
      ],
      [
        "port settings, snooping, an exposed address",
        [
          "ip link set dev weave-tap type bridge_slave isolated off",
          "ip link set dev weave type bridge mcast_snooping 1",
          "ip address flush dev weave",
        ],
        [/is not isolated/, /mcast_snooping is on/, /an exposed address was removed from the bridge/],
      ],
      [
        "the route to an exposed network",
        ["ip route delete 10.32.0.0/12"],
        [/the route to an exposed network was removed/],
      ],
    ];
    for (const [what, commands, said] of rounds) {
      await t.test(what, async () => {
        const logged = h1.log().length;
        await h1.must("sh", "-ec", commands.join("\n"));
        assert.notEqual(await stateOf(h1), before);
        await until("all is as before", async () => (await stateOf(h1)) === before, PATIENCE_MS);
        await answered(c1, "10.32.0.2");
        await answered(c2, "10.32.0.100");
        for (const expected of said) assert.match(h1.log().slice(logged), expected);
        assert.equal(h1.routerPid, pid, "the router was not started again for it");
        assert.doesNotMatch(await h1.ok("status"), /Problem/);
      });
    }

    await t.test("status shows a fault that cannot be repaired, for as long as it lasts", async () => {
      // Both at once, before it is looked again.
      await h1.must("sh", "-c", "printf 'link delete weave\\nlink add weave type bridge\\n' | ip -batch -");
      const says = async () =>
        (await h1.ok("status")).includes(
          "Problem: the links of weave on this host cannot be checked: there is an interface weave that weave did not make",
        );
      await until("status says it", says, PATIENCE_MS);
      await h1.must("ip", "link", "delete", "weave");
      await until("all is as before", async () => (await stateOf(h1)) === before, PATIENCE_MS);
      await until("status says it no more", async () => !(await h1.ok("status")).includes("Problem"), PATIENCE_MS);
      await answered(c1, "10.32.0.2");
    });

    await t.test("an exposed address is not restored where it would take the host's network", async () => {
      await h2.ok("expose", "10.50.0.1/16");
      await h2.must("ip", "address", "delete", "10.50.0.1/16", "dev", "weave");
      await h2.must("ip", "address", "add", "10.50.0.7/16", "dev", h2.device);
      const says = async () =>
        (await h2.ok("status")).includes("Problem: the exposed address is not there: 10.50.0.1/16");
      await until("status says it", says, PATIENCE_MS);
      await h2.must("ip", "address", "delete", "10.50.0.7/16", "dev", h2.device);
      await until("the address is back", async () => (await stateOf(h2)).includes("10.50.0.1/16"), PATIENCE_MS);
      assert.doesNotMatch(await h2.ok("status"), /Problem/);
    });

    await t.test("a TAP device that is renamed is made again", async () => {
      const old = h2.routerPid;
      await h2.must("sh", "-ec", "ip link set dev weave-tap down\nip link set dev weave-tap name strange");
      await until("another router runs", () => h2.routerPid !== undefined && h2.routerPid !== old, PATIENCE_MS);
      await answered(c2, "10.32.0.1");
      assert.match(h2.log(), /the TAP device weave-tap is gone/);
    });

    await t.test("at launch containers are put on the bridge", async () => {
      await h1.ok("stop");
      await h1.must("ip", "link", "delete", "weave");
      await h1.launch("--resume");
      await connected(h1, 1);
      await until("all is as before", async () => (await stateOf(h1)) === before, PATIENCE_MS);
      await answered(c1, "10.32.0.2");
      assert.ok((await h1.must("ip", "link", "show", veth)).includes("master weave"));
    });
  } finally {
    await pair.lab.dispose();
  }
});
