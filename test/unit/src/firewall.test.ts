import assert from "node:assert/strict";
import { test } from "node:test";
import { chainNeedsTracking, chainsAfterTracking } from "#src/linux/firewall/conntrack.js";
import { type FirewallState, notDockerBridges } from "#src/linux/firewall/firewall.js";
import { iptablesRules } from "#src/linux/firewall/iptables.js";
import { nftTable } from "#src/linux/firewall/nft.js";

const STATE: FirewallState = {
  bridge: "weave",
  hostPorts: [6784, 6782],
  meshPort: 6783,
  dockerBridge: undefined,
  notDocker: [],
  untracked: false,
  exposed: [],
};
const NEXT_TO_DOCKER: FirewallState = { ...STATE, dockerBridge: "docker0" };

test("firewall rules name the subnet both ways, only where masquerading is requested", () => {
  const state = {
    ...STATE,
    exposed: [
      { subnet: "10.32.0.0/12", masquerade: true },
      { subnet: "10.99.0.0/16", masquerade: false },
    ],
  };
  const nft = nftTable(state);
  assert.match(nft, /ip saddr 10\.32\.0\.0\/12 ip daddr != 10\.32\.0\.0\/12 masquerade/);
  assert.match(nft, /ip saddr != 10\.32\.0\.0\/12 ip daddr 10\.32\.0\.0\/12 oifname "weave" masquerade/);
  assert.doesNotMatch(nft, /10\.99\.0\.0\/16 masquerade/);
  const legacy = iptablesRules(state, "full");
  assert.match(legacy, /-A WEAVE -s 10\.32\.0\.0\/12 ! -d 10\.32\.0\.0\/12 -j MASQUERADE/);
  assert.doesNotMatch(legacy, /10\.99\.0\.0\/16 .*MASQUERADE/);
});

test("without Docker, too, the bridge is kept off the mesh and off the ports of this host's own users", () => {
  const nft = nftTable(STATE);
  assert.match(nft, /iifname "weave" tcp dport \{ 6784, 6782, 6783 \} drop/);
  assert.match(nft, /iifname "weave" udp dport 6783-6785 drop/);
  assert.match(nft, /iifname "weave" oifname != "weave" tcp dport 6783 drop/);
  assert.match(nft, /ip daddr 127\.0\.0\.0\/8 tcp dport \{ 6784, 6782 \} iifname != "lo" drop/);
  assert.doesNotMatch(nft, /docker|br-/);
  const legacy = iptablesRules(STATE, "full");
  for (const port of [6782, 6783, 6784])
    assert.match(legacy, new RegExp(`-A WEAVE-CONTROL -i weave -p tcp --dport ${port} -j DROP`));
  assert.match(legacy, /-A WEAVE-CONTROL -i weave -p udp --dport 6783:6785 -j DROP/);
  assert.match(legacy, /-A WEAVE-EXPOSE -i weave ! -o weave -p udp --dport 6783:6785 -j DROP/);
});

test("next to Docker, its bridges are kept off the same ports and off the overlay", () => {
  const nft = nftTable(NEXT_TO_DOCKER);
  assert.match(nft, /iifname "docker0" udp dport 6783-6785 drop/);
  assert.match(nft, /iifname "br-\*" tcp dport \{ 6784, 6782, 6783 \} drop/);
  assert.match(nft, /iifname "docker0" oifname "weave" drop/);
  const passage = iptablesRules(NEXT_TO_DOCKER, "accept-only");
  assert.match(passage, /-A WEAVE-EXPOSE -i weave -j ACCEPT/);
  assert.match(passage, /-A WEAVE-CONTROL -i docker0 -p udp --dport 53 -j ACCEPT/);
  assert.doesNotMatch(passage, /\*nat|678\d/);
});

test("next to Podman, the bridges of all its networks are kept off", () => {
  for (const dockerBridge of ["podman0", "cni-podman0"]) {
    const nft = nftTable({ ...NEXT_TO_DOCKER, dockerBridge });
    for (const name of ["podman*", "cni-podman*"]) {
      assert.ok(nft.includes(`iifname "${name}" tcp dport { 6784, 6782, 6783 } drop`), name);
      assert.ok(nft.includes(`iifname "${name}" oifname "weave" drop`), name);
    }
    assert.doesNotMatch(nft, /docker|br-/);
    const legacy = iptablesRules({ ...NEXT_TO_DOCKER, dockerBridge }, "full");
    assert.match(legacy, /-A WEAVE-CONTROL -i podman\+ -p tcp --dport 6783 -j DROP/);
    assert.match(legacy, /-A WEAVE-EXPOSE -i cni-podman\+ -o weave -j DROP/);
  }
});

test("a user's bridge whose name starts with br- is not treated as Docker's", () => {
  const notDocker = notDockerBridges(["br-lan", "br-0123456789ab", "docker0", "br-ex", 'br-"}', "eth0"]);
  assert.deepEqual(notDocker, ["br-ex", "br-lan"]);
  const nft = nftTable({ ...NEXT_TO_DOCKER, notDocker });
  assert.match(nft, /iifname "br-\*" iifname != \{ "br-ex", "br-lan" \} tcp dport/);
  const rules = iptablesRules({ ...NEXT_TO_DOCKER, notDocker }, "full").split("\n");
  const before = (first: string, second: string) => {
    const places = [first, second].map((rule) => rules.indexOf(rule));
    assert.ok(places[0] !== -1 && places[0] < places[1], `${first} is before ${second}: ${rules.join("\n")}`);
  };
  before("-A WEAVE-CONTROL -i br-lan -j RETURN", "-A WEAVE-CONTROL -i br-+ -p tcp --dport 6783 -j DROP");
  before("-A WEAVE-EXPOSE -i br-lan -j RETURN", "-A WEAVE-EXPOSE -i br-+ -o weave -j DROP");
});

test("VXLAN in clear is open to the trusted networks alone, where others send encrypted", () => {
  const clearTunnel = { port: 6785, subnets: ["10.0.0.0/8", "192.0.2.0/24"] };
  const nft = nftTable({ ...STATE, clearTunnel });
  assert.match(nft, /udp dport 6785 ip saddr != 10\.0\.0\.0\/8 ip saddr != 192\.0\.2\.0\/24 drop/);
  assert.doesNotMatch(nftTable(STATE), /ip saddr != 10/);
  const legacy = iptablesRules({ ...STATE, clearTunnel }, "full");
  assert.match(
    legacy,
    /-p udp --dport 6785 -s 10\.0\.0\.0\/8 -j RETURN\n.*-s 192\.0\.2\.0\/24 -j RETURN\n.*-p udp --dport 6785 -j DROP/,
  );
  assert.doesNotMatch(iptablesRules({ ...STATE, clearTunnel }, "accept-only"), /6785/);
});

test("port 65535 has no next one", () => {
  assert.match(nftTable({ ...STATE, meshPort: 65_535 }), /udp dport 65535 drop/);
  assert.match(iptablesRules({ ...STATE, meshPort: 65_535 }, "full"), /udp --dport 65535:65535 /);
});

test("only our own datagrams are untracked, in both directions, and only where it is requested", () => {
  assert.doesNotMatch(nftTable(STATE) + iptablesRules(STATE, "full"), /notrack/);
  const untracked = { ...STATE, untracked: true };
  const nft = nftTable(untracked);
  assert.match(nft, /udp dport 6783-6785 fib daddr type local notrack/);
  // The kernel chooses the source port of VXLAN.
  assert.match(nft, /hook output[^}]*udp sport 6783-6785 notrack\n *udp dport 6784-6785 notrack/);
  const legacy = iptablesRules(untracked, "full");
  assert.match(legacy, /-p udp --dport 6783:6785 -m addrtype --dst-type LOCAL -j CT --notrack/);
  assert.match(legacy, /-p udp --sport 6783:6785 -m addrtype --src-type LOCAL -j CT --notrack/);
  assert.match(legacy, /-p udp --dport 6784:6785 -m addrtype --src-type LOCAL -j CT --notrack/);
  const last = nftTable({ ...untracked, meshPort: 65_535 });
  assert.match(last, /udp dport 65535 fib daddr type local notrack/);
  assert.match(last, /udp sport 65535 notrack\n {2}}/);
  assert.doesNotMatch(iptablesRules(untracked, "accept-only"), /notrack/);
});

test("chains that packets of the host pass depend on tracking as soon as they have a rule or a policy", () => {
  const chain = (table: string, type: string, hook: string, prio: number, family = "ip") => ({
    chain: { family, table, name: hook.toUpperCase(), handle: 1, type, hook, prio, policy: "accept" },
  });
  const listed = {
    nftables: [
      { metainfo: { version: "1.0.6" } },
      chain("filter", "filter", "input", 0),
      chain("filter", "filter", "forward", 0),
      chain("filter", "filter", "output", 0),
      chain("raw", "filter", "prerouting", -300),
      chain("mangle", "filter", "prerouting", -150),
      chain("nat", "nat", "postrouting", 100),
      chain("nat", "nat", "prerouting", -100),
      chain("filter", "filter", "input", 0, "ip6"),
      chain("weave", "filter", "input", -10, "inet"),
      { chain: { family: "ip", table: "filter", name: "DOCKER", handle: 2 } },
    ],
  };
  const names = chainsAfterTracking(listed).map(({ table, hook }) => `${table} ${hook}`);
  assert.deepEqual(names, ["filter input", "filter output", "mangle prerouting", "nat postrouting"]);
  const filter = { type: "filter", family: "ip", table: "filter", name: "INPUT" };
  const nat = { type: "nat", family: "ip", table: "nat", name: "POSTROUTING" };
  const listing = (...rules: string[]) => [
    "table ip x {",
    "\tchain Y {",
    "\t\ttype z hook y priority 0; policy accept;",
    ...rules,
    "\t}",
    "}",
  ];
  assert.equal(chainNeedsTracking(filter, listing("\t\tcounter packets 0 bytes 0 jump WEAVE-CONTROL")), undefined);
  assert.match(chainNeedsTracking({ ...filter, policy: "drop" }, listing()) ?? "", /policy of chain INPUT .* is drop/);
  assert.match(
    chainNeedsTracking(filter, listing("\t\ttcp dport 22 accept")) ?? "",
    /chain INPUT .* has rules: tcp dport 22/,
  );
  assert.match(chainNeedsTracking(filter, ["-A INPUT -j ufw-before-input"]) ?? "", /has rules/);
  assert.equal(
    chainNeedsTracking(nat, listing('\t\tip saddr 172.17.0.0/16 oifname != "docker0" counter masquerade')),
    undefined,
  );
  assert.equal(chainNeedsTracking(nat, ["-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]), undefined);
  for (const rule of [
    "-A POSTROUTING -o eth0 -j MASQUERADE",
    "-A POSTROUTING ! -s 10.0.0.0/8 -j MASQUERADE",
    "\t\tip saddr != 10.0.0.0/8 masquerade",
  ])
    assert.match(chainNeedsTracking(nat, [rule]) ?? "", /has rules/, rule);
});
